#include "tools/client/ring_quality.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace larder::client;

namespace {

constexpr uint32_t kKeys = 50'000;

std::vector<RingNode> nodes(uint32_t count) {
  std::vector<RingNode> made;
  for (uint32_t i = 0; i < count; ++i) made.push_back({"10.0.0." + std::to_string(i + 1), 11211});
  return made;
}

Ring ring(RingKind kind, std::vector<RingNode> of) {
  RingResult made = Ring::make(kind, std::move(of));
  REQUIRE(made.error == "");
  return *made.ring;
}

}  // namespace

TEST_CASE("the load is counted, and measured against the weights") {
  const Ring one = ring(RingKind::Gomemcache, nodes(1));
  CHECK(max_over_mean_load(one, 1000) == 1);
  // One key is all on one of four nodes.
  CHECK(max_over_mean_load(ring(RingKind::Gomemcache, nodes(4)), 1) == 4);
  CHECK(loads_of(one, 1000) == std::vector<uint32_t>{1000});
  // modula follows no weight: the node of 1 in 10 has a half.
  const Ring uneven = ring(RingKind::LibmemcachedModula, {{"a", 1, 1}, {"b", 1, 9}});
  CHECK(max_over_mean_load(uneven, kKeys) == Approx(5).epsilon(0.05));
}

TEST_CASE("what moves is counted by node, not by its place in the list") {
  std::vector<RingNode> turned = nodes(5);
  const Ring forth = ring(RingKind::PymemcacheRendezvous, turned);
  std::reverse(turned.begin(), turned.end());
  CHECK(share_of_keys_moved(forth, ring(RingKind::PymemcacheRendezvous, turned), 1000) == 0);
  // The order is all that gomemcache knows: only the keys of the middle stay.
  CHECK(share_of_keys_moved(ring(RingKind::Gomemcache, nodes(5)),
                            ring(RingKind::Gomemcache, turned),
                            kKeys) == Approx(0.8).epsilon(0.02));
  // Nothing stays with nodes of other names.
  CHECK(share_of_keys_moved(forth, ring(RingKind::Gomemcache, {{"x", 1}}), 1000) == 1);
}

TEST_CASE("the least that can move is what nodes gain") {
  CHECK(least_share_moved(ring(RingKind::Dalli, nodes(3)), ring(RingKind::Dalli, nodes(4))) ==
        Approx(0.25));
  CHECK(least_share_moved(ring(RingKind::Dalli, nodes(4)), ring(RingKind::Dalli, nodes(3))) ==
        Approx(0.25));
  CHECK(least_share_moved(ring(RingKind::Dalli, {{"a", 1}, {"b", 1}}),
                          ring(RingKind::Dalli, {{"a", 1, 3}, {"b", 1}})) == Approx(0.25));
}

TEST_CASE("rings move about what they must when a node comes, and modulo nearly all") {
  for (const RingKindRow& row : ring_kinds()) {
    CAPTURE(std::string(row.name));
    const Ring before = ring(row.kind, nodes(10));
    const Ring after = ring(row.kind, nodes(11));
    const double moved = share_of_keys_moved(before, after, kKeys);
    if (row.kind == RingKind::LibmemcachedModula || row.kind == RingKind::Gomemcache) {
      CHECK(moved == Approx(10.0 / 11).epsilon(0.02));
    } else {
      CHECK(moved > 0.06);
      CHECK(moved < 0.13);
    }
  }
}

TEST_CASE("no ring leaves a node with twice its share") {
  for (const RingKindRow& row : ring_kinds()) {
    CAPTURE(std::string(row.name));
    CHECK(max_over_mean_load(ring(row.kind, nodes(10)), kKeys) < 1.5);
    if (row.weights != RingWeights::Followed) continue;
    std::vector<RingNode> weighted = nodes(10);
    for (uint32_t i = 0; i < weighted.size(); ++i) weighted[i].weight = 1 + i % 3;
    CHECK(max_over_mean_load(ring(row.kind, weighted), kKeys) < 1.6);
  }
}
