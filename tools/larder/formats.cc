#include "tools/larder/formats.h"

#include <algorithm>
#include <string_view>

#include "tools/larder/servers.h"

namespace larder::operate {
namespace {

using client::Ring;
using client::RingKind;
using client::RingNode;

// What a format says for a ring that it has.
struct Wording {
  RingKind kind;
  std::string_view text;
};

constexpr Wording kTwemproxyHashes[] = {
    {RingKind::LibmemcachedKetamaWeighted, "md5"},
    {RingKind::TwemproxyKetamaFnv1a64, "fnv1a_64"},
};

// The distribution stands there also where it is the default: php.ini can change that.
constexpr Wording kPhpOptions[] = {
    {RingKind::LibmemcachedKetamaWeighted, "Memcached::OPT_LIBKETAMA_COMPATIBLE => true"},
    {RingKind::LibmemcachedKetama,
     "Memcached::OPT_DISTRIBUTION => Memcached::DISTRIBUTION_CONSISTENT"},
    {RingKind::LibmemcachedModula, "Memcached::OPT_DISTRIBUTION => Memcached::DISTRIBUTION_MODULA"},
};

constexpr Wording kNginxHashes[] = {{RingKind::Nginx, "hash $memcached_key consistent"}};

// Of haproxy's first listener; the others follow.
constexpr size_t kHaproxyFirstPort = 22201;
static_assert(kHaproxyFirstPort + client::kMaxRingNodes < 65536);

// Software that one might ask for, and why there is nothing to write.
struct Absent {
  std::string_view name;
  std::string_view reason;
};
constexpr Absent kAbsent[] = {
    {"mcrouter", "no configuration of mcrouter is written, because none could be tried"},
};

// libmemcached 1.1.4 ends the program when a ketama ring gets one more.
constexpr size_t kLibmemcachedMostNodes = 100;

template <size_t N>
std::string_view text_for(const Wording (&wordings)[N], RingKind kind) {
  const auto* const found = std::find_if(std::begin(wordings), std::end(wordings),
                                         [&](const Wording& one) { return one.kind == kind; });
  return found == std::end(wordings) ? std::string_view() : found->text;
}

template <size_t N>
FormatResult no_such_ring(const std::string& software, const Wording (&wordings)[N],
                          const Ring& ring) {
  std::string has;
  for (size_t i = 0; i < N; ++i) {
    if (i > 0) has += i + 1 < N ? ", " : " and ";
    has += client::name_of(wordings[i].kind);
  }
  return {{},
          software + " does not have the ring " + std::string(client::name_of(ring.kind())) +
              ": it has " + has};
}

bool any_node(const Ring& ring, bool (*what)(const RingNode&)) {
  return std::any_of(ring.nodes().begin(), ring.nodes().end(), what);
}

bool is_ipv6(const RingNode& node) { return node.host.find(':') != std::string::npos; }

std::string heading(const Ring& ring) {
  return "Keys live where `larder where --ring " + std::string(client::name_of(ring.kind())) +
         "` says.\n";
}

FormatResult twemproxy(const Ring& ring) {
  const std::string_view hash = text_for(kTwemproxyHashes, ring.kind());
  if (hash.empty()) return no_such_ring("twemproxy", kTwemproxyHashes, ring);
  std::string text = "# " + heading(ring) +
                     "larder:\n"
                     "  listen: 127.0.0.1:22121\n"
                     "  distribution: ketama\n"
                     "  hash: " +
                     std::string(hash) +
                     "\n"
                     "  auto_eject_hosts: false\n"
                     "  servers:\n";
  // twemproxy takes what is before the last two colons for the host: an IPv6 address without
  // brackets.
  for (const RingNode& node : ring.nodes()) {
    text += "   - " + node.host + ":" + std::to_string(node.port) + ":" +
            std::to_string(node.weight) + (node.name.empty() ? "" : " " + node.name) + "\n";
  }
  return {text, {}};
}

FormatResult php(const Ring& ring) {
  const std::string_view option = text_for(kPhpOptions, ring.kind());
  if (option.empty()) return no_such_ring("php-memcached", kPhpOptions, ring);
  if (any_node(ring, [](const RingNode& node) { return !node.name.empty(); })) {
    return {{}, "php-memcached knows no names of servers beside their hosts"};
  }
  if (ring.kind() != RingKind::LibmemcachedModula && ring.nodes().size() > kLibmemcachedMostNodes) {
    return {{}, "php-memcached cannot have more than 100 servers in a ketama ring"};
  }
  std::string text = "<?php\n// " + heading(ring) +
                     "$memcached = new Memcached();\n"
                     "$memcached->setOptions([\n    " +
                     std::string(option) +
                     ",\n]);\n"
                     "$memcached->addServers([\n";
  for (const RingNode& node : ring.nodes()) {
    text += "    ['" + node.host + "', " + std::to_string(node.port) + ", " +
            std::to_string(node.weight) + "],\n";
  }
  return {text + "]);\nreturn $memcached;\n", {}};
}

FormatResult nginx(const Ring& ring) {
  const std::string_view hash = text_for(kNginxHashes, ring.kind());
  if (hash.empty()) return no_such_ring("nginx", kNginxHashes, ring);
  if (any_node(ring, [](const RingNode& node) { return !node.name.empty(); })) {
    return {{}, "nginx knows no names of servers beside their hosts"};
  }
  std::string text = "# " + heading(ring) +
                     "# In a location: set $memcached_key ...; memcached_pass larder;\n"
                     "upstream larder {\n    " +
                     std::string(hash) + ";\n";
  for (const RingNode& node : ring.nodes()) {
    text += "    server " + address_of(node) + " weight=" + std::to_string(node.weight) + ";\n";
  }
  return {text + "    keepalive 32;\n}\n", {}};
}

// It does not read memcached's requests, so it cannot shard: clients do, over its listeners.
FormatResult haproxy(const Ring& ring) {
  if (any_node(ring, [](const RingNode& node) { return !node.name.empty(); })) {
    return {{}, "behind haproxy the ring is one of its listeners, which have no names"};
  }
  if (any_node(ring, is_ipv6)) {
    return {{}, "IPv6 addresses were not tried with haproxy: give hosts names"};
  }
  std::string listeners;
  std::string sections;
  for (size_t i = 0; i < ring.nodes().size(); ++i) {
    const RingNode& node = ring.nodes()[i];
    const std::string listener = "127.0.0.1:" + std::to_string(kHaproxyFirstPort + i);
    const std::string weight = node.weight == 1 ? "" : ":" + std::to_string(node.weight);
    listeners += (i == 0 ? "" : ",") + listener + weight;
    sections += "\nlisten larder-" + std::to_string(i + 1) + "\n    bind " + listener +
                "\n    server node " + node.host + ":" + std::to_string(node.port) +
                " check inter 1s\n";
  }
  return {
      "# A listener for each server, for clients that shard over these. Keys live where\n"
      "#   larder where --ring " +
          std::string(client::name_of(ring.kind())) + " --servers " + listeners +
          "\n"
          "# says. A listener whose server does not answer closes its connections.\n"
          "defaults\n"
          "    mode tcp\n"
          "    timeout connect 1s\n"
          "    timeout client 1h\n"
          "    timeout server 1h\n"
          "    default-server on-marked-down shutdown-sessions\n"
          "    option tcp-check\n"
          "    tcp-check send version\\r\\n\n"
          "    tcp-check expect rstring ^VERSION\n" +
          sections,
      {}};
}

}  // namespace

FormatResult configuration(const std::string& name, const Ring& ring) {
  if (any_node(ring, is_socket)) {
    return {{}, "no configuration is written for Unix sockets, because none was tried"};
  }
  if (name == "twemproxy") return twemproxy(ring);
  if (name == "php") return php(ring);
  if (name == "nginx") return nginx(ring);
  if (name == "haproxy") return haproxy(ring);
  for (const Absent& absent : kAbsent) {
    if (absent.name == name) return {{}, std::string(absent.reason)};
  }
  return {{}, "'" + name + "' is none of twemproxy, nginx, haproxy and php", true};
}

}  // namespace larder::operate
