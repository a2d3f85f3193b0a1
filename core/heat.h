// Heat: what is known of an item's use, in the one word of it that readers write.
//
//   31         8 7    5 4    2  1     0
//   +-----------+------+------+------+---------+
//   | access 24 | left | uses | seen | fetched |
//   +-----------+------+------+------+---------+
//
//  access   when it was last used, in seconds, modulo 194 days; at most a minute behind
//  left     credit with the hand of its class, which halves it each time it passes
//  uses     how often it was used since its key was first stored, up to 7
//  seen     used since the hand last came by
//  fetched  read since it was stored; not every use is a read (an add that met it is none)
//
// Readers write it with plain stores, and not at all once `uses` is full, `seen` is set and the
// access time is under a minute old. A lost update costs a tick.
#pragma once

#include <cstdint>

#include "core/units.h"

namespace larder::core {

// Which item goes when room is needed: core/eviction.h.
enum class EvictionOrder : uint8_t { Density, Lru };

class Heat {
 public:
  static constexpr uint32_t kMostUses = 7;

  constexpr Heat() = default;
  explicit constexpr Heat(uint32_t word) noexcept : word_(word) {}
  // Of an item that is new, and of one that takes the place of another under the same key: what is
  // known of the key's popularity goes on, but this value has not been read.
  static constexpr Heat fresh(Seconds now) noexcept { return Heat(now << kAccessShift); }
  constexpr Heat inherited(Seconds now) const noexcept {
    return Heat(now << kAccessShift | (word_ & kUsesMask) | uses() << kLeftShift);
  }

  constexpr bool operator==(const Heat&) const = default;
  constexpr uint32_t word() const noexcept { return word_; }
  constexpr bool fetched() const noexcept { return (word_ & kFetched) != 0; }
  constexpr bool seen() const noexcept { return (word_ & kSeen) != 0; }
  constexpr uint32_t uses() const noexcept { return word_ >> kUsesShift & 7; }
  constexpr uint32_t left() const noexcept { return word_ >> kLeftShift & 7; }
  // Seconds since the last use; 0 where another thread's clock is a little ahead of `now`.
  constexpr uint32_t idle_seconds(Seconds now) const noexcept {
    const uint32_t idle = (now - (word_ >> kAccessShift)) & kAccessMask;
    return idle < kAccessMask - 3600 ? idle : 0;
  }

  // True if a use leaves it as it is.
  constexpr bool is_saturated(Seconds now, uint32_t mark) const noexcept {
    constexpr uint32_t kFull = kMostUses << kUsesShift | kSeen;
    return (word_ & (kFull | mark)) == (kFull | mark) && idle_seconds(now) < kAccessStepSeconds;
  }
  // mark   kFetched for a read, 0 where the item was only in the way
  constexpr Heat used(Seconds now, uint32_t mark) const noexcept {
    uint32_t next = word_ | mark | kSeen;
    if (uses() < kMostUses) next += 1u << kUsesShift;
    if (idle_seconds(now) >= kAccessStepSeconds) {
      next = (next & ((1u << kAccessShift) - 1)) | now << kAccessShift;
    }
    return Heat(next);
  }

  // -- What the hand does. It takes what has no round left and was not seen.
  constexpr bool is_cold() const noexcept { return (word_ & (kLeftMask | kSeen)) == 0; }
  // Passed over: with new credit for all its uses if it was seen, else with half of what was left.
  constexpr Heat passed_by_uses() const noexcept {
    const uint32_t left_now = seen() ? uses() : left() / 2;
    return Heat((word_ & ~(kLeftMask | kSeen)) | left_now << kLeftShift);
  }
  // To be passed over once more than its uses say.
  constexpr Heat with_grace() const noexcept { return Heat(word_ | kSeen); }
  // How often it will be passed over if it is not used meanwhile.
  constexpr uint32_t passes_by_uses() const noexcept {
    uint32_t passes = 0;
    for (Heat heat = *this; !heat.is_cold(); heat = heat.passed_by_uses()) ++passes;
    return passes;
  }
  // Passed over once for all uses since the last time.
  constexpr Heat passed_once() const noexcept { return Heat(word_ & ~(kLeftMask | kSeen)); }

  static constexpr uint32_t kFetched = 1;

 private:
  static constexpr uint32_t kSeen = 2;
  static constexpr unsigned kUsesShift = 2;
  static constexpr uint32_t kUsesMask = kMostUses << kUsesShift;
  static constexpr unsigned kLeftShift = 5;
  static constexpr uint32_t kLeftMask = 7u << kLeftShift;
  static constexpr unsigned kAccessShift = 8;
  static constexpr uint32_t kAccessMask = (1u << 24) - 1;
  static constexpr Seconds kAccessStepSeconds = 60;

  uint32_t word_ = 0;
};

}  // namespace larder::core
