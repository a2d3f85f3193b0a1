#include "tools/client/ring_label.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace larder::client {
namespace {

constexpr uint16_t kMemcachedPort = 11211;
constexpr std::string_view kColonAndHexDigits = ":0123456789abcdefABCDEF";

using Ipv6 = std::array<uint8_t, 16>;

bool omits_the_usual_port(RingKind kind) {
  return kind == RingKind::LibmemcachedKetamaWeighted || kind == RingKind::LibmemcachedKetama ||
         kind == RingKind::TwemproxyKetamaFnv1a64;
}

bool has_colon(std::string_view text) { return text.find(':') != std::string_view::npos; }

std::optional<Ipv6> parse_ipv6(const std::string& text) {
  Ipv6 address;
  if (inet_pton(AF_INET6, text.c_str(), address.data()) != 1) return std::nullopt;
  return address;
}

bool is_ipv4_mapped(const Ipv6& address) {
  constexpr Ipv6 kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(address.begin(), address.begin() + 12, kMapped.begin());
}

std::string in_ipv4(const Ipv6& mapped) {
  std::string text;
  for (size_t i = 12; i < mapped.size(); ++i) {
    if (!text.empty()) text += '.';
    text += std::to_string(mapped[i]);
  }
  return text;
}

// All eight groups, in lower case and without leading zeros.
std::string in_groups(const Ipv6& address) {
  std::string text;
  for (size_t i = 0; i < address.size(); i += 2) {
    if (i > 0) text += ':';
    char digits[4];
    char* const end =
        std::to_chars(digits, digits + sizeof digits, address[i] << 8 | address[i + 1], 16).ptr;
    text.append(digits, end);
  }
  return text;
}

std::string java_host(const std::string& host) {
  const std::optional<Ipv6> address = parse_ipv6(host);
  if (!address) return host;
  return is_ipv4_mapped(*address) ? in_ipv4(*address) : "[" + in_groups(*address) + "]";
}

std::string host_label(RingKind kind, const std::string& host) {
  if (!has_colon(host)) return host;
  if (kind == RingKind::Nginx) return "[" + host + "]";
  return kind == RingKind::SpymemcachedKetama ? java_host(host) : host;
}

std::string socket_label(RingKind kind, const std::string& path) {
  switch (kind) {
    case RingKind::LibmemcachedKetamaWeighted:
    case RingKind::LibmemcachedKetama:
      return path + ":0";
    case RingKind::TwemproxyKetamaFnv1a64:
      return path + ":";
    case RingKind::Nginx:
      return path + '\0';
    default:
      return path;
  }
}

std::string socket_fault(RingKind kind, const std::string& path) {
  if (kind == RingKind::SpymemcachedKetama) return "spymemcached has no Unix sockets";
  if (kind == RingKind::Dalli && has_colon(path)) {
    return "Dalli refuses a colon in the path of a Unix socket";
  }
  return {};
}

std::string ipv6_fault(RingKind kind, const std::string& host) {
  if (kind == RingKind::Dalli && host.find_first_not_of(kColonAndHexDigits) != host.npos) {
    return "Dalli refuses an IPv6 address with other characters than colons and hexadecimal digits";
  }
  // nginx refuses a zone. spymemcached takes the zones of its own machine: they are not tried.
  const bool parses = kind == RingKind::Nginx || kind == RingKind::SpymemcachedKetama;
  if (parses && !parse_ipv6(host)) return "its host is no IPv6 address, or has a zone";
  return {};
}

}  // namespace

bool is_unix_socket(const RingNode& node) noexcept { return node.host.starts_with('/'); }

std::string ring_label(RingKind kind, const RingNode& node) {
  if (!node.name.empty()) return node.name;
  if (is_unix_socket(node)) return socket_label(kind, node.host);
  if (node.port == kMemcachedPort && omits_the_usual_port(kind)) return node.host;
  const char between = kind == RingKind::Nginx ? '\0' : ':';
  return host_label(kind, node.host) + between + std::to_string(node.port);
}

std::string address_fault(RingKind kind, const RingNode& node) {
  if (!node.name.empty()) return {};
  if (is_unix_socket(node)) return socket_fault(kind, node.host);
  return has_colon(node.host) ? ipv6_fault(kind, node.host) : "";
}

}  // namespace larder::client
