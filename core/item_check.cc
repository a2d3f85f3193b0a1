#include "core/item_check.h"

#include <array>
#include <cstring>

#include "core/hash.h"
#include "core/item_writer.h"

namespace larder::core {
namespace {

constexpr uint32_t kMostKeyBytes = 250;
// Bits of a state that an item may have.
constexpr uint8_t kKnownBits = Item::kStateMask | Item::kStale | Item::kWinSent | Item::kHasExpiry |
                               Item::kHasFlags | Item::kHasMore;
constexpr uint32_t kKnownMore = Item::kMoreBase64 | Item::kMoreWideCas | Item::kMoreLarge;

uint8_t life_of(const Item& item) noexcept { return item.state() & Item::kStateMask; }

// Whether header and options lie in a chunk of so many bytes; the key and the value may not.
bool has_whole_head(const Item& item, uint32_t chunk_bytes) noexcept {
  const uint8_t state = item.state();
  if ((state & ~kKnownBits) != 0) return false;
  uint32_t bytes = Item::kHeaderBytes;
  if ((state & Item::kHasExpiry) != 0) bytes += 4;
  if ((state & Item::kHasFlags) != 0) bytes += 4;
  if ((state & Item::kHasMore) != 0) {
    bytes += 4;
    if (bytes > chunk_bytes) return false;
    const uint32_t more = item.more();
    if (more == 0 || (more & ~kKnownMore) != 0) return false;
    if ((more & Item::kMoreWideCas) != 0) bytes += 8;
    if ((more & Item::kMoreLarge) != 0) bytes += Item::kLargeBytes;
  }
  return bytes <= chunk_bytes;
}

}  // namespace

ItemCheck::ItemCheck(PagePool& pool, const SizeClasses& sizes, const OfShard& shard)
    : pool_(pool),
      sizes_(sizes),
      shard_(shard),
      classes_(sizes.count()),
      heads_(sizes.item_count()) {}

uint64_t ItemCheck::mix(Ref ref, uint32_t position) noexcept {
  // The finalizer of splitmix64, over a word in which both are whole.
  static_assert(kRefBits <= 38);
  uint64_t x = ref * 0x9E3779B97F4A7C15u + position;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

const Item* ItemCheck::chunk_at(Ref ref) const {
  const PageNumber page = PagePool::page_of(ref);
  if (ref >> kRefBits != 0 || page == 0 || page >= pool_.pages_end()) return nullptr;
  const PageInfo& info = pool_.info(page);
  if (info.shard != shard_.number) return nullptr;
  const auto units = static_cast<uint32_t>(ref & ((Ref{1} << kPageShift) - 1));
  if (info.kind == PageInfo::Kind::Large) {
    if (units != 0) return nullptr;
  } else {
    if (info.kind != PageInfo::Kind::Chunks) return nullptr;
    const uint32_t units_each = info.chunk_bytes >> kRefShift;
    if (units % units_each != 0 || units / units_each >= info.carved) return nullptr;
  }
  return reinterpret_cast<const Item*>(pool_.at(ref));
}

const char* ItemCheck::check_page(PageNumber page) {
  const PageInfo& info = pool_.info(page);
  const auto chunk = [&](uint32_t index) {
    return (Ref{page} << kPageShift) + index * (info.chunk_bytes >> kRefShift);
  };
  // A bit for each chunk; the smallest has 16 bytes.
  std::array<uint64_t, kPageBytes / 16 / 64> is_free{};
  uint16_t index = info.free_head;
  for (uint32_t left = info.carved - info.used; left > 0; --left) {
    if (index >= info.carved) return "a list of free chunks leads out of its page";
    uint64_t& bits = is_free[index / 64];
    if ((bits >> index % 64 & 1) != 0) return "a list of free chunks is a circle";
    bits |= uint64_t{1} << index % 64;
    std::memcpy(&index, pool_.at(chunk(index)), sizeof index);
  }
  if (index != kNoChunk) return "a list of free chunks is too long";
  uint32_t live = 0;
  uint32_t parts = 0;
  for (uint32_t c = 0; c < info.carved; ++c) {
    const Ref ref = chunk(c);
    const Item& item = *reinterpret_cast<const Item*>(pool_.at(ref));
    const uint8_t life = life_of(item);
    if ((is_free[c / 64] >> c % 64 & 1) != 0) {
      if (life != Item::kDraft) return "a free chunk is in use";
    } else if (life == Item::kLive) {
      ++live;
      if (const char* wrong = check_item(page, ref); wrong != nullptr) return wrong;
    } else if (life == Item::kDraft && item.key_bytes() == Item::kPartMark) {
      ++parts;
      sum_of_parts_ += mix(ref, 0);
    } else {
      return "a chunk is neither an item, nor a part of one, nor free";
    }
  }
  if (parts != info.parts || live + parts != info.used) return "a page has more or fewer items";
  return nullptr;
}

void ItemCheck::count_large_page(PageNumber page) {
  sum_of_parts_ += mix(Ref{page} << kPageShift, 0);
}

const char* ItemCheck::check_item(PageNumber page, Ref ref) {
  const PageInfo& info = pool_.info(page);
  const Item& item = *reinterpret_cast<const Item*>(pool_.at(ref));
  const char* const length = "an item's lengths do not fit its chunk";
  if (!has_whole_head(item, info.chunk_bytes)) return length;
  if (item.key_bytes() == 0 || item.key_bytes() > kMostKeyBytes) return length;
  const uint32_t stored = item.stored_bytes();
  if (stored > info.chunk_bytes) return length;
  const uint32_t block =
      static_cast<uint32_t>(ref & ((Ref{1} << kPageShift) - 1)) / (kBlockBytes >> kRefShift);
  if (item.expiry() != kNever && pool_.expiries(page)[block] > item.expiry()) {
    return "an item expires before its block does";
  }
  // Of its sequence number an item has the low 32 bits.
  const auto age = static_cast<uint32_t>(static_cast<uint32_t>(shard_.sequence) - item.seq());
  if (age > shard_.sequence) return "an item is younger than the latest";
  const KeyHash hash = hash_key(item.key(), shard_.hash_seed);
  if (hash.shard_bits() >> shard_.shard_shift != shard_.number)
    return "a key lies in another's shard";
  sum_of_items_ += mix(ref, hash.position());
  ++items_;
  if (item.is_large()) {
    if (info.size_class >= heads_.size()) return length;
    ++heads_[info.size_class];
    ++large_items_;
    if (const char* wrong = check_parts(item); wrong != nullptr) return wrong;
  }
  OfClass& of_class = classes_[sizes_.class_for(stored)];
  ++of_class.items;
  of_class.bytes += uint64_t{stored} + item.value_bytes() - item.part_bytes();
  return nullptr;
}

const char* ItemCheck::check_parts(const Item& item) {
  const char* const wrong = "a large item's parts are not its own";
  uint64_t bytes = item.part_bytes();
  for (Ref ref = item.next_part(); ref != 0;) {
    const Item* const part = chunk_at(ref);
    if (part == nullptr || life_of(*part) != Item::kDraft || part->key_bytes() != Item::kPartMark) {
      return wrong;
    }
    const uint32_t payload = part->part_bytes();
    bytes += payload;
    // Each part has some bytes, so that a circle ends.
    if (payload == 0 || bytes > item.value_bytes() ||
        payload > pool_.info(PagePool::page_of(ref)).chunk_bytes - Item::kHeaderBytes) {
      return wrong;
    }
    sum_of_links_ += mix(ref, 0);
    ref = ItemWriter::next_of_part(pool_.at(ref));
  }
  return bytes == item.value_bytes() ? nullptr : wrong;
}

void ItemCheck::count_slot(uint32_t position, Ref ref) { sum_of_slots_ += mix(ref, position); }

const char* ItemCheck::check_sums() const {
  if (sum_of_items_ != sum_of_slots_) return "its table does not name the items that are there";
  if (sum_of_parts_ != sum_of_links_) return "a part belongs to no item, or to two";
  return nullptr;
}

bool ItemCheck::is_large_item(Ref ref) const {
  if (ref == 0) return false;
  const Item* const item = chunk_at(ref);
  return item != nullptr && pool_.info(PagePool::page_of(ref)).kind == PageInfo::Kind::Chunks &&
         life_of(*item) == Item::kLive && item->is_large();
}

}  // namespace larder::core
