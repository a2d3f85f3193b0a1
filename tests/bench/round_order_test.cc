#include "tools/bench/round_order.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <utility>

using namespace larder::bench;

TEST_CASE("two servers are measured A B, B A") {
  CHECK(order_of_round(1, 7) == std::vector<size_t>{0});
  CHECK(order_of_round(2, 0) == std::vector<size_t>{0, 1});
  CHECK(order_of_round(2, 1) == std::vector<size_t>{1, 0});
  CHECK(order_of_round(2, 2) == std::vector<size_t>{0, 1});
}

TEST_CASE("each server has each place of a round, and follows each other one, equally often") {
  for (size_t count = 2; count <= 9; ++count) {
    CAPTURE(count);
    const size_t rounds = count % 2 == 0 ? count : 2 * count;
    std::map<std::pair<size_t, size_t>, size_t> places;
    std::map<std::pair<size_t, size_t>, size_t> successions;
    for (size_t round = 0; round < rounds; ++round) {
      const std::vector<size_t> order = order_of_round(count, round);
      CHECK(std::set<size_t>(order.begin(), order.end()).size() == count);
      for (size_t place = 0; place < count; ++place) {
        REQUIRE(order[place] < count);
        ++places[{order[place], place}];
        if (place > 0) ++successions[{order[place - 1], order[place]}];
      }
    }
    CHECK(places.size() == count * count);
    for (const auto& [where, times] : places) CHECK(times == rounds / count);
    CHECK(successions.size() == count * (count - 1));
    for (const auto& [pair, times] : successions) CHECK(times == rounds / count);
  }
}
