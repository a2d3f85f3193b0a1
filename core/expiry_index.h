// ExpiryIndex: which of a shard's pages hold something that has expired.
//
// The earliest expiry of each page, in the order of the slab's page list, and over them the minima
// of 16, of 16 of those, and so on to one: whether anything is due is one comparison, and a due
// page is found by some 16 comparisons a level. Expiries may be earlier than the truth (items are
// removed, or touched to live longer), never later; who finds nothing in a due page sets it right.
//
// Threads: under the shard's lock.
#pragma once

#include <cstdint>
#include <vector>

#include "core/units.h"

namespace larder::core {

class ExpiryIndex {
 public:
  static constexpr Seconds kLater = UINT32_MAX;  // nothing there expires
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t size() const noexcept { return static_cast<uint32_t>(levels_.front().size()); }
  Seconds earliest() const noexcept { return size() == 0 ? kLater : levels_.back().front(); }
  Seconds of(uint32_t page) const noexcept { return levels_.front()[page]; }
  // A page whose earliest expiry is not after `now`, or kNone.
  uint32_t find_due(Seconds now) const noexcept;

  // Has memory for the next add(). Throws std::bad_alloc, and nothing has changed.
  void prepare();
  // A page joins at the end; nothing in it expires. Allocates nothing after prepare().
  void add();
  // A page leaves; the last takes its place.
  void remove(uint32_t page) noexcept;
  // Something in the page expires at that time.
  void lower(uint32_t page, Seconds expiry) noexcept;
  // That is the earliest there.
  void set(uint32_t page, Seconds expiry) noexcept;

  void check_invariants() const;

 private:
  static constexpr uint32_t kFanOut = 16;

  Seconds minimum(size_t level, size_t node) const noexcept;

  // levels_[k][i] is the least of levels_[k - 1][16 i .. 16 i + 15]; the last has one entry at
  // most.
  std::vector<std::vector<Seconds>> levels_{1};
  std::vector<Seconds> spare_;  // memory for the next level
};

}  // namespace larder::core
