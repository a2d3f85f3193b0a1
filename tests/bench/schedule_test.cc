#include "tools/bench/schedule.h"

#include <catch2/catch.hpp>

using namespace larder::bench;

TEST_CASE("an even schedule does not drift") {
  // 300,000 a second: 3333.3 ns.
  Schedule schedule(Arrivals::Even, 1'000'000, 1e9 / 300'000, 0, 1);
  CHECK(schedule.due_ns() == 1'000'000);
  for (int i = 0; i < 300'000; ++i) schedule.advance();
  CHECK(schedule.due_ns() == 1'001'000'000);
  for (int i = 0; i < 300'000 * 59; ++i) schedule.advance();
  CHECK(schedule.due_ns() == 60'001'000'000);
}

TEST_CASE("threads with their phases take turns") {
  Schedule first(Arrivals::Even, 0, 1000, 0, 1);
  Schedule second(Arrivals::Even, 0, 1000, 0.5, 1);
  for (uint64_t i = 0; i < 10; ++i) {
    CHECK(first.due_ns() == 1000 * i);
    CHECK(second.due_ns() == 1000 * i + 500);
    first.advance();
    second.advance();
  }
}

TEST_CASE("poisson arrivals come at the rate, unevenly") {
  constexpr int kArrivals = 100'000;
  Schedule schedule(Arrivals::Poisson, 0, 1000, 0, 1);
  int early = 0;  // gaps below the mean: 1 - 1/e of them
  for (int i = 0; i < kArrivals; ++i) {
    const uint64_t before = schedule.due_ns();
    schedule.advance();
    early += schedule.due_ns() - before < 1000;
  }
  CHECK(static_cast<double>(schedule.due_ns()) == Approx(1000.0 * kArrivals).epsilon(0.02));
  CHECK(early == Approx(0.632 * kArrivals).epsilon(0.02));
}
