#include "daemon/latency.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <iterator>

namespace larder::daemon {
namespace {

using latency_detail::kBits;
using latency_detail::kBuckets;
using latency_detail::kHalf;
using latency_detail::kMaxBits;

constexpr uint64_t kMaxNs = (uint64_t{1} << kMaxBits) - 1;

size_t bucket_of(uint64_t ns) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - kBits);
  return static_cast<size_t>(shift) * kHalf + static_cast<size_t>(ns >> shift);
}

uint64_t upper_end(size_t bucket) {
  if (bucket < 2 * kHalf) return bucket;
  const size_t shift = bucket / kHalf - 1;
  return ((static_cast<uint64_t>(bucket - shift * kHalf) + 1) << shift) - 1;
}

constexpr std::string_view kNames[] = {"get",    "gat",     "set",  "add",    "replace",
                                       "append", "prepend", "cas",  "delete", "incr",
                                       "decr",   "touch",   "other"};
static_assert(std::size(kNames) == kCommandKinds);

CommandKind kind_of_store(const proto::Command& command) {
  switch (command.mode) {
    case proto::StoreMode::Add:
      return CommandKind::Add;
    case proto::StoreMode::Replace:
      return CommandKind::Replace;
    case proto::StoreMode::Append:
      return CommandKind::Append;
    case proto::StoreMode::Prepend:
      return CommandKind::Prepend;
    case proto::StoreMode::Set:
      break;
  }
  return command.wants(proto::Want::kCompareCas) ? CommandKind::Cas : CommandKind::Set;
}

}  // namespace

std::string_view name_of(CommandKind kind) noexcept { return kNames[static_cast<size_t>(kind)]; }

CommandKind kind_of(const proto::Command& command) noexcept {
  using proto::Op;
  switch (command.op) {
    case Op::Get:
      return command.wants(proto::Want::kTouch) ? CommandKind::Gat : CommandKind::Get;
    case Op::Store:
      return kind_of_store(command);
    case Op::Remove:
      return CommandKind::Delete;
    case Op::Arith:
      return command.wants(proto::Want::kDecrement) ? CommandKind::Decr : CommandKind::Incr;
    case Op::Touch:
      return CommandKind::Touch;
    default:
      return CommandKind::Other;
  }
}

void LatencyHistogram::record(uint64_t ns, uint64_t times) noexcept {
  ns = std::min(ns, kMaxNs);
  buckets_[bucket_of(ns)].add(times);
  sum_ns_.add(ns * times);
}

void LatencyHistogram::reset() noexcept {
  for (core::Counter& bucket : buckets_) bucket.reset();
  sum_ns_.reset();
}

void LatencySnapshot::add(const LatencyHistogram& histogram) noexcept {
  for (size_t i = 0; i < kBuckets; ++i) {
    const uint64_t n = histogram.buckets_[i].get();
    buckets_[i] += n;
    count_ += n;
  }
  sum_ns_ += histogram.sum_ns_.get();
}

void LatencySnapshot::subtract(const LatencySnapshot& earlier) noexcept {
  if (earlier.count_ > count_ || earlier.sum_ns_ > sum_ns_) {
    *this = LatencySnapshot();
    return;
  }
  count_ = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    buckets_[i] -= std::min(buckets_[i], earlier.buckets_[i]);
    count_ += buckets_[i];
  }
  sum_ns_ -= earlier.sum_ns_;
}

uint64_t LatencySnapshot::quantile_ns(double quantile) const noexcept {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  uint64_t seen = 0;
  size_t last = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    if (buckets_[i] == 0) continue;
    last = i;
    seen += buckets_[i];
    if (seen >= rank) break;
  }
  return upper_end(last);
}

uint64_t LatencySnapshot::below_power(int bits) const noexcept {
  assert(bits >= kBits && bits <= kMaxBits);
  const size_t end = (static_cast<size_t>(bits - kBits) + 2) * kHalf;
  uint64_t below = 0;
  for (size_t i = 0; i < end; ++i) below += buckets_[i];
  return below;
}

LatencySnapshots RecentLatencies::since_then(const LatencySnapshots& all, Clock::time_point now) {
  if (now - newer_at_ >= kSpan) {
    older_ = newer_;
    newer_ = all;
    newer_at_ = now;
  }
  LatencySnapshots recent = all;
  for (size_t i = 0; i < recent.size(); ++i) recent[i].subtract(older_[i]);
  return recent;
}

}  // namespace larder::daemon
