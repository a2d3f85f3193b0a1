// Sizes and lifetimes: a distribution as a table of its quantiles, indexed by a hash, so that what
// a key gets is a pure function of its number and costs one load.
//
//   100  fixed:100                 always so many
//   uniform:50:1000                each from 50 to 1000 as often
//   lognormal:MEAN:SIGMA           what caches hold; MEAN is that of the values, not of their logs
//   zipf:MIN:MAX:SKEW              MIN most often, MIN + r in proportion to (r + 1)^-SKEW
//   twitter4 twitter18 twitter24 twitter29 twitter52
//                                  the mean value sizes of these clusters, lognormal
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace larder::bench {

// Immutable: any thread.
class Distribution {
 public:
  explicit Distribution(uint32_t fixed) : table_{fixed} {}
  // Throws std::invalid_argument with a sentence about `text`.
  static Distribution parse(std::string_view text);

  uint32_t at(uint64_t hash) const { return table_[hash & (table_.size() - 1)]; }
  // One or kQuantiles values in rising order; at(hash) is table()[hash % size].
  const std::vector<uint32_t>& table() const { return table_; }
  bool fixed() const { return table_.size() == 1; }
  double mean() const;
  uint32_t min() const { return table_.front(); }
  uint32_t max() const { return table_.back(); }
  // Raises and lowers what lies outside.
  Distribution clamped(uint32_t least, uint32_t most) const;

  static constexpr size_t kQuantiles = 4096;  // a power of two; 16 KiB, which stay in the L2

 private:
  explicit Distribution(std::vector<uint32_t> table) : table_(std::move(table)) {}

  std::vector<uint32_t> table_;
};

// Clusters of Twitter's caches: Yang, Yue and Rashmi, "A large scale analysis of hundreds of
// in-memory cache clusters at Twitter", OSDI 2020. Means as published; the spread is ours.
struct Preset {
  std::string_view name;
  uint32_t key_bytes;
  uint32_t value_bytes;
};

inline constexpr double kPresetSigma = 0.9;
inline constexpr Preset kPresets[] = {
    {"twitter4", 67, 2439}, {"twitter18", 18, 37},  {"twitter24", 32, 699},
    {"twitter29", 36, 799}, {"twitter52", 20, 273},
};

// Null if there is none of that name.
const Preset* find_preset(std::string_view name);

}  // namespace larder::bench
