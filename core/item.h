// Item: one key and its value, as it lies in the arena.
//
//  0        4        8    9    10   12
//  +--------+--------+----+----+----+ [expiry 4][flags 4][more 4][wide cas 8][large 28] key value
//  | seq 32 | heat 32| kl | st | vl |
//  +--------+--------+----+----+----+
//
//  seq   immutable   the shard's sequence number of this modification, low 32 bits: the CAS
//  heat  atomic, written by readers with plain stores: core/heat.h
//  kl    immutable   key length 1..250; 253 marks a part of a large value
//  st    atomic, written under the shard's lock only
//  vl    immutable   value length; in a large item the bytes of the first part
//
// The parts in brackets stand there only if their bit is set, in this order, so that common items
// do not pay for rare things. A large item always has the expiry word. An item is immutable once
// published but for heat, st and the expiry word. Starts are 4-byte aligned.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/atomic.h"
#include "core/heat.h"
#include "core/units.h"

namespace larder::core {

// A place in the arena in units of 4 bytes, 38 bits: 1 TiB. Never a raw pointer, so that slots are
// small and the arena may be mapped elsewhere.
using Ref = uint64_t;
constexpr unsigned kRefBits = 38;
constexpr unsigned kRefShift = 2;

class Item {
 public:
  // -- What readers may ask, on any thread, inside the turn in which they found the item.
  std::string_view key() const noexcept { return {bytes() + key_offset(), key_bytes_}; }
  bool is_large() const noexcept { return has_more() && (more() & kMoreLarge) != 0; }
  // The value if it is in one piece; of a large item its first part.
  std::string_view first_part() const noexcept {
    return {bytes() + key_offset() + key_bytes_, value_bytes_};
  }
  uint32_t value_bytes() const noexcept {
    return is_large() ? load_u32(large_offset() + 8) : value_bytes_;
  }
  uint32_t client_flags() const noexcept {
    const uint8_t st = state();
    return (st & kHasFlags) != 0 ? load_u32(kHeaderBytes + expiry_size(st)) : 0;
  }
  Seconds expiry() const noexcept {
    return (state() & kHasExpiry) != 0 ? expiry_word().load(std::memory_order_relaxed) : kNever;
  }
  bool base64_key() const noexcept { return has_more() && (more() & kMoreBase64) != 0; }
  bool stale() const noexcept { return (state() & kStale) != 0; }
  bool win_sent() const noexcept { return (state() & kWinSent) != 0; }
  Heat heat() const noexcept { return Heat(heat_.load(std::memory_order_relaxed)); }

  // Header, options, key and (first part of the) value.
  uint32_t stored_bytes() const noexcept { return key_offset() + key_bytes_ + value_bytes_; }
  // Likewise, with all parts of the value.
  uint32_t whole_bytes() const noexcept { return head_bytes() + value_bytes(); }

  // -- Layout, for core.
  static constexpr uint32_t kHeaderBytes = 12;

  static constexpr uint8_t kStateMask = 3;
  static constexpr uint8_t kDraft = 0;  // being filled, or a free chunk
  static constexpr uint8_t kLive = 1;
  static constexpr uint8_t kDead = 2;  // unlinked; readers of this turn may still look at it
  static constexpr uint8_t kStale = 1 << 2;
  static constexpr uint8_t kWinSent = 1 << 3;
  static constexpr uint8_t kHasExpiry = 1 << 5;
  static constexpr uint8_t kHasFlags = 1 << 6;
  static constexpr uint8_t kHasMore = 1 << 7;

  static constexpr uint32_t kMoreBase64 = 1;
  static constexpr uint32_t kMoreWideCas = 2;
  static constexpr uint32_t kMoreLarge = 4;

  // Next part 8, value length 4, neighbours in its ring (core/eviction.h) 8 and 8.
  static constexpr uint32_t kLargeBytes = 28;
  static constexpr uint8_t kPartMark = 253;  // key_bytes_ of a part

  // Of a large item. The ring is read and written under the shard's lock only.
  Ref next_part() const noexcept { return load_u64(large_offset()); }
  Ref ring_previous() const noexcept { return load_u64(large_offset() + 12); }
  Ref ring_next() const noexcept { return load_u64(large_offset() + 20); }
  uint32_t head_bytes() const noexcept { return key_offset() + key_bytes_; }
  uint32_t key_bytes() const noexcept { return key_bytes_; }
  uint32_t part_bytes() const noexcept { return value_bytes_; }

  uint8_t state() const noexcept { return state_.load(std::memory_order_acquire); }
  uint32_t seq() const noexcept { return seq_; }
  bool has_more() const noexcept { return (state() & kHasMore) != 0; }
  uint32_t more() const noexcept {
    const uint8_t st = state();
    return load_u32(kHeaderBytes + expiry_size(st) + flags_size(st));
  }
  bool has_wide_cas() const noexcept { return has_more() && (more() & kMoreWideCas) != 0; }
  uint64_t wide_cas() const noexcept { return load_u64(more_offset() + 4); }

 private:
  friend class ItemWriter;

  static uint32_t expiry_size(uint8_t st) noexcept { return (st & kHasExpiry) != 0 ? 4 : 0; }
  static uint32_t flags_size(uint8_t st) noexcept { return (st & kHasFlags) != 0 ? 4 : 0; }
  uint32_t more_offset() const noexcept {
    const uint8_t st = state();
    return kHeaderBytes + expiry_size(st) + flags_size(st);
  }
  uint32_t large_offset() const noexcept {
    return more_offset() + 4 + ((more() & kMoreWideCas) != 0 ? 8 : 0);
  }
  // g++ leaves eight calls in a set into a full cache.
  [[gnu::always_inline]] uint32_t key_offset() const noexcept {
    const uint8_t st = state();
    uint32_t offset = kHeaderBytes + expiry_size(st) + flags_size(st);
    if ((st & kHasMore) != 0) [[unlikely]] {
      const uint32_t more = load_u32(offset);
      offset +=
          4 + ((more & kMoreWideCas) != 0 ? 8 : 0) + ((more & kMoreLarge) != 0 ? kLargeBytes : 0);
    }
    return offset;
  }
  const char* bytes() const noexcept { return reinterpret_cast<const char*>(this); }
  uint32_t load_u32(uint32_t offset) const noexcept {
    uint32_t v;
    std::memcpy(&v, bytes() + offset, sizeof v);
    return v;
  }
  uint64_t load_u64(uint32_t offset) const noexcept {
    uint64_t v;
    std::memcpy(&v, bytes() + offset, sizeof v);
    return v;
  }
  Atomic<uint32_t>& expiry_word() const noexcept {
    return *reinterpret_cast<Atomic<uint32_t>*>(const_cast<char*>(bytes()) + kHeaderBytes);
  }

  uint32_t seq_;
  mutable Atomic<uint32_t> heat_;
  uint8_t key_bytes_;
  Atomic<uint8_t> state_;
  uint16_t value_bytes_;
};
static_assert(sizeof(Item) == Item::kHeaderBytes && alignof(Item) == 4);

}  // namespace larder::core
