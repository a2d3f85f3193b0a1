// SpaceSaving: which of very many things come most often, in a fixed number of slots (Metwally,
// Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data Streams").
//
// 1. A thing that comes more often than 1 / capacity of the time is in a slot.
// 2. Its true count is at most count_of(slot) and at least count_of(slot) - error_of(slot).
// 3. What is not in a slot came at most as often as the least count.
//
// Both hold also after halve(), for counts that are halved likewise. One thread.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace larder::daemon {

class SpaceSaving {
 public:
  explicit SpaceSaving(uint32_t capacity);

  struct Place {
    uint32_t slot = 0;
    bool fresh = false;  // the slot is another thing's from now on
  };
  // One more of the thing with this hash, which stands for it. Throws std::bad_alloc, and nothing
  // has changed.
  Place count(uint64_t hash);
  void halve();
  void clear();

  uint32_t size() const noexcept { return static_cast<uint32_t>(counts_.size()); }
  // In things; halved ones have fractions.
  double count_of(uint32_t slot) const noexcept;
  double error_of(uint32_t slot) const noexcept;
  double total() const noexcept;  // of all that were counted

 private:
  static constexpr uint64_t kOne = 256;  // parts of a thing, so that halves are not lost

  uint32_t take_least();

  const uint32_t capacity_;
  std::vector<uint64_t> counts_, errors_, hashes_;  // by slot
  std::unordered_map<uint64_t, uint32_t> slots_;    // by hash
  uint64_t total_ = 0;
  uint64_t least_ = 0;   // no count is below it
  uint32_t cursor_ = 0;  // where to look for the next one that has it
};

}  // namespace larder::daemon
