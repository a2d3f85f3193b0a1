#include "core/heat.h"

#include <catch2/catch.hpp>

using namespace larder::core;

namespace {

Heat used(Heat heat, int times, Seconds now = 100) {
  for (int i = 0; i < times; ++i) heat = heat.used(now, Heat::kFetched);
  return heat;
}

}  // namespace

TEST_CASE("uses are counted up to seven") {
  const Heat fresh = Heat::fresh(100);
  CHECK(fresh.uses() == 0);
  CHECK_FALSE(fresh.fetched());
  CHECK(fresh.is_cold());
  CHECK(used(fresh, 1).uses() == 1);
  CHECK(used(fresh, 1).fetched());
  CHECK_FALSE(used(fresh, 1).is_cold());
  CHECK(used(fresh, 7).uses() == 7);
  CHECK(used(fresh, 1000).uses() == 7);
  CHECK_FALSE(fresh.used(100, 0).fetched());
}

TEST_CASE("once saturated, nothing is stored for a minute or until the hand came by") {
  const Heat full = used(Heat::fresh(100), 7, 101);
  CHECK(full.is_saturated(101, Heat::kFetched));
  CHECK(full.is_saturated(159, Heat::kFetched));
  CHECK_FALSE(full.is_saturated(160, Heat::kFetched));
  CHECK(full.used(160, Heat::kFetched).idle_seconds(160) == 0);
  CHECK_FALSE(used(Heat::fresh(100), 6).is_saturated(101, Heat::kFetched));
  CHECK_FALSE(full.passed_by_uses().is_saturated(101, Heat::kFetched));
  Heat unread = Heat::fresh(100);
  for (int i = 0; i < 7; ++i) unread = unread.used(100, 0);
  CHECK(unread.is_saturated(101, 0));
  CHECK_FALSE(unread.is_saturated(101, Heat::kFetched));
}

TEST_CASE("the hand halves an item's credit, which a use renews in full") {
  Heat heat = used(Heat::fresh(100), 7).passed_by_uses();
  CHECK(heat.left() == 7);
  CHECK_FALSE(heat.seen());
  heat = heat.passed_by_uses();
  CHECK(heat.left() == 3);
  heat = used(heat, 1).passed_by_uses();
  CHECK(heat.left() == 7);
  for (const uint32_t left : {3, 1, 0}) {
    CHECK_FALSE(heat.is_cold());
    heat = heat.passed_by_uses();
    CHECK(heat.left() == left);
  }
  CHECK(heat.is_cold());
  CHECK(heat.uses() == 7);
}

TEST_CASE("as LRU it passes once, whatever the uses") {
  const Heat heat = used(Heat::fresh(100), 5).passed_once();
  CHECK(heat.is_cold());
  CHECK(heat.uses() == 5);
}

TEST_CASE("what takes an item's place inherits its uses, unread") {
  const Heat heat = used(Heat::fresh(100), 3).inherited(500);
  CHECK(heat.uses() == 3);
  CHECK(heat.left() == 3);
  CHECK_FALSE(heat.fetched());
  CHECK_FALSE(heat.seen());
  CHECK(heat.idle_seconds(501) == 1);
}

TEST_CASE("the access time is exact for a new item, a minute behind at most, and wraps") {
  Heat heat = Heat::fresh(100);
  CHECK(heat.idle_seconds(100) == 0);
  CHECK(heat.idle_seconds(103) == 3);
  heat = heat.used(159, Heat::kFetched);
  CHECK(heat.idle_seconds(159) == 59);
  CHECK(heat.used(160, Heat::kFetched).idle_seconds(160) == 0);
  CHECK(heat.idle_seconds(99) == 0);  // another thread's clock is ahead
  const Seconds late = (1u << 24) - 5;
  CHECK(Heat::fresh(late).idle_seconds(late + 100) == 100);
  CHECK(Heat::fresh(late).uses() == 0);
  CHECK(Heat::fresh(UINT32_MAX).idle_seconds(9) == 10);
}
