#include "tools/larder/fleet.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <stdexcept>

using namespace larder;
using namespace larder::operate;

namespace {

Fleet fleet_of(size_t nodes) {
  std::vector<client::RingNode> named;
  for (size_t i = 0; i < nodes; ++i) named.push_back({"10.0.0.1", static_cast<uint16_t>(1 + i)});
  auto made = client::Ring::make(client::kDefaultRing, std::move(named));
  REQUIRE(made.ring);
  return Fleet(std::move(*made.ring), {});
}

}  // namespace

TEST_CASE("every node is visited, also where there are more than threads at once") {
  Fleet fleet = fleet_of(70);
  std::vector<std::atomic<int>> visits(fleet.size());
  fleet.on_every_node([&](size_t node) { ++visits[node]; });
  for (const std::atomic<int>& one : visits) CHECK(one == 1);
}

TEST_CASE("an exception of a visit is thrown to the caller when all visits have ended") {
  Fleet fleet = fleet_of(5);
  std::atomic<int> ended{0};
  const auto visit = [&](size_t node) {
    ++ended;
    if (node == 1) throw std::runtime_error("no memory");
  };
  CHECK_THROWS_WITH(fleet.on_every_node(visit), "no memory");
  CHECK(ended == 5);
}
