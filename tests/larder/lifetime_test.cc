#include "tools/larder/lifetime.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

TEST_CASE("a lifetime of up to 30 days is sent as it is, a longer one as a date") {
  constexpr int64_t kNow = 1'800'000'000;
  CHECK(exptime_of(0, kNow) == 0);
  CHECK(exptime_of(2'592'000, kNow) == 2'592'000);
  CHECK(exptime_of(2'592'001, kNow) == kNow + 2'592'001);
  CHECK(exptime_of(kMostSecondsToLive, kNow + 100'000'000) == INT32_MAX);
}

TEST_CASE("a date is sent as a date, and none as never") {
  CHECK(exptime_of_date(0) == 0);
  CHECK(exptime_of_date(-1) == 0);
  CHECK(exptime_of_date(1'800'000'000) == 1'800'000'000);
  CHECK(exptime_of_date(5) == 2'592'001);  // long ago, and not in five seconds
  CHECK(exptime_of_date(int64_t{1} << 40) == INT32_MAX);
}
