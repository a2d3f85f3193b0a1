#include "tools/client/ring.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tools/client/ring_label.h"

using namespace larder::client;

namespace {

std::string error_of(RingKind kind, std::vector<RingNode> nodes) {
  const RingResult made = Ring::make(kind, std::move(nodes));
  CHECK(made.ring.has_value() == made.error.empty());
  return made.error;
}

}  // namespace

TEST_CASE("every ring of one node gives it every key") {
  for (const RingKindRow& row : ring_kinds()) {
    const RingResult made = Ring::make(row.kind, {{"10.0.0.1", 11211}});
    REQUIRE(made.ring);
    CHECK(made.ring->kind() == row.kind);
    for (const char* key : {"", "a", "user:42", "\xff\x80"}) CHECK(made.ring->node_of(key) == 0);
  }
}

TEST_CASE("a key has its node whatever its bytes and its length") {
  for (const RingKindRow& row : ring_kinds()) {
    const RingResult made =
        Ring::make(row.kind, {{"10.0.0.1", 11211}, {"10.0.0.2", 11211}, {"10.0.0.3", 11211}});
    REQUIRE(made.ring);
    for (size_t length = 0; length < 300; ++length) {
      for (const char byte : {'\0', 'k', '\x80', '\xff'}) {
        CHECK(made.ring->node_of(std::string(length, byte)) < 3);
      }
    }
  }
}

TEST_CASE("a copy of a ring answers as the ring") {
  RingResult made = Ring::make(RingKind::PymemcacheRendezvous, {{"a", 1}, {"b", 1}, {"c", 1}});
  REQUIRE(made.ring);
  const Ring copy = *made.ring;
  made.ring.reset();
  CHECK(copy.nodes().size() == 3);
  CHECK(copy.node_of("user:42") < 3);
}

TEST_CASE("a ring that cannot be is refused with a sentence") {
  for (const RingKindRow& row : ring_kinds()) {
    CAPTURE(std::string(row.name));
    CHECK(error_of(row.kind, {}) == "a ring needs at least one node");
    CHECK(error_of(row.kind, {{"", 11211}}) == "a node of the ring has no host");
    CHECK(error_of(row.kind, {{"a", 0}}) == "node 'a' has no port");
    CHECK(error_of(row.kind, {{"a", 1, 0}}) ==
          "node 'a:1' has the weight 0, which is not from 1 to 1000000");
    CHECK(error_of(row.kind, {{"a", 1, 1'000'001}}) ==
          "node 'a:1' has the weight 1000001, which is not from 1 to 1000000");
    CHECK(error_of(row.kind, {{"a", 1}, {"b", 1}, {"a", 1}}) ==
          "node 'a:1' stands twice in the ring");
    CHECK(error_of(row.kind, {{"a", 1, 1, "same"}, {"b", 1, 1, "same"}}) ==
          "node 'same' stands twice in the ring");
    CHECK(error_of(row.kind, {{"a", 1}, {"a", 2}}) == "");
  }
}

TEST_CASE("a Unix socket needs no port, and two of one path are refused") {
  for (const RingKindRow& row : ring_kinds()) {
    if (row.kind == RingKind::SpymemcachedKetama) continue;
    CAPTURE(std::string(row.name));
    CHECK(error_of(row.kind, {{"/run/a", 0}, {"/run/b", 0}}) == "");
    CHECK(error_of(row.kind, {{"/run/a", 0}, {"/run/a", 11211}}).starts_with("node '/run/a"));
  }
}

TEST_CASE("an address that the library cannot have is refused with the reason") {
  CHECK(
      error_of(RingKind::SpymemcachedKetama, {{"/run/a", 0}}) ==
      "node '/run/a' cannot be in the ring spymemcached-ketama: spymemcached has no Unix sockets");
  CHECK(error_of(RingKind::SpymemcachedKetama, {{"fe80::1%eth0", 1}}) ==
        "node 'fe80::1%eth0:1' cannot be in the ring spymemcached-ketama: its host is no IPv6 "
        "address, or has a zone");
  CHECK(error_of(RingKind::Nginx, {{"fe80::1%eth0", 1}}) ==
        "node '[fe80::1%eth0]:1' cannot be in the ring nginx: its host is no IPv6 address, or has "
        "a zone");
  CHECK(error_of(RingKind::Dalli, {{"/run/a:b", 0}}) ==
        "node '/run/a:b' cannot be in the ring dalli: Dalli refuses a colon in the path of a Unix "
        "socket");
  CHECK(error_of(RingKind::Dalli, {{"::ffff:10.0.0.1", 1}}) ==
        "node '::ffff:10.0.0.1:1' cannot be in the ring dalli: Dalli refuses an IPv6 address with "
        "other characters than colons and hexadecimal digits");
}

