#include "daemon/clock.h"

#include <catch2/catch.hpp>

using larder::core::kFirstSecond;
using larder::daemon::Clock;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

// The test's own time; static, as a clock's source is a plain function.
int64_t monotonic_now = 0;
int64_t unix_now = 0;

Clock clock_at(int64_t monotonic, int64_t unix_time) {
  monotonic_now = monotonic;
  unix_now = unix_time;
  return Clock([] { return monotonic_now; }, [] { return unix_now; });
}

}  // namespace

TEST_CASE("the clock starts at the first second and counts whole seconds") {
  const Clock clock = clock_at(5 * kSecond, 1000 * kSecond);
  CHECK(clock.sample() == kFirstSecond);
  monotonic_now += kSecond - 1;
  CHECK(clock.sample() == kFirstSecond);
  monotonic_now += 1;
  CHECK(clock.sample() == kFirstSecond + 1);
}

TEST_CASE("cache seconds change together with the seconds of the wall clock") {
  const Clock clock = clock_at(77 * kSecond + 123, 1000 * kSecond + 900'000'000);
  CHECK(clock.sample() == kFirstSecond);
  monotonic_now += 100'000'000;  // on the wall 1001 begins
  CHECK(clock.sample() == kFirstSecond + 1);
  CHECK(clock.unix_time_of_zero() + clock.sample() == 1001);
}

TEST_CASE("a jump of the wall clock changes nothing") {
  const Clock clock = clock_at(0, 1000 * kSecond);
  const int64_t zero = clock.unix_time_of_zero();
  unix_now += 86400 * kSecond;
  CHECK(clock.sample() == kFirstSecond);
  CHECK(clock.unix_time_of_zero() == zero);
}

TEST_CASE("a frozen clock stands still, moves when told, and catches up when it runs again") {
  Clock clock = clock_at(0, 1000 * kSecond);
  clock.freeze();
  monotonic_now += 10 * kSecond;
  CHECK(clock.sample() == kFirstSecond);
  clock.freeze();  // again: nothing new
  CHECK(clock.sample() == kFirstSecond);
  clock.advance(3);
  CHECK(clock.sample() == kFirstSecond + 3);
  clock.run();
  CHECK(clock.sample() == kFirstSecond + 13);
}

TEST_CASE("the machine's clock agrees with unix time") {
  const Clock clock;
  const int64_t now = time(nullptr);
  const int64_t shown = clock.unix_time_of_zero() + clock.sample();
  CHECK(shown >= now - 1);
  CHECK(shown <= now + 1);
}

TEST_CASE("a clock that continues another counts the time between, unless the wall was set back") {
  Clock clock = clock_at(5 * kSecond, 1000 * kSecond + 900'000'000);
  clock.continue_from(500, 940);
  CHECK(clock.sample() == 560);
  monotonic_now += 100'000'000;  // on the wall 1001 begins
  CHECK(clock.sample() == 561);
  CHECK(clock.unix_time_of_zero() + clock.sample() == 1001);

  Clock set_back = clock_at(0, 1000 * kSecond);
  set_back.continue_from(500, 2000);
  CHECK(set_back.sample() == 500);
  CHECK(set_back.unix_time_of_zero() + set_back.sample() == 1000);
}
