#include "tools/larder/formats.h"

#include <catch2/catch.hpp>

using namespace larder;
using namespace larder::operate;
using client::RingKind;

namespace {

client::Ring ring(RingKind kind, std::vector<client::RingNode> nodes) {
  auto made = client::Ring::make(kind, std::move(nodes));
  REQUIRE(made.error == "");
  return std::move(*made.ring);
}

std::string refusal(const std::string& name, const client::Ring& of) {
  const FormatResult result = configuration(name, of);
  CHECK(result.text.empty());
  return result.error;
}

}  // namespace

TEST_CASE("twemproxy's configuration has the hash of the ring, and servers with their names") {
  const std::string text =
      configuration("twemproxy", ring(RingKind::TwemproxyKetamaFnv1a64,
                                      {{"a", 1, 2, "first"}, {"10.0.0.2", 11211}}))
          .text;
  CHECK(text.find("\n  hash: fnv1a_64\n") != std::string::npos);
  CHECK(text.ends_with("  servers:\n   - a:1:2 first\n   - 10.0.0.2:11211:1\n"));
  const auto weighted = ring(RingKind::LibmemcachedKetamaWeighted, {{"a", 1}});
  CHECK(configuration("twemproxy", weighted).text.find("\n  hash: md5\n") != std::string::npos);
}

TEST_CASE("PHP's program has the option of the ring, and servers with weights") {
  const std::string text = configuration("php", ring(RingKind::LibmemcachedKetamaWeighted,
                                                     {{"a", 1, 2}, {"fd00::1", 11211}}))
                               .text;
  CHECK(text.starts_with("<?php\n"));
  CHECK(text.find("\n    Memcached::OPT_LIBKETAMA_COMPATIBLE => true,\n") != std::string::npos);
  CHECK(text.find("\n    ['a', 1, 2],\n    ['fd00::1', 11211, 1],\n]);\n") != std::string::npos);
}

TEST_CASE("nginx's upstream has the key that is hashed, and servers with weights") {
  const auto nginx = ring(RingKind::Nginx, {{"a", 1, 2}, {"10.0.0.2", 11211}});
  const std::string text = configuration("nginx", nginx).text;
  CHECK(text.find("\nupstream larder {\n    hash $memcached_key consistent;\n"
                  "    server a:1 weight=2;\n    server 10.0.0.2:11211 weight=1;\n") !=
        std::string::npos);
  CHECK(refusal("nginx", ring(RingKind::Nginx, {{"a", 1, 1, "first"}}))
            .starts_with("nginx knows no names"));
  CHECK(refusal("nginx", ring(RingKind::Dalli, {{"a", 1}})) ==
        "nginx does not have the ring dalli: it has nginx");
}

TEST_CASE("an IPv6 address has brackets for nginx, and none for twemproxy") {
  const auto nginx = ring(RingKind::Nginx, {{"fd00::1", 11211, 2}});
  CHECK(configuration("nginx", nginx).text.find("    server [fd00::1]:11211 weight=2;\n") !=
        std::string::npos);
  const auto twemproxy = ring(RingKind::TwemproxyKetamaFnv1a64, {{"fd00::1", 11211, 2}});
  CHECK(configuration("twemproxy", twemproxy).text.ends_with("   - fd00::1:11211:2\n"));
}

TEST_CASE("haproxy gets a listener for each server, and says which ring these are") {
  const auto dalli = ring(RingKind::Dalli, {{"a", 1}, {"10.0.0.2", 11211, 3}});
  const std::string text = configuration("haproxy", dalli).text;
  CHECK(text.find("larder where --ring dalli --servers 127.0.0.1:22201,127.0.0.1:22202:3\n") !=
        std::string::npos);
  CHECK(text.find("\nlisten larder-1\n    bind 127.0.0.1:22201\n    server node a:1 check") !=
        std::string::npos);
  CHECK(text.find("\nlisten larder-2\n    bind 127.0.0.1:22202\n    server node 10.0.0.2:11211 ") !=
        std::string::npos);
  CHECK(refusal("haproxy", ring(RingKind::Dalli, {{"::1", 1}})).starts_with("IPv6 addresses"));
  CHECK(refusal("haproxy", ring(RingKind::Dalli, {{"a", 1, 1, "first"}}))
            .starts_with("behind haproxy"));
}

TEST_CASE("a ring that a software does not have is refused with those that it has") {
  const auto dalli = ring(RingKind::Dalli, {{"a", 1}});
  CHECK(refusal("twemproxy", dalli) ==
        "twemproxy does not have the ring dalli: it has libmemcached-ketama-weighted and "
        "twemproxy-ketama-fnv1a_64");
  CHECK(refusal("php", dalli) ==
        "php-memcached does not have the ring dalli: it has libmemcached-ketama-weighted, "
        "libmemcached-ketama and libmemcached-modula");
}

TEST_CASE("servers that a software cannot take are refused") {
  const auto kind = RingKind::LibmemcachedKetamaWeighted;
  CHECK(refusal("php", ring(kind, {{"a", 1, 1, "first"}})).starts_with("php-memcached knows no "));
  for (const char* const name : {"twemproxy", "php"}) {
    CHECK(refusal(name, ring(kind, {{"/run/a", 0}}))
              .starts_with("no configuration is written for Unix"));
  }
  std::vector<client::RingNode> nodes;
  for (uint16_t port = 1; port <= 101; ++port) nodes.push_back({"a", port});
  CHECK(refusal("php", ring(kind, nodes)).starts_with("php-memcached cannot have more than 100"));
  CHECK(configuration("php", ring(RingKind::LibmemcachedModula, nodes)).error.empty());
  nodes.pop_back();
  CHECK(configuration("php", ring(kind, nodes)).error.empty());
}

TEST_CASE("software without any of the rings is refused with the reason, and unknown words") {
  const auto any = ring(RingKind::Dalli, {{"a", 1}});
  CHECK(refusal("mcrouter", any).find("mcrouter") != std::string::npos);
  CHECK_FALSE(configuration("mcrouter", any).unknown);
  CHECK(configuration("x", any).unknown);
  CHECK(refusal("x", any) == "'x' is none of twemproxy, nginx, haproxy and php");
}
