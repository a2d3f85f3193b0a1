#include "daemon/watchdog.h"

#include <array>
#include <catch2/catch.hpp>

using larder::daemon::Watchdog;
using namespace std::chrono_literals;

TEST_CASE("as long as every worker beats all are alive") {
  const Watchdog::Clock::time_point start;
  Watchdog watchdog(8s, 2, start);
  CHECK(watchdog.interval() == 2s);
  std::array<uint64_t, 2> beats{};
  for (int i = 1; i < 100; ++i) {
    beats[i % 2] += 1;
    CHECK(watchdog.all_alive(beats, start + i * 2s));
  }
}

TEST_CASE(
    "a worker that has not been seen to beat for half the timeout is not alive, until it does") {
  const Watchdog::Clock::time_point start;
  Watchdog watchdog(8s, 3, start);
  CHECK(watchdog.all_alive(std::array<uint64_t, 3>{1, 1, 1}, start + 1s));
  CHECK(watchdog.all_alive(std::array<uint64_t, 3>{2, 1, 2}, start + 5s));
  CHECK_FALSE(watchdog.all_alive(std::array<uint64_t, 3>{3, 1, 3}, start + 6s));
  CHECK(watchdog.all_alive(std::array<uint64_t, 3>{3, 2, 3}, start + 7s));
}

TEST_CASE("a worker that never beats is missed, too") {
  const Watchdog::Clock::time_point start;
  Watchdog watchdog(8s, 1, start);
  CHECK(watchdog.all_alive(std::array<uint64_t, 1>{0}, start + 4s));
  CHECK_FALSE(watchdog.all_alive(std::array<uint64_t, 1>{0}, start + 5s));
}

TEST_CASE("an idle worker's pace is never taken for death") {
  const Watchdog::Clock::time_point start;
  Watchdog watchdog(100us, 1, start);
  CHECK(watchdog.interval() == 1ms);
  CHECK(watchdog.all_alive(std::array<uint64_t, 1>{0}, start + 1400ms));
  CHECK_FALSE(watchdog.all_alive(std::array<uint64_t, 1>{0}, start + 1600ms));
}
