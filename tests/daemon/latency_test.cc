#include "daemon/latency.h"

#include <catch2/catch.hpp>

namespace larder::daemon {
namespace {

LatencySnapshot snapshot(const LatencyHistogram& histogram) {
  LatencySnapshot snapshot;
  snapshot.add(histogram);
  return snapshot;
}

TEST_CASE("a quantile is the upper end of its bucket, at most a sixteenth above the value") {
  for (const uint64_t ns : {0ull, 1ull, 31ull, 32ull, 1000ull, 12'345ull, 7'000'000ull,
                            3'000'000'000ull, (1ull << 36) - 1}) {
    INFO(ns);
    LatencyHistogram histogram;
    histogram.record(ns);
    const uint64_t shown = snapshot(histogram).quantile_ns(0.5);
    CHECK(shown >= ns);
    CHECK(shown <= ns + ns / 16);
  }
}

TEST_CASE("quantiles are where so many values are not above them") {
  LatencyHistogram histogram;
  for (uint64_t i = 1; i <= 1000; ++i) histogram.record(i * 1000);
  const LatencySnapshot all = snapshot(histogram);
  CHECK(all.count() == 1000);
  CHECK(all.mean_ns() == 500'500);
  for (const double quantile : {0.001, 0.5, 0.9, 0.99, 1.0}) {
    INFO(quantile);
    CHECK(static_cast<double>(all.quantile_ns(quantile)) ==
          Approx(quantile * 1e6).epsilon(1.0 / 16));
  }
  CHECK(LatencySnapshot().quantile_ns(0.5) == 0);
  CHECK(LatencySnapshot().mean_ns() == 0);
}

TEST_CASE("what is longer than the longest counts as that") {
  LatencyHistogram histogram;
  histogram.record(UINT64_MAX, 3);
  CHECK(snapshot(histogram).quantile_ns(1) == (uint64_t{1} << 36) - 1);
  CHECK(snapshot(histogram).below_power(36) == 3);
}

TEST_CASE("below a power of two are the values that are less") {
  LatencyHistogram histogram;
  for (const uint64_t ns : {31, 32, 255, 256, 257, 1023, 1024}) histogram.record(ns);
  const LatencySnapshot all = snapshot(histogram);
  CHECK(all.below_power(5) == 1);
  CHECK(all.below_power(8) == 3);
  CHECK(all.below_power(9) == 5);
  CHECK(all.below_power(10) == 6);
  CHECK(all.below_power(11) == 7);
}

TEST_CASE("histograms of workers add up, and a reset one is empty") {
  LatencyHistogram first;
  LatencyHistogram second;
  first.record(100, 2);
  second.record(1'000'000, 3);
  LatencySnapshot all;
  all.add(first);
  all.add(second);
  CHECK(all.count() == 5);
  CHECK(all.sum_ns() == 3'000'200);
  CHECK(all.quantile_ns(0.4) < 110);
  CHECK(all.quantile_ns(0.5) >= 1'000'000);
  first.reset();
  CHECK(snapshot(first).count() == 0);
  CHECK(snapshot(first).sum_ns() == 0);
}

TEST_CASE("recent latencies are those of the last span or two") {
  using std::chrono::seconds;
  RecentLatencies recent;
  LatencyHistogram histogram;
  RecentLatencies::Clock::time_point now{seconds(1000)};
  const auto count = [&] {
    LatencySnapshots all{};
    all[0].add(histogram);
    return recent.since_then(all, now)[0].count();
  };
  histogram.record(10, 7);
  CHECK(count() == 7);  // all there is
  now += RecentLatencies::kSpan;
  histogram.record(10, 2);
  CHECK(count() == 2);
  now += seconds(5);
  histogram.record(10, 1);
  CHECK(count() == 3);
  now += RecentLatencies::kSpan;
  CHECK(count() == 1);
  now += RecentLatencies::kSpan;
  CHECK(count() == 0);
  histogram.reset();
  CHECK(count() == 0);
}

TEST_CASE("a command's kind is what it is called in the classic protocol") {
  proto::Command command;
  const auto kind = [&](proto::Op op, proto::StoreMode mode, uint32_t want) {
    command.op = op;
    command.mode = mode;
    command.want = want;
    return name_of(kind_of(command));
  };
  using proto::Op;
  using proto::StoreMode;
  using proto::Want;
  CHECK(kind(Op::Get, StoreMode::Set, 0) == "get");
  CHECK(kind(Op::Get, StoreMode::Set, Want::kTouch) == "gat");
  CHECK(kind(Op::Store, StoreMode::Set, 0) == "set");
  CHECK(kind(Op::Store, StoreMode::Set, Want::kCompareCas) == "cas");
  CHECK(kind(Op::Store, StoreMode::Add, 0) == "add");
  CHECK(kind(Op::Store, StoreMode::Replace, 0) == "replace");
  CHECK(kind(Op::Store, StoreMode::Append, 0) == "append");
  CHECK(kind(Op::Store, StoreMode::Prepend, 0) == "prepend");
  CHECK(kind(Op::Remove, StoreMode::Set, 0) == "delete");
  CHECK(kind(Op::Arith, StoreMode::Set, 0) == "incr");
  CHECK(kind(Op::Arith, StoreMode::Set, Want::kDecrement) == "decr");
  CHECK(kind(Op::Touch, StoreMode::Set, 0) == "touch");
  CHECK(kind(Op::Stats, StoreMode::Set, 0) == "other");
}

}  // namespace
}  // namespace larder::daemon
