#include "tools/bench/histogram.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "tools/bench/random.h"

using namespace larder::bench;

namespace {

constexpr double kQuantiles[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};

// As many latencies in each decade from nanoseconds to minutes.
std::vector<uint64_t> latencies(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<uint64_t> values;
  for (size_t i = 0; i < count; ++i) {
    values.push_back(static_cast<uint64_t>(std::pow(10, 10.7 * random.unit())));
  }
  return values;
}

uint64_t exact(const std::vector<uint64_t>& sorted, double quantile) {
  const auto rank = static_cast<size_t>(std::ceil(quantile * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

}  // namespace

TEST_CASE("a quantile is at most a thousandth above that of the sorted values") {
  for (const uint64_t seed : {1, 2, 3}) {
    auto values = latencies(20'000, seed);
    Histogram histogram;
    for (const uint64_t v : values) histogram.record(v);
    std::sort(values.begin(), values.end());
    for (const double q : kQuantiles) {
      const uint64_t expected = exact(values, q);
      CAPTURE(seed, q, expected);
      CHECK(histogram.quantile_ns(q) >= expected);
      CHECK(static_cast<double>(histogram.quantile_ns(q)) <= static_cast<double>(expected) * 1.001);
    }
    CHECK(histogram.max_ns() == values.back());
    CHECK(histogram.min_ns() == values.front());
  }
}

TEST_CASE("small values are counted exactly") {
  Histogram histogram;
  for (uint64_t v = 0; v < 2048; ++v) histogram.record(v);
  for (uint64_t v = 0; v < 2048; ++v) {
    CHECK(histogram.quantile_ns(static_cast<double>(v + 1) / 2048) == v);
  }
}

TEST_CASE("merged histograms are those of all values") {
  Histogram one;
  Histogram other;
  Histogram all;
  for (const uint64_t v : latencies(1000, 4)) {
    one.record(v);
    all.record(v);
  }
  for (const uint64_t v : latencies(1000, 5)) {
    other.record(v, 3);
    for (int i = 0; i < 3; ++i) all.record(v);
  }
  one.merge(other);
  one.merge(Histogram());
  CHECK(one.count() == 4000);
  CHECK(one.mean_ns() == Approx(all.mean_ns()));
  for (const double q : kQuantiles) CHECK(one.quantile_ns(q) == all.quantile_ns(q));
}

TEST_CASE("a histogram without values says 0") {
  Histogram histogram;
  CHECK(histogram.quantile_ns(0.99) == 0);
  CHECK(histogram.mean_ns() == 0);
  histogram.record(5);
  histogram.clear();
  CHECK(histogram.count() == 0);
  CHECK(histogram.quantile_ns(0.5) == 0);
  CHECK(histogram.max_ns() == 0);
}

TEST_CASE("what is longer than the longest counts as that") {
  Histogram histogram;
  histogram.record(UINT64_MAX);
  CHECK(histogram.quantile_ns(1) == Histogram::kMaxNs);
}
