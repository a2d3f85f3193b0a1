// KeySamples: what the keys show that workers look at, one of some hundred: which are hot, and what
// becomes of requests by key prefix.
//
// The hot keys are those of the last minutes: counts are halved every kHalfLifeSeconds. Prefixes
// are counted since they came into the table; the largest kMaxPrefixes are in it. All counts are of
// samples: times kKeySampleEvery they tell about requests. Any thread; workers come with dozens of
// samples at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/hash.h"
#include "core/mutex.h"
#include "core/units.h"
#include "daemon/space_saving.h"

namespace larder::daemon {

// Of so many commands with a key one is looked at, on average. (Gets pipelined by 32: the cost is
// within the noise.)
constexpr uint32_t kKeySampleEvery = 256;

// A key and what became of it.
struct KeySample {
  enum class What : uint8_t { Hit, Miss, Set, Delete, Other };

  static constexpr size_t kKeyBytes = 110;  // what is kept of a longer key; its hash is of all

  uint64_t hash = 0;
  What what = What::Other;
  uint8_t key_bytes = 0;
  bool cut = false;  // there is more of the key
  std::array<char, kKeyBytes> key;

  // seed  KeySamples::seed() of those that it is added to
  void set(std::string_view whole_key, What became, uint64_t seed) noexcept;
  std::string_view view() const noexcept { return {key.data(), key_bytes}; }
};
static_assert(sizeof(KeySample) <= 128);

struct HotKey {
  std::string key;   // of a long one the beginning, "..." and the hash, which tells it from others
  double count = 0;  // at most so many samples, of those in `total`
  double error = 0;  // and at least count - error
};

struct PrefixFigures {
  std::string prefix;
  uint64_t hits = 0, misses = 0, sets = 0, deletes = 0;  // samples
  double count = 0;                                      // at most, lately: what the order goes by
};

struct KeyFigures {
  std::vector<HotKey> keys;             // the hottest first
  double total = 0;                     // samples, halved as the keys' are
  std::vector<PrefixFigures> prefixes;  // likewise
  uint64_t samples = 0;                 // ever
};

class KeySamples {
 public:
  static constexpr uint32_t kMaxKeys = 256;
  static constexpr uint32_t kMaxPrefixes = 512;
  static constexpr core::Seconds kHalfLifeSeconds = 60;

  // delimiter  ends the prefix of a key; a key without one has none
  // seed       of the hashes that stand for keys and prefixes; a random one, so that clients cannot
  //            make up names that are counted as one
  KeySamples(char delimiter, uint64_t seed) : delimiter_(delimiter), seed_(seed) {}

  static uint64_t random_seed();
  uint64_t seed() const noexcept { return seed_; }

  void add(std::span<const KeySample> samples, core::Seconds now) EXCLUDES(mutex_);
  KeyFigures figures(uint32_t most_keys, uint32_t most_prefixes, core::Seconds now)
      EXCLUDES(mutex_);
  void clear() EXCLUDES(mutex_);

 private:
  struct Prefix {
    std::string name;
    uint64_t hits = 0, misses = 0, sets = 0, deletes = 0;
  };

  void age(core::Seconds now) REQUIRES(mutex_);
  void add_prefix(const KeySample& sample) REQUIRES(mutex_);

  const char delimiter_;
  const uint64_t seed_;
  core::Mutex mutex_;
  SpaceSaving key_counts_ GUARDED_BY(mutex_){kMaxKeys};
  std::vector<std::string> keys_ GUARDED_BY(mutex_) = std::vector<std::string>(kMaxKeys);
  SpaceSaving prefix_counts_ GUARDED_BY(mutex_){kMaxPrefixes};
  std::vector<Prefix> prefixes_ GUARDED_BY(mutex_) = std::vector<Prefix>(kMaxPrefixes);
  uint64_t samples_ GUARDED_BY(mutex_) = 0;
  core::Seconds halved_at_ GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::daemon
