// Latencies by command: how long the server took from the parsing of a request until its reply was
// written, in log-linear buckets.
//
// Of values below 32 ns each has a bucket of its own; above, every power of two is cut into 16
// equal buckets, so that a bucket is never wider than a sixteenth of its values. (larder-bench has
// the same kind with finer buckets, for one thread: tools/bench/histogram.h.) Each worker records
// into its own; who asks adds them up.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/atomic.h"
#include "proto/command.h"

namespace larder::daemon {

// What requests are told apart by, whatever their dialect.
enum class CommandKind : uint8_t {
  Get,
  Gat,  // and mg with T
  Set,
  Add,
  Replace,
  Append,
  Prepend,
  Cas,
  Delete,
  Incr,
  Decr,
  Touch,
  Other,
};
constexpr size_t kCommandKinds = 13;

std::string_view name_of(CommandKind kind) noexcept;  // "get"
CommandKind kind_of(const proto::Command& command) noexcept;

namespace latency_detail {
constexpr int kBits = 5;
constexpr size_t kHalf = size_t{1} << (kBits - 1);
constexpr int kMaxBits = 36;  // 68 s; longer counts as this
constexpr size_t kBuckets = (kMaxBits - kBits) * kHalf + 2 * kHalf;
}  // namespace latency_detail

// Written by one thread, read by any.
class LatencyHistogram {
 public:
  void record(uint64_t ns, uint64_t times = 1) noexcept;
  void reset() noexcept;  // any thread; what is recorded meanwhile may survive

 private:
  friend class LatencySnapshot;

  std::array<core::Counter, latency_detail::kBuckets> buckets_;
  core::Counter sum_ns_;
};

using LatencyHistograms = std::array<LatencyHistogram, kCommandKinds>;

// What was in histograms when they were added. One thread.
class LatencySnapshot {
 public:
  void add(const LatencyHistogram& histogram) noexcept;
  // Leaves what has been recorded since `earlier`; nothing if they were reset in between.
  void subtract(const LatencySnapshot& earlier) noexcept;

  uint64_t count() const noexcept { return count_; }
  uint64_t sum_ns() const noexcept { return sum_ns_; }
  uint64_t mean_ns() const noexcept { return count_ == 0 ? 0 : sum_ns_ / count_; }
  // The upper end of the bucket that a share of `quantile` (0 to 1) does not go beyond; 0 if there
  // is nothing.
  uint64_t quantile_ns(double quantile) const noexcept;
  // How many took less than 2^bits ns, 5 <= bits <= 36.
  uint64_t below_power(int bits) const noexcept;

 private:
  std::array<uint64_t, latency_detail::kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
};

using LatencySnapshots = std::array<LatencySnapshot, kCommandKinds>;

// What was recorded lately: in the last kSpan to twice that, if somebody asks once in kSpan. One
// thread.
class RecentLatencies {
 public:
  static constexpr std::chrono::seconds kSpan{10};
  using Clock = std::chrono::steady_clock;

  // all  everything recorded until now
  LatencySnapshots since_then(const LatencySnapshots& all, Clock::time_point now);

 private:
  LatencySnapshots older_{};
  LatencySnapshots newer_{};
  Clock::time_point newer_at_{};
};

}  // namespace larder::daemon
