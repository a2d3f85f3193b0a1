// Latencies as counts in log-linear buckets: three significant digits from 1 ns to 60 s.
//
// Values below 2048 ns have a bucket each; above, every power of two is cut into 1024 equal
// buckets, so that a bucket is never wider than a thousandth of its values. One thread; results are
// merged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace larder::bench {

class Histogram {
 public:
  static constexpr uint64_t kMaxNs = (uint64_t{1} << 36) - 1;  // 68 s; longer counts as this

  void record(uint64_t ns, uint64_t times = 1);
  void merge(const Histogram& other);
  void clear();

  uint64_t count() const { return count_; }
  uint64_t max_ns() const { return max_ns_; }
  uint64_t min_ns() const { return count_ == 0 ? 0 : min_ns_; }
  double mean_ns() const;
  // The smallest value that a share of `quantile` (0 to 1) does not exceed, as the upper end of its
  // bucket; 0 when nothing was recorded.
  uint64_t quantile_ns(double quantile) const;

 private:
  std::vector<uint64_t> buckets_;  // empty until the first value: many are never used
  uint64_t count_ = 0;
  uint64_t min_ns_ = UINT64_MAX;
  uint64_t max_ns_ = 0;
  double sum_ns_ = 0;
};

}  // namespace larder::bench
