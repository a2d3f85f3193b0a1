#include "tools/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace larder::bench {
namespace {

constexpr int kBits = 11;  // 2048 buckets that are one wide: a thousandth from 1024 on
constexpr size_t kHalf = size_t{1} << (kBits - 1);
constexpr size_t kBuckets = (36 - kBits) * kHalf + 2 * kHalf;

size_t bucket_of(uint64_t ns) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - kBits);
  return static_cast<size_t>(shift) * kHalf + static_cast<size_t>(ns >> shift);
}

uint64_t upper_end(size_t bucket) {
  if (bucket < 2 * kHalf) return bucket;
  const size_t shift = bucket / kHalf - 1;
  return ((static_cast<uint64_t>(bucket - shift * kHalf) + 1) << shift) - 1;
}

static_assert(kBuckets == 27648);

}  // namespace

void Histogram::record(uint64_t ns, uint64_t times) {
  ns = std::min(ns, kMaxNs);
  if (buckets_.empty()) buckets_.resize(kBuckets);
  buckets_[bucket_of(ns)] += times;
  count_ += times;
  min_ns_ = std::min(min_ns_, ns);
  max_ns_ = std::max(max_ns_, ns);
  sum_ns_ += static_cast<double>(ns) * static_cast<double>(times);
}

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  if (buckets_.empty()) buckets_.resize(kBuckets);
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  min_ns_ = std::min(min_ns_, other.min_ns_);
  max_ns_ = std::max(max_ns_, other.max_ns_);
  sum_ns_ += other.sum_ns_;
}

void Histogram::clear() {
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = 0;
  min_ns_ = UINT64_MAX;
  max_ns_ = 0;
  sum_ns_ = 0;
}

double Histogram::mean_ns() const {
  return count_ == 0 ? 0 : sum_ns_ / static_cast<double>(count_);
}

uint64_t Histogram::quantile_ns(double quantile) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::min(upper_end(i), max_ns_);
  }
  return max_ns_;
}

}  // namespace larder::bench