TEST_CASE("a name replaces an address that the library cannot have") {
  CHECK(error_of(RingKind::SpymemcachedKetama, {{"/run/a", 0, 1, "a/10.0.0.1:11211"}}) == "");
  CHECK(error_of(RingKind::Dalli, {{"::ffff:10.0.0.1", 1, 1, "a:1"}}) == "");
}

TEST_CASE("a ring of nginx has no more points than memory should hold") {
  CHECK(
      error_of(RingKind::Nginx, {{"a", 1, 60'000}, {"b", 1, 6'000}}) ==
      "the weights of a ring of nginx add up to at most 65536 here: each unit is 160 points of it");
  CHECK(error_of(RingKind::Nginx, {{"a", 1, 1000}, {"b", 1}}) == "");
}

TEST_CASE("a weight is refused where the library knows none") {
  for (const RingKindRow& row : ring_kinds()) {
    const std::string expected =
        row.weights == RingWeights::Refused
            ? "node 'b:1' has a weight, but " + std::string(row.name) + " knows none"
            : "";
    CHECK(error_of(row.kind, {{"a", 1}, {"b", 1, 2}}) == expected);
  }
}

TEST_CASE("the most nodes and the highest weights make a ring, one more does not") {
  std::vector<RingNode> nodes;
  for (uint32_t i = 0; i < kMaxRingNodes; ++i) {
    nodes.push_back({"host" + std::to_string(i), 11211, kMaxRingWeight});
  }
  const RingResult made = Ring::make(RingKind::LibmemcachedKetamaWeighted, nodes);
  REQUIRE(made.ring);
  CHECK(made.ring->node_of("user:42") < kMaxRingNodes);
  nodes.push_back({"one-more", 11211});
  CHECK(error_of(RingKind::LibmemcachedKetamaWeighted, nodes) ==
        "a ring takes at most 4096 nodes, not 4097");
}

TEST_CASE("a node of little weight among heavy ones may have no point at all") {
  // As in libmemcached: 2 * 40 / 1001 rounds down to none.
  const RingResult made =
      Ring::make(RingKind::LibmemcachedKetamaWeighted, {{"a", 11211}, {"b", 11211, 1000}});
  REQUIRE(made.ring);
  for (uint32_t i = 0; i < 1000; ++i) CHECK(made.ring->node_of(std::to_string(i)) == 1);
}

TEST_CASE("what is hashed for a node is what its library writes") {
  const RingNode usual{"10.0.0.1", 11211};
  const RingNode other{"10.0.0.1", 11212};
  CHECK(ring_label(RingKind::LibmemcachedKetamaWeighted, usual) == "10.0.0.1");
  CHECK(ring_label(RingKind::LibmemcachedKetama, usual) == "10.0.0.1");
  CHECK(ring_label(RingKind::TwemproxyKetamaFnv1a64, usual) == "10.0.0.1");
  CHECK(ring_label(RingKind::LibmemcachedKetamaWeighted, other) == "10.0.0.1:11212");
  CHECK(ring_label(RingKind::SpymemcachedKetama, usual) == "10.0.0.1:11211");
  CHECK(ring_label(RingKind::Dalli, usual) == "10.0.0.1:11211");
  CHECK(ring_label(RingKind::SpymemcachedKetama, {"cache", 1, 1, "cache/10.0.0.1:1"}) ==
        "cache/10.0.0.1:1");
}

TEST_CASE("a Unix socket is hashed as its library writes it, whatever its port") {
  const RingNode node{"/run/a", 11211};
  CHECK(ring_label(RingKind::LibmemcachedKetamaWeighted, node) == "/run/a:0");
  CHECK(ring_label(RingKind::LibmemcachedKetama, node) == "/run/a:0");
  CHECK(ring_label(RingKind::TwemproxyKetamaFnv1a64, node) == "/run/a:");
  CHECK(ring_label(RingKind::Nginx, node) == std::string("/run/a\0", 7));
  CHECK(ring_label(RingKind::Dalli, node) == "/run/a");
  CHECK(ring_label(RingKind::PymemcacheRendezvous, node) == "/run/a");
}

TEST_CASE("an IPv6 address is hashed as its library writes it") {
  const RingNode node{"FD00::00a:1", 11212};
  CHECK(ring_label(RingKind::LibmemcachedKetamaWeighted, node) == "FD00::00a:1:11212");
  CHECK(ring_label(RingKind::TwemproxyKetamaFnv1a64, node) == "FD00::00a:1:11212");
  CHECK(ring_label(RingKind::Dalli, node) == "FD00::00a:1:11212");
  CHECK(ring_label(RingKind::PymemcacheRendezvous, node) == "FD00::00a:1:11212");
  CHECK(ring_label(RingKind::Nginx, node) == std::string("[FD00::00a:1]\00011212", 19));
  CHECK(ring_label(RingKind::SpymemcachedKetama, node) == "[fd00:0:0:0:0:0:a:1]:11212");
  CHECK(ring_label(RingKind::SpymemcachedKetama, {"::ffff:10.0.0.1", 1}) == "10.0.0.1:1");
}
