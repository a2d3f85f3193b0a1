// ItemWriter: the only code that writes an item's bytes. For core's own files.
#pragma once

#include <cassert>
#include <cstring>
#include <new>

#include "core/item.h"
#include "core/result.h"

namespace larder::core {

// What an item of this key and shape looks like in memory.
struct ItemLayout {
  uint8_t state_bits = 0;
  uint32_t more = 0;
  uint32_t head_bytes = 0;  // header, options, key
};

class ItemWriter {
 public:
  static ItemLayout layout(size_t key_bytes, const ItemShape& shape, bool large) noexcept {
    ItemLayout l;
    l.head_bytes = Item::kHeaderBytes;
    // A large item always has the word: a first expiry shall not copy so much.
    if (shape.expiry != kNever || large) {
      l.state_bits |= Item::kHasExpiry;
      l.head_bytes += 4;
    }
    if (shape.client_flags != 0) {
      l.state_bits |= Item::kHasFlags;
      l.head_bytes += 4;
    }
    if (shape.base64_key) l.more |= Item::kMoreBase64;
    if (shape.has_explicit_cas) l.more |= Item::kMoreWideCas;
    if (large) l.more |= Item::kMoreLarge;
    if (l.more != 0) {
      l.state_bits |= Item::kHasMore;
      l.head_bytes += 4;
      if ((l.more & Item::kMoreWideCas) != 0) l.head_bytes += 8;
      if ((l.more & Item::kMoreLarge) != 0) l.head_bytes += Item::kLargeBytes;
    }
    l.head_bytes += static_cast<uint32_t>(key_bytes);
    return l;
  }

  // Writes everything but the value and the sequence number; the item stays a draft.
  static Item* begin(char* chunk, const ItemLayout& l, std::string_view key, const ItemShape& shape,
                     uint32_t first_part_bytes, Seconds now) noexcept {
    Item* item = reinterpret_cast<Item*>(chunk);
    item->seq_ = 0;
    item->heat_.store(Heat::fresh(now).word(), std::memory_order_relaxed);
    item->key_bytes_ = static_cast<uint8_t>(key.size());
    item->value_bytes_ = static_cast<uint16_t>(first_part_bytes);
    char* at = chunk + Item::kHeaderBytes;
    const auto write32 = [&at](uint32_t v) {
      std::memcpy(at, &v, sizeof v);
      at += sizeof v;
    };
    const auto write64 = [&at](uint64_t v) {
      std::memcpy(at, &v, sizeof v);
      at += sizeof v;
    };
    if ((l.state_bits & Item::kHasExpiry) != 0) write32(shape.expiry);
    if ((l.state_bits & Item::kHasFlags) != 0) write32(shape.client_flags);
    if ((l.state_bits & Item::kHasMore) != 0) {
      write32(l.more);
      if ((l.more & Item::kMoreWideCas) != 0) write64(shape.explicit_cas);
      if ((l.more & Item::kMoreLarge) != 0) {
        write64(0);
        write32(shape.value_bytes);
        write64(0);
        write64(0);
      }
    }
    std::memcpy(at, key.data(), key.size());
    item->state_.store(static_cast<uint8_t>(Item::kDraft | l.state_bits),
                       std::memory_order_relaxed);
    return item;
  }

  // A part of a large value: the header's first word is the next part's reference.
  static char* begin_part(char* chunk, uint32_t payload_bytes) noexcept {
    Item* part = reinterpret_cast<Item*>(chunk);
    const uint64_t none = 0;
    std::memcpy(chunk, &none, sizeof none);
    part->key_bytes_ = Item::kPartMark;
    part->value_bytes_ = static_cast<uint16_t>(payload_bytes);
    part->state_.store(Item::kDraft, std::memory_order_relaxed);
    return chunk + Item::kHeaderBytes;
  }
  static void link_part(char* part_chunk, Ref next) noexcept {
    std::memcpy(part_chunk, &next, sizeof next);
  }
  static Ref next_of_part(const char* part_chunk) noexcept {
    Ref next;
    std::memcpy(&next, part_chunk, sizeof next);
    return next;
  }
  static std::string_view part_payload(const char* part_chunk) noexcept {
    const Item* part = reinterpret_cast<const Item*>(part_chunk);
    return {part_chunk + Item::kHeaderBytes, part->value_bytes_};
  }
  static void link_first_part(Item& head, Ref next) noexcept { write_large(head, 0, next); }
  static void set_ring_previous(Item& head, Ref ref) noexcept { write_large(head, 12, ref); }
  static void set_ring_next(Item& head, Ref ref) noexcept { write_large(head, 20, ref); }

  static void set_seq(Item& item, uint32_t seq) noexcept { item.seq_ = seq; }
  static void set_heat(const Item& item, Heat heat) noexcept {
    item.heat_.store(heat.word(), std::memory_order_relaxed);
  }
  static void set_state(Item& item, uint8_t state) noexcept {
    item.state_.store(state, std::memory_order_release);
  }
  // False if the item has no word for an expiry.
  static bool take_expiry(Item& item, Seconds expiry) noexcept {
    if ((item.state() & Item::kHasExpiry) == 0) return expiry == kNever;
    item.expiry_word().store(expiry, std::memory_order_relaxed);
    return true;
  }

  // Copies a live item into another chunk, as a draft. Under the shard's lock.
  static Item* copy(char* chunk, const Item& from) noexcept {
    Item* item = reinterpret_cast<Item*>(chunk);
    item->seq_ = from.seq_;
    item->heat_.store(from.heat().word(), std::memory_order_relaxed);
    item->key_bytes_ = from.key_bytes_;
    item->value_bytes_ = from.value_bytes_;
    const uint8_t state = from.state_.load(std::memory_order_relaxed);
    uint32_t offset = Item::kHeaderBytes;
    if ((state & Item::kHasExpiry) != 0) {
      // Read as the atomic that it is.
      const uint32_t expiry = from.expiry_word().load(std::memory_order_relaxed);
      std::memcpy(chunk + offset, &expiry, sizeof expiry);
      offset += sizeof expiry;
    }
    std::memcpy(chunk + offset, from.bytes() + offset, from.stored_bytes() - offset);
    item->state_.store(static_cast<uint8_t>(state & ~Item::kStateMask), std::memory_order_relaxed);
    return item;
  }

 private:
  static void write_large(Item& head, uint32_t offset, Ref ref) noexcept {
    std::memcpy(const_cast<char*>(head.bytes()) + head.large_offset() + offset, &ref, sizeof ref);
  }
};

// Notes a use: a plain store to a word that no writer needs, and none at all once it is saturated.
//
// mark   Heat::kFetched for a hit, 0 where the item was only in the way
inline void note_use(const Item& item, Heat heat, Seconds now, uint32_t mark) noexcept {
  if (!heat.is_saturated(now, mark)) ItemWriter::set_heat(item, heat.used(now, mark));
}

inline void note_hit(const Item& item, Heat heat, Seconds now) noexcept {
  note_use(item, heat, now, Heat::kFetched);
}

}  // namespace larder::core
