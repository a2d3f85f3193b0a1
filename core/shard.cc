#include "core/shard.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "core/decimal.h"
#include "core/item_check.h"
#include "core/snapshot.h"

namespace larder::core {
namespace {

// Pages a full shard keeps empty, so that a class that runs dry need not wait for readers.
constexpr size_t kReservePages = 2;
// A shard with less than this part of its share of all pages keeps none empty.
constexpr size_t kFewOfShare = 8;
// A class with fewer pages uses what is free in the next class before it takes another: the page
// would stand half empty, which is more than the step between two classes.
constexpr size_t kFewPages = 6;
// How fast the room that a full shard keeps free follows its need, as shares of what is stored. (A
// fall of an 8th to a 32nd, a rise of a half to a 16th: 0.1 points of misses saved, 0.1 points of
// density.)
constexpr uint64_t kRoomRise = 4;
constexpr uint64_t kRoomFall = 16;
// How much room there may be beyond what is wanted while stores come one at a time.
constexpr uint64_t kMostRoomOver = 4 * kPageBytes;
// Slices of upkeep that only evict, from one look at what all shards hold to the next.
constexpr uint32_t kSlicesPerLook = 16;
// Of what is to be given back after the limit was lowered: emptied ahead of the pages that leave.
constexpr size_t kMostPagesAhead = 64;
// A part takes a whole page, or half of one, and so on down to a chunk of the largest items.
constexpr uint32_t kPagePartBytes = kPageBytes - Item::kHeaderBytes;
// In a retire entry: the item was moved, its parts live on under the copy.
constexpr Ref kMoved = Ref{1} << 63;
// Bounds of one hold of the lock.
constexpr uint32_t kReclaimAtOnce = 128;
constexpr uint32_t kSegmentsAtOnce = 16;  // of the table; after a long turn there may be hundreds
// How often a copy breaks the turn without getting a part, at most.
constexpr int kMostBreaksAtOnce = 1000;
// Retired chunks that are worth a look at the readers, and how many more after a look in vain: with
// many workers in short turns each look reads a line of each of them.
constexpr size_t kReclaimFrom = 64;
// Retired chunks that are freed within any slice of upkeep.
constexpr size_t kFewRetired = 8;
constexpr size_t kReclaimStep = 16;
constexpr uint32_t kUnlinkAtOnce = 64;
constexpr uint32_t kDrainAtOnce = 64;
// Pages that are empty but for chunks that readers may still see.
constexpr size_t kMostDrainedWaiting = kReservePages + 8;
constexpr uint32_t kBlocksAtOnce = 64;
// What one store does about expired items before it evicts live ones.
constexpr uint32_t kBlocksPerStore = 16;
constexpr uint32_t kUnlinksPerStore = 32;
// How many items a store looks at to make room for so many bytes, and how many it moves.
constexpr uint32_t room_steps(size_t bytes) { return 64 + static_cast<uint32_t>(bytes / 64); }
constexpr uint32_t kDrainPerStore = 16;
// One hold of the lock retires no more than the queue has prepared for. A store that takes a page
// retires most: an item for each step, expired ones, those that it moves, and the one it replaces.
static_assert(room_steps(kPageBytes) + kUnlinksPerStore + kDrainPerStore + 1 <=
              RetireQueue::kPreparedEntries);
// Items of a block whose table buckets are fetched together.
constexpr uint32_t kUnlinkBatch = 16;
// For so long after a flush its items lie where they are, so that those who ask for them are told
// (and counted) that it was the flush.
constexpr Seconds kFlushRestSeconds = 2;

// Where nobody observes: wants nothing, so that nothing need be asked before.
class NoObserver final : public Observer {
 public:
  void evicted(const Item&, uint32_t, Seconds) noexcept override {}
  void page_moved(uint32_t) noexcept override {}
};
NoObserver no_observer;

// The largest item that memcached keeps in one piece, by its measure (-o slab_chunk_max).
constexpr uint32_t kUpstreamChunkBytes = 512_KiB;

// memcached's own measure of an item, which -I is compared with: its 48-byte header, CAS, key and
// NUL, value and CRLF (items.c, protocol.txt "object too large").
uint64_t upstream_item_bytes(size_t key_bytes, const ItemShape& shape, bool cas) {
  return 48 + (cas ? 8 : 0) + key_bytes + 1 + (shape.client_flags != 0 ? 4 : 0) +
         uint64_t{shape.value_bytes} + 2;
}

// The payload of the next part where so much is left: the most that fills a kind of part, or all.
uint32_t part_payload(uint32_t rest) {
  for (uint32_t bytes = kPageBytes; bytes >= SizeClasses::kMaxItemBytes; bytes /= 2) {
    if (rest >= bytes - Item::kHeaderBytes) return bytes - Item::kHeaderBytes;
  }
  return rest;
}

// What is left of a value when all the parts that it fills are taken away.
uint32_t rest_of_parts(uint32_t value_bytes) {
  for (uint32_t bytes = kPageBytes; bytes >= SizeClasses::kMaxItemBytes; bytes /= 2) {
    value_bytes %= bytes - Item::kHeaderBytes;
  }
  return value_bytes;
}

}  // namespace

bool Shard::Holds::may_free(Ref ref) {
  if (holds_.empty()) return true;
  const auto held = holds_.find(ref);
  if (held == holds_.end()) return true;
  held->second.orphan = true;
  return false;
}

bool Shard::Holds::release(Ref ref) {
  const auto held = holds_.find(ref);
  assert(held != holds_.end());
  if (--held->second.count > 0) return false;
  const bool orphan = held->second.orphan;
  holds_.erase(held);
  return orphan;
}

Shard::Shard(const CacheConfig& config, const SizeClasses& sizes, PagePool& pool, Epoch& epoch,
             const UseCounts& uses, uint64_t hash_seed, uint16_t number, uint32_t shard_count)
    : config_(config),
      observer_(config.observer != nullptr ? *config.observer : no_observer),
      sizes_(sizes),
      pool_(pool),
      epoch_(epoch),
      hash_seed_(hash_seed),
      number_(number),
      shard_count_(shard_count),
      table_(pool, epoch, number),
      slab_(pool, sizes, number),
      eviction_(pool, slab_, sizes.item_count(), uses, config.order),
      horizon_(epoch),
      reclaim_from_(kReclaimFrom),
      counters_(sizes.count()) {
  reserve_.reserve(kReservePages);
}

uint64_t Shard::cas_of(const Item& item) const noexcept {
  if (!config_.cas) return 0;
  if (item.has_wide_cas()) return item.wide_cas();
  return widen(item.seq()) * shard_count_ + number_;
}

void Shard::value_parts(const Item& item, std::vector<std::string_view>& out) const {
  const std::string_view first = item.first_part();
  if (!item.is_large()) {
    out.push_back(first);
    return;
  }
  if (!first.empty()) out.push_back(first);
  for (Ref part = item.next_part(); part != 0;) {
    const char* at = pool_.at(part);
    out.push_back(ItemWriter::part_payload(at));
    part = ItemWriter::next_of_part(at);
  }
}

// -- Memory.

Ref Shard::take_chunk(uint32_t size_class, Seconds now) {
  const Ref ref = find_chunk(size_class);
  // What this lets go where no chunk was found is for the next attempt.
  keep_room(ref != 0 ? slab_.info(ref).chunk_bytes : slab_.chunk_bytes(size_class), now);
  return ref;
}

Ref Shard::find_chunk(uint32_t size_class) {
  Ref ref = slab_.take(size_class);
  if (ref == 0) {
    reclaim();
    ref = slab_.take(size_class);
  }
  if (ref == 0 && slab_.of(size_class).pages.size() < kFewPages &&
      size_class + 1 < sizes_.item_count()) {
    ref = slab_.take(size_class + 1);
  }
  if (ref == 0) {
    slab_.prepare_page(size_class);
    const PageNumber page = take_page();
    if (page == kNoPage) return 0;
    slab_.add_page(page, size_class);
    if (size_class < sizes_.item_count()) eviction_.wake(size_class);
    ref = slab_.take(size_class);
  }
  return ref;
}

PageNumber Shard::take_page() {
  // What can be had by waiting for nobody, before anything beyond the limit is borrowed.
  PageNumber page = kNoPage;
  do {
    page = pool_.take(false);
    if (page == kNoPage && !reserve_.empty()) {
      page = reserve_.back();
      reserve_.pop_back();
    }
  } while (page == kNoPage && reclaim() > 0);
  if (page == kNoPage && config_.evict) page = pool_.take(true);
  page_refused_ = page == kNoPage;
  note_pages();
  return page;
}

void Shard::give_page(PageNumber page) {
  if (config_.evict && pool_.pages_left() == 0 && pool_.pages_over_limit() == 0 &&
      reserve_.size() < kReservePages) {
    reserve_.push_back(page);
  } else {
    pool_.give_back(page);
  }
  note_pages();
}

void Shard::put_chunk(Ref ref) {
  ++chunks_freed_;
  const PageNumber page = slab_.put(ref);
  if (page == kNoPage) return;
  const PageInfo& info = pool_.info(page);
  if (info.kind == PageInfo::Kind::Chunks) {
    eviction_.page_left(info.size_class, info.index_in_class);
  }
  if (info.draining) {
    if (page == draining_) {
      draining_ = kNoPage;
    } else {
      --drained_waiting_;
    }
    ++pages_moved_;
    if (observer_.wants(Observer::kPageMoves)) [[unlikely]]
      observer_.page_moved(info.size_class);
  }
  give_page(page);
}

void Shard::free_item(Ref ref) {
  const bool moved = (ref & kMoved) != 0;
  ref &= ~kMoved;
  const Item& item = *item_at(ref);
  retired_bytes_ -= chunk_bytes_of(item);
  // The parts of a moved item live on under its copy.
  if (item.is_large() && !moved) {
    if (part_holds_.may_free(item.next_part())) {
      add_loose_parts(item.next_part(), true);
    } else {
      retired_bytes_ -= parts_bytes_of(item);
    }
  }
  if (holds_.may_free(ref)) {
    put_chunk(ref);
  } else {
    stop_drain(PagePool::page_of(ref));
  }
}

void Shard::loosen_parts(const Item& item) {
  if (item.is_large() && item.next_part() != 0) add_loose_parts(item.next_part(), false);
}

void Shard::add_loose_parts(Ref first, bool retired) noexcept {
  LooseParts parts{first, retired};
  try {
    loose_parts_.push_back(parts);
  } catch (const std::bad_alloc&) {
    while (parts.first != 0) free_first_of(parts);  // all at once, for want of memory to note them
  }
}

void Shard::free_loose_part() {
  LooseParts& parts = loose_parts_.back();
  LooseParts left = parts;
  free_first_of(left);
  if (left.first == 0) {
    loose_parts_.pop_back();
  } else {
    parts = left;
  }
}

void Shard::free_first_of(LooseParts& parts) {
  const Ref part = parts.first;
  const char* at = pool_.at(part);
  if (parts.retired) retired_bytes_ -= ItemWriter::part_payload(at).size();
  parts.first = ItemWriter::next_of_part(at);
  slab_.unmark_part(part);
  put_chunk(part);
}

uint32_t Shard::reclaim() {
  if (!has_freeable() && !table_.has_retired()) return 0;
  Epoch::Stamp horizon = horizon_.known();
  if (!retired_.empty() && retired_.front().stamp >= horizon) {
    if (retired_.front().stamp >= epoch_.now()) epoch_.advance();
    horizon = horizon_.look();
  } else if (table_.has_retired()) {
    horizon = horizon_.look();
  }
  uint32_t chunks = kReclaimAtOnce;
  for (; chunks > 0 && !retired_.empty(); --chunks) {
    const RetireQueue::Entry entry = retired_.front();
    if (entry.stamp >= horizon) break;
    retired_.pop();
    free_item(entry.ref);
  }
  for (; chunks > 0 && !loose_parts_.empty(); --chunks) free_loose_part();
  uint32_t segments = 0;
  if (table_.has_retired()) {
    segments = table_.reclaim(horizon, kSegmentsAtOnce);
    // What is left waits for an epoch that nobody may start otherwise.
    if (table_.has_retired() && retired_.empty()) epoch_.advance();
  }
  return kReclaimAtOnce - chunks + segments;
}

bool Shard::reclaim_slice() {
  MutexLock lock(mutex_);
  return reclaim() > 0;
}

void Shard::note_live(ClassCounters& c, const Item& item, int sign) {
  const int64_t bytes = item.whole_bytes();
  c.item_bytes += static_cast<uint64_t>(sign * bytes);
  c.items += static_cast<uint64_t>(int64_t{sign});
}

void Shard::retire(Item& item, Why why, Seconds now) {
  // Invariant 2 of core/epoch.h: else a reader that enters after the stamp may still find it.
  assert(table_.find_ref(ref_of(item), hash_of(item)) == nullptr);
  const uint32_t size_class = class_of(item);
  ClassCounters& c = counters_[size_class];
  const Heat heat = item.heat();
  if (why == Why::Evicted) {
    ++c.evicted;
    if (item.expiry() != kNever) ++c.evicted_nonzero;
    if (!heat.fetched()) ++c.evicted_unfetched;
    const Seconds age = heat.idle_seconds(now);
    if (heat.fetched() && age <= 60) ++c.evicted_active;
    c.evicted_age = age;
    if (observer_.wants(Observer::kEvictions)) [[unlikely]]
      observer_.evicted(item, size_class, now);
  } else if (why == Why::Expired) {
    ++c.reclaimed;
    if (!heat.fetched()) ++c.expired_unfetched;
  }
  note_live(c, item, -1);
  if (item.is_large()) eviction_.remove_large(item);
  const uint8_t state = item.state();
  ItemWriter::set_state(item, static_cast<uint8_t>((state & ~Item::kStateMask) | Item::kDead));
  retired_bytes_ += chunk_bytes_of(item) + parts_bytes_of(item);
  retired_.push({ref_of(item), epoch_.now()});
}

void Shard::unlink(Item& item, KeyHash hash, Why why, Seconds now) {
  HashTable::Slot* slot = table_.find_ref(ref_of(item), hash);
  assert(slot != nullptr);
  table_.remove(*slot, hash);
  retire(item, why, now);
}

HashTable::Slot* Shard::find_live(const KeyRef& key, Seconds now) {
  HashTable::Slot* slot = table_.find_slot(key.key, key.hash);
  if (slot == nullptr) return nullptr;
  Item* item = item_in(slot);
  if (gone(*item, now) == MissReason::None) return slot;
  table_.remove(*slot, key.hash);
  retire(*item, Why::Expired, now);
  return nullptr;
}

// -- Drafts.

AllocateStatus Shard::allocate(const KeyRef& key, const ItemShape& shape, Seconds now,
                               ItemDraft& draft) {
  draft.drop();
  if (upstream_item_bytes(key.key.size(), shape, config_.cas) > config_.item_size_max) {
    return AllocateStatus::TooLarge;
  }
  ItemLayout layout = ItemWriter::layout(key.key.size(), shape, false);
  uint32_t first_bytes = shape.value_bytes;
  const bool large = uint64_t{layout.head_bytes} + shape.value_bytes > SizeClasses::kMaxItemBytes;
  if (large) {
    // What does not fill parts goes to the head.
    layout = ItemWriter::layout(key.key.size(), shape, true);
    first_bytes =
        std::min(rest_of_parts(shape.value_bytes), SizeClasses::kMaxItemBytes - layout.head_bytes);
  }
  const uint32_t size_class = sizes_.class_for(layout.head_bytes + first_bytes);
  Ref ref;
  {
    MutexLock lock(mutex_);
    retired_.prepare();
    ref = table_.started() || table_.start(true) ? take_chunk(size_class, now) : 0;
    if (ref == 0) {
      if (config_.evict || has_freeable()) return AllocateStatus::Busy;
      ++counters_[size_class].out_of_memory;
      return AllocateStatus::OutOfMemory;
    }
  }
  char* chunk = pool_.at(ref);
  ItemWriter::begin(chunk, layout, key.key, shape, first_bytes, now);
  draft.shard_ = this;
  draft.hash_ = key.hash;
  draft.head_ = ref;
  draft.part_ = ref;
  draft.part_data_ = chunk + layout.head_bytes;
  draft.part_bytes_ = first_bytes;
  draft.part_filled_ = 0;
  draft.parts_bytes_ = 0;
  draft.total_bytes_ = shape.value_bytes;
  draft.filled_bytes_ = 0;
  draft.now_ = now;
  draft.failed_ = false;
  return AllocateStatus::Ok;
}

bool Shard::next_part(ItemDraft& draft) {
  const uint32_t payload = part_payload(draft.remaining());
  // All drafts together: half of the memory, so that the largest item always fits alone and slow
  // senders cannot push the cache out.
  Atomic<uint64_t>& all_drafts = pool_.draft_bytes();
  if (all_drafts.load(std::memory_order_relaxed) + payload > pool_.limit_bytes() / 2) {
    draft.failed_ = true;
    return false;
  }
  Ref ref = 0;
  {
    MutexLock lock(mutex_);
    retired_.prepare();
    if (payload == kPagePartBytes) {
      reclaim();
      const PageNumber page = take_page();
      if (page != kNoPage) {
        slab_.add_large_page(page);
        ref = Ref{page} << kPageShift;
      }
      keep_room(kPageBytes, draft.now_);
    } else {
      ref = take_chunk(sizes_.class_for(payload + Item::kHeaderBytes), draft.now_);
      if (ref != 0) slab_.mark_part(ref);
    }
  }
  if (ref == 0) {
    draft.failed_ = !config_.evict;
    return false;
  }
  all_drafts.fetch_add(payload, std::memory_order_relaxed);
  draft.parts_bytes_ += payload;
  if (draft.part_ == draft.head_) {
    ItemWriter::link_first_part(*item_at(draft.head_), ref);
  } else {
    ItemWriter::link_part(pool_.at(draft.part_), ref);
  }
  draft.part_ = ref;
  draft.part_data_ = ItemWriter::begin_part(pool_.at(ref), payload);
  draft.part_bytes_ = payload;
  draft.part_filled_ = 0;
  return true;
}

void Shard::drop_draft(ItemDraft& draft) noexcept {
  if (draft.parts_bytes_ > 0) {
    pool_.draft_bytes().fetch_sub(draft.parts_bytes_, std::memory_order_relaxed);
  }
  MutexLock lock(mutex_);
  loosen_parts(*item_at(draft.head_));
  put_back(draft.head_);
  draft.shard_ = nullptr;
  draft.head_ = 0;
}

void Shard::put_back(Ref head) {
  slab_.mark_published(head);
  put_chunk(head);
}

StoreResult Shard::publish(Ref head, KeyHash hash, HashTable::Slot* slot, uint8_t marks,
                           Seconds now, bool keep_sequence) {
  Item& item = *item_at(head);
  const Item* old = item_in(slot);
  const uint64_t sequence = sequence_.load(std::memory_order_relaxed) + (keep_sequence ? 0 : 1);
  sequence_.store(sequence, std::memory_order_relaxed);
  ItemWriter::set_seq(item, keep_sequence ? old->seq() : static_cast<uint32_t>(sequence));
  ItemWriter::set_state(item, static_cast<uint8_t>(item.state() | Item::kLive | marks));
  const PageInfo& info = slab_.info(head);
  slab_.mark_published(head);
  slab_.note_expiry(head, item.expiry());
  if (slot != nullptr) {
    table_.replace(*slot, hash, head);
    retire(*const_cast<Item*>(old), Why::Replaced, now);
  } else if (!table_.insert(hash, head, config_.evict)) {
    ItemWriter::set_state(item, static_cast<uint8_t>(item.state() & ~Item::kStateMask));
    slab_.unmark_published(head);
    ++counters_[class_of(item)].out_of_memory;
    return {StoreStatus::OutOfMemory, nullptr, nullptr, 0};
  }
  note_live(counters_[class_of(item)], item, +1);
  if (item.is_large()) {
    eviction_.add_large(item);
  } else {
    eviction_.add(info, item);
  }
  if (!keep_sequence) ++total_items_;
  return {StoreStatus::Stored, &item, old, cas_of(item)};
}

StoreResult Shard::publish(ItemDraft& draft, HashTable::Slot* slot, uint8_t marks, Seconds now,
                           bool keep_sequence) {
  const StoreResult result = publish(draft.head_, draft.hash_, slot, marks, now, keep_sequence);
  if (result.status != StoreStatus::Stored) return result;
  if (draft.parts_bytes_ > 0) {
    pool_.draft_bytes().fetch_sub(draft.parts_bytes_, std::memory_order_relaxed);
  }
  draft.shard_ = nullptr;
  draft.head_ = 0;
  return result;
}

// -- Commands.

StoreStatus Shard::judge(const Item* old, const StoreRule& rule) const {
  if (old == nullptr) {
    if (rule.compare_cas) return StoreStatus::NotFound;
    return rule.policy == StorePolicy::Replace ? StoreStatus::NotStored : StoreStatus::Stored;
  }
  if (rule.policy == StorePolicy::Add) return StoreStatus::NotStored;
  if (!rule.compare_cas || cas_of(*old) == rule.cas) return StoreStatus::Stored;
  return rule.invalidate && rule.cas < cas_of(*old) ? StoreStatus::Stored : StoreStatus::Exists;
}

StoreResult Shard::store(ItemDraft&& draft, const StoreRule& rule, Seconds now) {
  assert(draft.complete());
  ItemDraft filled = std::move(draft);
  for (;;) {
    Seconds expiry = kNever;
    {
      MutexLock lock(mutex_);
      retired_.prepare();
      Item& item = *item_at(filled.head_);
      HashTable::Slot* slot = find_live({item.key(), filled.hash_}, now);
      const Item* old = item_in(slot);
      const StoreStatus status = judge(old, rule);
      if (status != StoreStatus::Stored) return refuse_store(status, old, now);
      if (old != nullptr) ItemWriter::set_heat(item, old->heat().inherited(now));
      uint8_t marks = rule.win_sent ? Item::kWinSent : 0;
      const bool behind = rule.compare_cas && cas_of(*old) != rule.cas;
      if (!behind) return publish(filled, slot, marks, now, false);
      marks |= Item::kStale | (old->state() & Item::kWinSent);
      expiry = old->expiry();
      if (ItemWriter::take_expiry(item, expiry)) return publish(filled, slot, marks, now, false);
    }
    // The old item's time stays, and the new one has no room for it.
    const Item& item = *item_at(filled.head_);
    ItemShape shape = shape_of(item);
    shape.expiry = expiry;
    ItemDraft copy;
    if (allocate({item.key(), filled.hash_}, shape, now, copy) != AllocateStatus::Ok ||
        !copy_value(item, copy)) {
      return {StoreStatus::OutOfMemory, nullptr, nullptr, 0};
    }
    filled = std::move(copy);
  }
}

StoreResult Shard::refuse_store(StoreStatus status, const Item* old, Seconds now) const {
  // memcached moves what is in an add's way to the head of its LRU.
  if (status == StoreStatus::NotStored && old != nullptr) note_use(*old, old->heat(), now, 0);
  return {status, nullptr, old, 0};
}

bool Shard::put(const KeyRef& key, const ItemShape& shape, std::string_view value,
                const StoreRule& rule, Seconds now, StoreResult& result) {
  if (rule.invalidate ||
      upstream_item_bytes(key.key.size(), shape, config_.cas) > config_.item_size_max) {
    return false;
  }
  const ItemLayout layout = ItemWriter::layout(key.key.size(), shape, false);
  const auto value_bytes = static_cast<uint32_t>(value.size());
  const uint32_t size_class = sizes_.class_for(layout.head_bytes + value_bytes);
  MutexLock lock(mutex_);
  retired_.prepare();
  const Ref ref = table_.started() ? take_chunk(size_class, now) : 0;
  if (ref == 0) return false;
  char* const chunk = pool_.at(ref);
  ItemWriter::begin(chunk, layout, key.key, shape, value_bytes, now);
  std::memcpy(chunk + layout.head_bytes, value.data(), value_bytes);
  result = publish_put(ref, key, rule, now);
  return true;
}

StoreResult Shard::publish_put(Ref ref, const KeyRef& key, const StoreRule& rule, Seconds now) {
  HashTable::Slot* slot = find_live(key, now);
  const Item* old = item_in(slot);
  const StoreStatus status = judge(old, rule);
  StoreResult result;
  if (status == StoreStatus::Stored) {
    if (old != nullptr) ItemWriter::set_heat(*item_at(ref), old->heat().inherited(now));
    const uint8_t marks = rule.win_sent ? Item::kWinSent : 0;
    result = publish(ref, key.hash, slot, marks, now, false);
  } else {
    result = refuse_store(status, old, now);
  }
  if (result.status != StoreStatus::Stored) put_back(ref);
  return result;
}

class Shard::Layouts {
 public:
  // False if one of them is not to be stored by a put.
  bool fill(std::span<Put* const> puts, const SizeClasses& sizes, const CacheConfig& config) {
    for (size_t i = 0; i < puts.size(); ++i) {
      const Put& put = *puts[i];
      if (put.rule.invalidate ||
          upstream_item_bytes(put.key.key.size(), put.shape, config.cas) > config.item_size_max) {
        return false;
      }
      of_[i] = ItemWriter::layout(put.key.key.size(), put.shape, false);
      classes_[i] = sizes.class_for(of_[i].head_bytes + put.shape.value_bytes);
    }
    return true;
  }
  uint32_t size_class(size_t i) const noexcept { return classes_[i]; }
  void write(std::span<Put* const> puts, const PagePool& pool, Seconds now) const {
    for (size_t i = 0; i < puts.size(); ++i) {
      const Put& put = *puts[i];
      char* const chunk = pool.at(put.chunk);
      ItemWriter::begin(chunk, of_[i], put.key.key, put.shape, put.shape.value_bytes, now);
      std::memcpy(chunk + of_[i].head_bytes, put.value.data(), put.value.size());
    }
  }

 private:
  std::array<ItemLayout, Cache::kStoresAtOnce> of_;
  std::array<uint32_t, Cache::kStoresAtOnce> classes_;
};

bool Shard::find_chunks(std::span<Put* const> puts, const Layouts& layouts) {
  if (!table_.started()) return false;
  for (size_t i = 0; i < puts.size(); ++i) {
    puts[i]->chunk = find_chunk(layouts.size_class(i));
    if (puts[i]->chunk == 0) return false;
  }
  return true;
}

bool Shard::put(std::span<Put* const> puts, Seconds now) {
  Layouts layouts;
  if (!layouts.fill(puts, sizes_, config_)) return false;
  MutexLock lock(mutex_);
  if (!find_chunks(puts, layouts)) return false;
  layouts.write(puts, pool_, now);
  publish_puts(puts, now);
  return true;
}

bool Shard::take_for(std::span<Put* const> puts, Seconds now) {
  Layouts layouts;
  if (!layouts.fill(puts, sizes_, config_)) return false;
  {
    MutexLock lock(mutex_);
    if (!find_chunks(puts, layouts)) return false;
  }
  layouts.write(puts, pool_, now);
  return true;
}

void Shard::publish(std::span<Put* const> puts, Seconds now) {
  MutexLock lock(mutex_);
  publish_puts(puts, now);
}

void Shard::publish_puts(std::span<Put* const> puts, Seconds now) {
  for (Put* put : puts) {
    retired_.prepare();
    // One eviction before each and not all together: the next victim's bucket is fetched meanwhile.
    keep_room(slab_.info(put->chunk).chunk_bytes, now);
    put->result = publish_put(std::exchange(put->chunk, 0), put->key, put->rule, now);
  }
}

void Shard::put_back(std::span<Put* const> puts) noexcept {
  if (std::all_of(puts.begin(), puts.end(), [](const Put* put) { return put->chunk == 0; })) return;
  MutexLock lock(mutex_);
  for (Put* put : puts) {
    if (put->chunk != 0) put_back(std::exchange(put->chunk, 0));
  }
}

bool Shard::copy_value(const Item& from, ItemDraft& to) {
  if (!from.is_large()) return to.append(from.first_part());
  std::vector<std::string_view> parts;
  value_parts(from, parts);
  return std::all_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return to.append(part); });
}

// If the copy is large, holds the item that it is made of, so that the turn may be broken, and
// counts the bytes among those of all copies. Any worker, inside a turn.
class Shard::Copy {
 public:
  Copy(Shard& shard, const Item& of, uint32_t value_bytes, TurnBreak* turn_break)
      : Copy(shard, of, turn_break) {
    if (value_bytes <= SizeClasses::kMaxItemBytes) return;
    const uint64_t limit = shard_.pool_.limit_bytes();
    const uint64_t others =
        shard_.pool_.copy_bytes().fetch_add(value_bytes, std::memory_order_relaxed);
    bytes_ = value_bytes;
    // One of an eighth, or five of a 32nd.
    const bool in_bounds = value_bytes <= limit / 8 && others + value_bytes <= limit / 32 * 5;
    admitted_ = in_bounds || shard_.pool_.pages_left() * kPageBytes >= value_bytes;
    if (!admitted_) return;
    shard_.hold(&of_);
    holds_ = true;
  }
  ~Copy() {
    if (bytes_ > 0) shard_.pool_.copy_bytes().fetch_sub(bytes_, std::memory_order_relaxed);
    if (holds_) shard_.release(&of_);
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  // Beyond a chunk.
  bool large() const noexcept { return bytes_ > 0; }
  // Where begin() or add() said false: memory comes free once turns have ended.
  bool busy() const noexcept { return busy_; }
  // `of` may have been freed when the copy ends.
  bool broke_turn() const noexcept { return broke_turn_; }

  // False: there is no memory, and nothing more should be done.
  bool begin(const KeyRef& key, const ItemShape& shape, Seconds now, ItemDraft& draft,
             AllocateStatus& status) {
    status = AllocateStatus::OutOfMemory;
    if (!admitted_) return false;
    int breaks = 0;
    do {
      status = shard_.allocate(key, shape, now, draft);
    } while (status == AllocateStatus::Busy && break_turn(breaks));
    busy_ = status == AllocateStatus::Busy;
    return status == AllocateStatus::Ok;
  }
  bool add(const Item& value, ItemDraft& draft) {
    if (!value.is_large()) return add(value.first_part(), draft);
    std::vector<std::string_view> parts;
    shard_.value_parts(value, parts);
    return std::all_of(parts.begin(), parts.end(),
                       [&](std::string_view part) { return add(part, draft); });
  }
  // With blanks behind it.
  bool add(std::string_view text, uint32_t value_bytes, ItemDraft& draft) {
    constexpr std::string_view kBlanks = "                                ";
    if (!add(text, draft)) return false;
    for (size_t left = value_bytes - text.size(); left > 0;) {
      const std::string_view blanks = kBlanks.substr(0, left);
      if (!add(blanks, draft)) return false;
      left -= blanks.size();
    }
    return true;
  }

 private:
  // Delegated to, so that the destructor also runs where hold() finds no memory.
  Copy(Shard& shard, const Item& of, TurnBreak* turn_break) noexcept
      : shard_(shard), of_(of), turn_break_(turn_break) {}

  bool add(std::string_view bytes, ItemDraft& draft) {
    for (int breaks = 0;;) {
      const uint32_t missing = draft.remaining();
      if (draft.append(bytes)) return true;
      const uint32_t added = missing - draft.remaining();
      bytes.remove_prefix(added);
      if (added > 0) breaks = 0;
      if (draft.failed()) return false;
      if (!break_turn(breaks)) {
        busy_ = true;
        return false;
      }
    }
  }
  bool break_turn(int& breaks) {
    if (!large() || turn_break_ == nullptr || ++breaks > kMostBreaksAtOnce) return false;
    // What is copied is in use: it shall not be let go for its own copy.
    ItemWriter::set_heat(of_, of_.heat().with_grace());
    broke_turn_ = true;
    return turn_break_->break_turn();
  }

  Shard& shard_;
  const Item& of_;
  TurnBreak* const turn_break_;
  uint64_t bytes_ = 0;
  bool admitted_ = true;
  bool holds_ = false;
  bool broke_turn_ = false;
  bool busy_ = false;
};

bool Shard::swap(ItemDraft& draft, const Item* expected, uint8_t marks, Kept kept, Seconds now) {
  MutexLock lock(mutex_);
  retired_.prepare();
  HashTable::Slot* slot = table_.find_ref(ref_of(*expected), draft.hash_);
  if (slot == nullptr) return false;
  // A flush since `expected` was found leaves it in the table: a copy would bring it back.
  if (gone(*expected, now) != MissReason::None) return false;
  // A touch or a claim of the win token since then has left its mark in `expected` alone.
  if (kept.expiry && !ItemWriter::take_expiry(*item_at(draft.head_), expected->expiry())) {
    return false;
  }
  marks |= expected->state() & kept.marks;
  return publish(draft, slot, marks, now, kept.sequence).status == StoreStatus::Stored;
}

const Item* Shard::find_now(const KeyRef& key, Seconds now) const noexcept {
  const Item* item = table_.find(key.key, key.hash);
  return item == nullptr || gone(*item, now) != MissReason::None ? nullptr : item;
}

ItemShape Shard::shape_of(const Item& item) const noexcept {
  ItemShape shape;
  shape.value_bytes = item.value_bytes();
  shape.client_flags = item.client_flags();
  shape.expiry = item.expiry();
  shape.base64_key = item.base64_key();
  shape.has_explicit_cas = item.has_wide_cas();
  if (shape.has_explicit_cas) shape.explicit_cas = item.wide_cas();
  return shape;
}

StoreResult Shard::concat(ItemDraft& draft, const ConcatRule& rule, Seconds now,
                          TurnBreak* turn_break) {
  const Item& piece = *item_at(draft.head_);
  const KeyRef key{piece.key(), draft.hash_};
  for (;;) {
    StoreResult result;
    const Item* old = find_now(key, now);
    result.old_item = old;
    if (old == nullptr) return result;
    if (rule.compare_cas && cas_of(*old) != rule.cas) {
      result.status = StoreStatus::Exists;
      return result;
    }
    ItemShape shape = shape_of(*old);
    shape.has_explicit_cas = rule.has_explicit_cas;
    shape.explicit_cas = rule.explicit_cas;
    if (uint64_t{shape.value_bytes} + draft.value_bytes() > config_.item_size_max) {
      result.status = StoreStatus::TooLarge;
      return result;
    }
    shape.value_bytes += draft.value_bytes();
    ItemDraft joined;
    Copy copy(*this, *old, shape.value_bytes, turn_break);
    AllocateStatus status;
    const Item& first = rule.prepend ? piece : *old;
    const Item& then = rule.prepend ? *old : piece;
    if (!copy.begin(key, shape, now, joined, status) || !copy.add(first, joined) ||
        !copy.add(then, joined)) {
      result.status = status == AllocateStatus::TooLarge ? StoreStatus::TooLarge
                      : copy.busy()                      ? StoreStatus::Busy
                      : copy.large()                     ? StoreStatus::NoRoomToCopy
                                                         : StoreStatus::OutOfMemory;
      if (copy.broke_turn()) result.old_item = nullptr;
      return result;
    }
    const Item* item = item_at(joined.head_);
    ItemWriter::set_heat(*item, old->heat().inherited(now));
    if (swap(joined, old, 0, {.expiry = true}, now)) {
      return {StoreStatus::Stored, item, old, cas_of(*item)};
    }
  }
}

RemoveResult Shard::remove(const KeyRef& key, const RemoveRule& rule, Seconds now,
                           TurnBreak* turn_break) {
  for (;;) {
    const Item* old = nullptr;
    {
      MutexLock lock(mutex_);
      retired_.prepare();
      HashTable::Slot* slot = find_live(key, now);
      if (slot == nullptr) return {RemoveStatus::NotFound, nullptr};
      Item* item = item_in(slot);
      if (rule.compare_cas && cas_of(*item) != rule.cas) return {RemoveStatus::Exists, item};
      if (!rule.invalidate && !rule.drop_value) {
        table_.remove(*slot, key.hash);
        retire(*item, Why::Removed, now);
        return {RemoveStatus::Removed, item};
      }
      old = item;
    }
    ItemShape shape = shape_of(*old);
    if (rule.drop_value) {
      shape.value_bytes = 0;
      shape.client_flags = rule.client_flags;
    }
    if (rule.set_expiry) shape.expiry = rule.expiry;
    // A value that is only blanked is no modification to memcached: its CAS stays.
    const bool keep_cas = !rule.invalidate && !rule.has_explicit_cas;
    if (!keep_cas) {
      shape.has_explicit_cas = rule.has_explicit_cas;
      shape.explicit_cas = rule.explicit_cas;
    }
    ItemDraft copied;
    Copy copy(*this, *old, shape.value_bytes, turn_break);
    AllocateStatus status;
    if (!copy.begin(key, shape, now, copied, status) ||
        (!rule.drop_value && !copy.add(*old, copied))) {
      return {copy.busy() ? RemoveStatus::Busy : RemoveStatus::OutOfMemory, nullptr};
    }
    const uint8_t marks = rule.invalidate ? Item::kStale : 0;
    const Item* item = item_at(copied.head_);
    ItemWriter::set_heat(*item, rule.drop_value ? old->heat().inherited(now) : old->heat());
    if (swap(copied, old, marks, {.expiry = !rule.set_expiry, .sequence = keep_cas}, now)) {
      return {RemoveStatus::Removed, item};
    }
  }
}

bool Shard::read_number(const Item& item, uint64_t& number) const {
  if (!item.is_large()) return parse_number(item.first_part(), number);
  // A long value may begin with a number, too, and what follows a blank does not count.
  constexpr size_t kEnoughBytes = 64;
  std::vector<std::string_view> parts;
  value_parts(item, parts);
  std::string begin;
  for (const std::string_view part : parts) {
    begin += part.substr(0, kEnoughBytes - begin.size());
    if (begin.size() == kEnoughBytes) break;
  }
  return parse_number(begin, number);
}

ArithResult Shard::arith(const KeyRef& key, const ArithRule& rule, Seconds now,
                         TurnBreak* turn_break) {
  for (;;) {
    ArithResult result;
    const Item* old = find_now(key, now);
    if (old == nullptr) return result;
    result.old_item = old;
    // What cannot be a number is refused before the CAS is looked at, what is none after it, as in
    // memcached, where that is what has chunks.
    const bool may_be_number =
        old->value_bytes() > 0 &&
        upstream_item_bytes(key.key.size(), shape_of(*old), config_.cas) <= kUpstreamChunkBytes;
    if (may_be_number && rule.compare_cas && cas_of(*old) != rule.cas) {
      result.status = ArithStatus::Exists;
      return result;
    }
    uint64_t number = 0;
    if (!may_be_number || !read_number(*old, number)) {
      result.status = ArithStatus::NonNumeric;
      return result;
    }
    if (rule.decrement) {
      number = number > rule.delta ? number - rule.delta : 0;
    } else {
      number += rule.delta;
    }
    char digits[20];
    const uint32_t digit_count = write_decimal(number, digits);
    ItemShape shape = shape_of(*old);
    // A shorter number keeps the value's length, padded with blanks (protocol.txt, "decr").
    shape.value_bytes = std::max(digit_count, shape.value_bytes);
    if (rule.set_expiry) shape.expiry = rule.expiry;
    shape.has_explicit_cas = rule.has_explicit_cas;
    shape.explicit_cas = rule.explicit_cas;
    ItemDraft next;
    Copy copy(*this, *old, shape.value_bytes, turn_break);
    AllocateStatus status;
    if (!copy.begin(key, shape, now, next, status) ||
        !copy.add({digits, digit_count}, shape.value_bytes, next)) {
      result.status = copy.busy() ? ArithStatus::Busy : ArithStatus::OutOfMemory;
      if (copy.broke_turn()) result.old_item = nullptr;
      return result;
    }
    const Item* item = item_at(next.head_);
    // A longer number is a new item to memcached, not fetched and with no marks.
    const bool grown = shape.value_bytes > old->value_bytes();
    ItemWriter::set_heat(*item, grown ? old->heat().inherited(now) : old->heat());
    const uint8_t kept_marks = grown ? 0 : Item::kStale | Item::kWinSent;
    if (swap(next, old, 0, {.expiry = !rule.set_expiry, .marks = kept_marks}, now)) {
      return {ArithStatus::Done, number, cas_of(*item), item, old};
    }
  }
}

TouchResult Shard::touch(const KeyRef& key, Seconds expiry, Seconds now, bool bump) {
  for (;;) {
    TouchResult result;
    {
      MutexLock lock(mutex_);
      retired_.prepare();
      HashTable::Slot* slot = table_.find_slot(key.key, key.hash);
      if (slot == nullptr) {
        result.miss = MissReason::Absent;
        return result;
      }
      Item* item = item_in(slot);
      result.miss = gone(*item, now);
      if (result.miss != MissReason::None) {
        table_.remove(*slot, key.hash);
        retire(*item, Why::Expired, now);
        return result;
      }
      result.item = item;
      result.heat = item->heat();
      if (ItemWriter::take_expiry(*item, expiry)) {
        slab_.note_expiry(ref_of(*item), expiry);
        if (bump) note_hit(*item, result.heat, now);
        return result;
      }
    }
    // No room for an expiry: the same item again with one; its CAS stays.
    const Item* old = result.item;
    ItemShape shape = shape_of(*old);
    shape.expiry = expiry;
    ItemDraft copy;
    result.memory = allocate(key, shape, now, copy);
    if (result.memory == AllocateStatus::Ok && !copy_value(*old, copy)) {
      result.memory = copy.failed() ? AllocateStatus::OutOfMemory : AllocateStatus::Busy;
    }
    if (result.memory != AllocateStatus::Ok) {
      result.item = nullptr;
      return result;
    }
    const Item* item = item_at(copy.head_);
    ItemWriter::set_heat(*item, old->heat());
    if (swap(copy, old, 0, {.sequence = true, .marks = Item::kStale | Item::kWinSent}, now)) {
      if (bump) note_hit(*item, item->heat(), now);
      result.item = item;
      return result;
    }
  }
}

bool Shard::claim_win(const KeyRef& key, const Item* found) {
  MutexLock lock(mutex_);
  HashTable::Slot* slot = table_.find_slot(key.key, key.hash);
  Item* item = item_in(slot);
  // It went away since it was found: nobody else gets the token of what readers still hold.
  if (item == nullptr) item = const_cast<Item*>(found);
  // A moved copy has the same sequence number; a replacement has not.
  if (item->seq() != found->seq() || item->win_sent()) return false;
  ItemWriter::set_state(*item, static_cast<uint8_t>(item->state() | Item::kWinSent));
  return true;
}

void Shard::hold(const Item* item) {
  MutexLock lock(mutex_);
  const Ref ref = ref_of(*item);
  if (holds_.add(ref)) slab_.mark_held(ref);
  if (!item->is_large()) return;
  try {
    part_holds_.add(item->next_part());
  } catch (const std::bad_alloc&) {
    release_chunk(ref);
    throw;
  }
}

void Shard::release(const Item* item) {
  MutexLock lock(mutex_);
  if (item->is_large() && part_holds_.release(item->next_part())) loosen_parts(*item);
  release_chunk(ref_of(*item));
}

void Shard::release_chunk(Ref ref) {
  const bool orphan = holds_.release(ref);
  if (!holds_.contains(ref)) {
    slab_.unmark_held(ref);
    no_spare_page_at_ = UINT64_MAX;  // the page may be emptied from now on
  }
  if (orphan) put_chunk(ref);
}

void Shard::flush(Seconds now) {
  MutexLock lock(mutex_);
  mark_flushed(now);
}

void Shard::flush_once(uint32_t number, Seconds now) {
  MutexLock lock(mutex_);
  if (close_flush(number)) mark_flushed(now);
}

void Shard::forgo_flush(uint32_t number) {
  MutexLock lock(mutex_);
  (void)close_flush(number);
}

bool Shard::close_flush(uint32_t number) {
  // Numbers wrap around.
  if (static_cast<int32_t>(number - last_flush_) <= 0) return false;
  last_flush_ = number;
  return true;
}

void Shard::mark_flushed(Seconds now) {
  flush_mark_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  flush_pages_ = slab_.pages().size();
  flush_page_ = kNoPage;
  flush_sweep_from_ = now + kFlushRestSeconds;
}

// -- Upkeep.

bool Shard::evict_one(uint32_t& steps, Seconds now) {
  Item* item =
      eviction_.victim(steps, [&](const Item& i) { return gone(i, now) != MissReason::None; });
  if (item == nullptr) return false;
  unlink(*item, hash_of(*item), gone(*item, now) == MissReason::None ? Why::Evicted : Why::Expired,
         now);
  // Its bucket is fetched while other things are done.
  if (const Item* next = eviction_.next_in_line(); next != nullptr) {
    table_.prefetch(hash_of(*next));
  }
  return true;
}

size_t Shard::pages_wanted() const {
  if (!config_.evict || pool_.pages_left() > 0) return 0;
  const bool over = pool_.pages_over_limit() > 0;
  if (!over && reserve_.size() >= kReservePages) return 0;
  // What the table gives back as it shrinks goes before a reserve.
  const bool table_shrinks = over && table_.segments_to_free() > 0;
  const size_t reserve = has_few_pages_ || table_shrinks ? 0 : kReservePages;
  const size_t wanted = reserve + (over ? pages_to_give_back() : 0);
  const size_t coming = reserve_.size() + drained_waiting_ + (draining_ != kNoPage ? 1 : 0);
  return wanted > coming ? wanted - coming : 0;
}

void Shard::note_pages() {
  const size_t held = slab_.pages().size() + slab_.large_pages();
  const bool others_borrow = pool_.limit_was_reached() && pool_.is_nearly_overdrawn();
  has_few_pages_ =
      held * shard_count_ < pool_.pages_used() / kFewOfShare && !page_refused_ && !others_borrow;
  if (has_few_pages_) room_wanted_ = kReservePages * kPageBytes;  // to begin with, once it has more
}

size_t Shard::pages_to_give_back() const {
  const size_t over = pool_.pages_over_limit();
  if (over == 0) return 0;
  const size_t held =
      slab_.pages().size() + slab_.large_pages() + reserve_.size() + table_.bytes() / kPageBytes;
  if (held * shard_count_ < pool_.pages_used() / 8 * 7) return 0;
  const size_t share = (over + shard_count_ - 1) / shard_count_;
  // Nothing goes for what the table gives back as it shrinks.
  const size_t of_table = table_.segments_to_free();
  return share > of_table ? share - of_table : 0;
}

uint64_t Shard::room_with_spare_page() const {
  // A shard of few pages may have items of as many sizes: a quarter of what it holds is enough.
  const size_t quarter = (slab_.pages().size() + slab_.large_pages()) / 4;
  const size_t most = std::max(kReservePages, quarter);
  return std::min(kReservePages + slab_.classes_in_use(), most) * kPageBytes;
}

uint64_t Shard::room_goal() const {
  if (has_few_pages_) return 0;
  return room_wanted_ + std::min(pages_to_give_back(), kMostPagesAhead) * kPageBytes;
}

void Shard::adjust_room(size_t bytes) {
  if (has_few_pages_) return;  // it keeps no reserve
  if (reserve_.size() < kReservePages) {
    room_wanted_ = std::min(room_wanted_ + bytes / kRoomRise, room_with_spare_page());
  } else {
    const uint64_t least = kReservePages * kPageBytes;
    room_wanted_ = std::max(room_wanted_, least + bytes / kRoomFall) - bytes / kRoomFall;
  }
}

bool Shard::make_room(uint64_t goal, uint32_t steps, Seconds now) {
  const uint64_t before = room_bytes();
  uint32_t blocks = kBlocksPerStore;
  uint32_t unlinks = kUnlinksPerStore;
  while (room_bytes() < goal && expire_blocks(blocks, unlinks, now) && blocks > 0 && unlinks > 0) {
  }
  while (room_bytes() < goal && evict_one(steps, now)) {
  }
  return room_bytes() > before;
}

void Shard::keep_room(size_t bytes, Seconds now) {
  if (!config_.evict) return;
  if (pool_.pages_left() > 0) {
    evict_later_ = true;
    return;
  }
  if (retired_.size() >= reclaim_from_ || !loose_parts_.empty()) {
    const bool freed = reclaim() > 0;
    reclaim_from_ = freed ? kReclaimFrom : retired_.size() + kReclaimStep;
  }
  adjust_room(bytes);
  if (!make_room(room_goal(), room_steps(bytes), now)) evict_later_ = true;
  if (may_drain()) drain_step(now, kDrainPerStore);
}

// Emptied pages come back when turns have ended: until then more of them help nobody, and each item
// that is moved takes a chunk that a store could have.
bool Shard::may_drain() const {
  return (pages_wanted() > 0 || draining_ != kNoPage) && drained_waiting_ < kMostDrainedWaiting;
}

bool Shard::drain_step(Seconds now, uint32_t items) {
  if (draining_ == kNoPage) {
    if (pages_wanted() == 0) return false;
    // A class gets a page to spare by chunks that come free: not while a worker is held up.
    uint32_t size_class = Slab::kNoClass;
    if (chunks_freed_ != no_spare_page_at_) {
      size_class = slab_.class_with_spare_page();
      if (size_class == Slab::kNoClass) no_spare_page_at_ = chunks_freed_;
    }
    if (size_class == Slab::kNoClass) {
      // Nobody can give a page yet: let go of a little more. But not while there is so much room
      // that somebody will when readers have left: it may be long before they do.
      const uint64_t enough = room_with_spare_page() + pages_to_give_back() * kPageBytes;
      if (has_freeable() && room_bytes() >= enough) return false;
      uint32_t blocks = kBlocksPerStore;
      uint32_t unlinks = kUnlinksPerStore;
      if (slab_.has_due(now)) {
        expire_blocks(blocks, unlinks, now);
        return true;
      }
      const uint32_t most_steps = 4 * items;
      uint32_t steps = most_steps;
      for (uint32_t i = 0; i < items / 4 && evict_one(steps, now); ++i) {
        if (room_bytes() >= enough) break;
      }
      // Hands pass over drafts, and over dead chunks that readers hold, without end.
      if (steps == most_steps || table_.items() == 0) return false;
      // It is wanted from now on: the next stores are to evict as they did.
      room_wanted_ = std::max(room_wanted_, std::min(room_bytes(), room_with_spare_page()));
      return true;
    }
    start_drain(slab_.sparsest_page(size_class), false);
  }
  const PageNumber page = draining_;
  const PageInfo& info = pool_.info(page);
  for (; items > 0 && drain_next_ < info.carved; ++drain_next_) {
    const Ref ref = slab_.chunk(page, drain_next_);
    Item& item = *item_at(ref);
    if ((item.state() & Item::kStateMask) != Item::kLive) continue;
    --items;
    const KeyHash hash = hash_of(item);
    if (gone(item, now) != MissReason::None) {
      unlink(item, hash, Why::Expired, now);
      continue;
    }
    if (holds_.contains(ref)) {
      stop_drain(page);
      return true;
    }
    const Ref to = slab_.take(info.size_class);
    if (to == 0 && drain_evicts_ && pool_.pages_left() == 0) {
      unlink(item, hash, Why::Evicted, now);
      continue;
    }
    // Stores have taken the chunks that were free. The items here may be the most asked for of all:
    // the hand is to find colder ones until some class has a page to spare again.
    if (to == 0) {
      stop_drain(page);
      return true;
    }
    Item& copy = *ItemWriter::copy(pool_.at(to), item);
    ItemWriter::set_state(copy, static_cast<uint8_t>(copy.state() | Item::kLive));
    slab_.mark_published(to);
    slab_.note_expiry(to, copy.expiry());
    HashTable::Slot* slot = table_.find_ref(ref, hash);
    assert(slot != nullptr);
    table_.replace(*slot, hash, to);
    if (item.is_large()) {
      eviction_.replace_large(item, copy);
    } else {
      eviction_.moved(item, copy);
    }
    ItemWriter::set_state(item,
                          static_cast<uint8_t>((item.state() & ~Item::kStateMask) | Item::kDead));
    retired_bytes_ += chunk_bytes_of(item);
    retired_.push({ref | kMoved, epoch_.now()});
  }
  if (drain_next_ == info.carved) {
    draining_ = kNoPage;
    ++drained_waiting_;
  }
  return true;
}

void Shard::start_drain(PageNumber page, bool evicts) {
  draining_ = page;
  drain_next_ = 0;
  drain_evicts_ = evicts;
  slab_.start_draining(page);
}

void Shard::stop_drain(PageNumber page) {
  if (!pool_.info(page).draining) return;
  if (page == draining_) {
    draining_ = kNoPage;
  } else {
    --drained_waiting_;
  }
  slab_.stop_draining(page);
}

bool Shard::sweep_block(PageNumber page, uint32_t block, Seconds now, uint32_t& unlinks) {
  struct {
    Item* item;
    KeyHash hash;
  } gone_items[kUnlinkBatch];
  uint32_t count = 0;
  ClassCounters& counters = counters_[pool_.info(page).size_class];
  const auto unlink_all = [&]() REQUIRES(mutex_) {
    for (uint32_t i = 0; i < count; ++i) {
      unlink(*gone_items[i].item, gone_items[i].hash, Why::Expired, now);
    }
    counters.sweep_reclaimed += count;
    unlinks -= count;
    count = 0;
  };
  Seconds earliest = ExpiryIndex::kLater;
  const Slab::ChunkRange chunks = slab_.chunks_in_block(page, block);
  for (uint32_t c = chunks.first; c < chunks.end; ++c) {
    Item& item = *item_at(slab_.chunk(page, c));
    if ((item.state() & Item::kStateMask) != Item::kLive) continue;
    ++counters.sweep_checked;
    if (gone(item, now) == MissReason::None) {
      if (const Seconds expiry = item.expiry(); expiry != kNever) {
        earliest = std::min(earliest, expiry);
      }
      continue;
    }
    if (count == unlinks) {  // the block stays due
      unlink_all();
      return false;
    }
    gone_items[count] = {&item, hash_of(item)};
    table_.prefetch(gone_items[count].hash);
    if (++count == kUnlinkBatch) unlink_all();
  }
  unlink_all();
  slab_.set_block_expiry(page, block, earliest);
  return true;
}

bool Shard::expire_blocks(uint32_t& blocks, uint32_t& unlinks, Seconds now) {
  const PageNumber page = slab_.due_page(now);
  if (page == kNoPage) return false;
  bool done = true;
  for (uint32_t b = 0; b < kBlocksPerPage && done; ++b) {
    if (pool_.expiries(page)[b] > now) continue;
    done = blocks > 0 && sweep_block(page, b, now, unlinks);
    if (done) --blocks;
  }
  slab_.page_walked(page);
  return slab_.has_due(now);
}

bool Shard::sweep_flushed(uint32_t& blocks, uint32_t& unlinks, Seconds now) {
  if (flush_pages_ == 0) {
    forget_flush(now);
    return false;
  }
  if (now < flush_sweep_from_) return false;
  // From the last page to the first: when a page leaves, the last takes its place, and that has
  // been seen already.
  for (; blocks > 0; --blocks) {
    flush_pages_ = std::min(flush_pages_, slab_.pages().size());
    if (flush_pages_ == 0) break;
    const PageNumber page = slab_.pages()[flush_pages_ - 1];
    if (page != std::exchange(flush_page_, page)) flush_blocks_ = 0;
    if (!sweep_block(page, flush_blocks_, now, unlinks)) return true;
    if (++flush_blocks_ == kBlocksPerPage) {
      slab_.page_walked(page);
      flush_page_ = kNoPage;
      --flush_pages_;
    }
  }
  if (flush_pages_ > 0) return true;
  flush_swept_ = epoch_.now();
  forget_flush(now);
  return false;
}

void Shard::forget_flush(Seconds now) {
  if (now < flush_sweep_from_ || flush_mark_.load(std::memory_order_relaxed) == 0) return;
  // Nothing that old is in the table, but a reader that found it there before may still ask for the
  // mark, until its turn ends.
  if (flush_swept_ >= epoch_.now()) epoch_.advance();
  if (flush_swept_ < horizon_.look()) flush_mark_.store(0, std::memory_order_relaxed);
}

// One kind a slice, so that a hold of the lock is as short as the longest of them.
bool Shard::tend_slice(Seconds now, bool expire) {
  MutexLock lock(mutex_);
  retired_.prepare();
  if (!table_.started()) return false;
  // A worker comes here after each request that comes alone. What that has left is not worth a
  // slice, nor are all kinds to be asked. (Single sets: 600 instructions of 4,970.)
  if (!retired_.empty() && retired_.size() <= kFewRetired) reclaim();
  if (evict_later_ && pool_.pages_left() > kReservePages) evict_later_ = false;
  uint32_t due = due_upkeep(now, expire);
  if (due == 0) return false;
  // Others may have taken or given back some. Not for each item that goes after a store.
  const bool only_evicts = due == uint32_t{1} << static_cast<uint32_t>(Upkeep::EvictLater);
  if (!only_evicts || ++evicting_slices_ % kSlicesPerLook == 0) note_pages();
  while (due != 0) {
    // The next kind in turn that is due.
    const uint32_t behind = due & (~uint32_t{0} << static_cast<uint32_t>(next_upkeep_));
    const auto kind = static_cast<uint32_t>(std::countr_zero(behind != 0 ? behind : due));
    due &= ~(uint32_t{1} << kind);
    next_upkeep_ = static_cast<Upkeep>(kind + 1 < kUpkeepKinds ? kind + 1 : 0);
    switch (tend_kind(static_cast<Upkeep>(kind), now)) {
      case Slice::Idle:
        continue;
      case Slice::Last:
        return due != 0;
      case Slice::More:
        return true;
    }
  }
  return false;
}

uint32_t Shard::due_upkeep(Seconds now, bool expire) const {
  const auto bit = [](Upkeep kind, bool is_due) {
    return static_cast<uint32_t>(is_due) << static_cast<uint32_t>(kind);
  };
  const bool full = config_.evict && pool_.pages_left() == 0;
  const bool pages = draining_ != kNoPage || (full && pages_wanted() > 0);
  const bool flushed = flush_mark_.load(std::memory_order_relaxed) != 0 || flush_pages_ > 0;
  return bit(Upkeep::Reclaim,
             retired_.size() > kFewRetired || !loose_parts_.empty() || table_.has_retired()) |
         bit(Upkeep::Resize, table_.wants_resize(full)) | bit(Upkeep::EvictLater, evict_later_) |
         bit(Upkeep::MakeRoom, pages) | bit(Upkeep::Drain, pages) |
         bit(Upkeep::SweepFlushed, flushed) | bit(Upkeep::Expire, expire && slab_.has_due(now));
}

Shard::Slice Shard::tend_kind(Upkeep kind, Seconds now) {
  const auto slice = [](bool more) { return more ? Slice::More : Slice::Idle; };
  switch (kind) {
    case Upkeep::Reclaim:
      return slice(reclaim() > 0);
    case Upkeep::Resize:
      return slice(table_.resize_step(config_.evict, config_.evict && pool_.pages_left() == 0));
    case Upkeep::EvictLater: {
      const size_t left = pool_.pages_left();
      const bool wanted = config_.evict && left <= kReservePages && !has_few_pages_ &&
                          room_bytes() + left * kPageBytes < room_goal() + kMostRoomOver;
      if (!wanted) {
        evict_later_ = false;
        return Slice::Idle;
      }
      evict_later_ = !make_room(room_bytes() + 1, 256, now);
      return evict_later_ ? Slice::Idle : Slice::Last;
    }
    case Upkeep::MakeRoom:
      return slice((pages_wanted() > 0 || draining_ != kNoPage) &&
                   make_room(room_goal(), 256, now));
    case Upkeep::Drain:
      return slice(may_drain() && drain_step(now, kDrainAtOnce));
    case Upkeep::SweepFlushed: {
      // Whatever `expire` says: once the sequence has risen by 2^32 since an item was flushed,
      // widen() takes it for one that is newer than the mark.
      uint32_t blocks = kBlocksAtOnce;
      uint32_t unlinks = kUnlinkAtOnce;
      return slice(sweep_flushed(blocks, unlinks, now));
    }
    case Upkeep::Expire: {
      uint32_t blocks = kBlocksAtOnce;
      uint32_t unlinks = kUnlinkAtOnce;
      while (slab_.has_due(now) && blocks > 0 && unlinks > 0) expire_blocks(blocks, unlinks, now);
      return Slice::More;
    }
  }
  return Slice::Idle;
}

// -- Stop and start.

bool Shard::settle() {
  MutexLock lock(mutex_);
  if (draining_ != kNoPage) stop_drain(draining_);
  // Nobody reads: one epoch more, and everything may go.
  for (int idle = 0; (has_freeable() || table_.has_retired()) && idle < 2;) {
    idle = reclaim() > 0 ? 0 : idle + 1;
  }
  for (const PageNumber page : reserve_) pool_.give_back(page);
  reserve_.clear();
  return !has_freeable() && !table_.has_retired() && holds_.empty() && part_holds_.empty() &&
         slab_.is_settled();
}

void Shard::save(SnapshotWriter& out) {
  MutexLock lock(mutex_);
  out.add(sequence_.load(std::memory_order_relaxed));
  out.add(flush_mark_.load(std::memory_order_relaxed));
  out.add(flush_sweep_from_);
  out.add(room_wanted_);
  out.add_array(counters_);
  eviction_.save(out);
  table_.save(out);
}

bool Shard::restore(SnapshotReader& in, const ShardPages& pages) {
  MutexLock lock(mutex_);
  if (!slab_.adopt_pages(pages)) return false;
  sequence_.store(in.get<uint64_t>(), std::memory_order_relaxed);
  flush_mark_.store(in.get<uint64_t>(), std::memory_order_relaxed);
  in.read(flush_sweep_from_);
  in.read(room_wanted_);
  in.read_array(counters_.data(), counters_.size());
  if (!in.ok() || !eviction_.restore(in) || !table_.restore(in, pages.table)) return false;
  // What the sweep after a flush has not seen; it is quick where it has.
  if (flush_mark_.load(std::memory_order_relaxed) != 0) flush_pages_ = slab_.pages().size();
  // Figures of what happened begin anew, those of what is there go on.
  for (ClassCounters& c : counters_) {
    const ClassCounters kept = c;
    c = ClassCounters{};
    c.items = kept.items;
    c.item_bytes = kept.item_bytes;
    total_items_ += c.items;
  }
  return total_items_ == table_.items();
}

const char* Shard::check_items(const ShardPages& pages) {
  MutexLock lock(mutex_);
  const auto shard_bits = static_cast<uint32_t>(std::countr_zero(shard_count_));
  ItemCheck check(pool_, sizes_,
                  {hash_seed_, sequence_.load(std::memory_order_relaxed), 8 - shard_bits, number_});
  for (const PageNumber page : pages.large) check.count_large_page(page);
  for (const PageNumber page : pages.chunks) {
    if (const char* wrong = check.check_page(page); wrong != nullptr) return wrong;
  }
  table_.for_each([&](uint32_t position, Ref ref) { check.count_slot(position, ref); });
  if (const char* wrong = check.check_sums(); wrong != nullptr) return wrong;
  if (!table_.away_counts_hold()) return "a bucket has more items elsewhere than it says";
  if (!eviction_.rings_hold([&](Ref ref) { return check.is_large_item(ref); }, check.large_items(),
                            check.heads())) {
    return "the rings of large items are broken";
  }
  for (size_t c = 0; c < counters_.size(); ++c) {
    const ItemCheck::OfClass& found = check.classes()[c];
    if (found.items != counters_[c].items || found.bytes != counters_[c].item_bytes) {
      return "the items' lengths do not add up";
    }
  }
  return nullptr;
}

// -- Figures.

void Shard::add_totals(CacheTotals& totals) {
  MutexLock lock(mutex_);
  for (const ClassCounters& c : counters_) {
    totals.items += c.items;
    totals.item_bytes += c.item_bytes;
    totals.evictions += c.evicted;
    totals.evicted_unfetched += c.evicted_unfetched;
    totals.evicted_active += c.evicted_active;
    totals.expired_unfetched += c.expired_unfetched;
    totals.reclaimed += c.reclaimed;
    totals.sweep_checked += c.sweep_checked;
    totals.sweep_reclaimed += c.sweep_reclaimed;
  }
  totals.emptying_page = totals.emptying_page || draining_ != kNoPage;
  totals.total_items += total_items_;
  totals.table_bytes += table_.bytes();
  totals.table_buckets += table_.buckets();
  totals.table_growing = totals.table_growing || table_.resizing();
  totals.pages_moved += pages_moved_;
  totals.lock_waits += mutex_.waits();
  totals.retired += retired_.size();
  totals.held_items += holds_.size();
  totals.reader_scans += horizon_.scans();
}

void Shard::add_class_totals(uint32_t size_class, ClassTotals& totals, Seconds now) {
  MutexLock lock(mutex_);
  const Slab::Class& slab = slab_.of(size_class);
  const ClassCounters& c = counters_[size_class];
  totals.pages += slab.pages.size();
  totals.used_chunks += slab.used;
  totals.free_chunks += slab.free();
  totals.items += c.items;
  totals.item_bytes += c.item_bytes;
  totals.evicted += c.evicted;
  totals.evicted_nonzero += c.evicted_nonzero;
  totals.evicted_unfetched += c.evicted_unfetched;
  totals.evicted_active += c.evicted_active;
  totals.expired_unfetched += c.expired_unfetched;
  totals.reclaimed += c.reclaimed;
  totals.out_of_memory += c.out_of_memory;
  totals.sweep_checked += c.sweep_checked;
  totals.sweep_reclaimed += c.sweep_reclaimed;
  totals.evicted_age_seconds = std::max(totals.evicted_age_seconds, c.evicted_age);
  if (size_class >= sizes_.item_count()) return;
  if (const Item* item = eviction_.at_hand(size_class); item != nullptr) {
    totals.oldest_age_seconds = std::max(totals.oldest_age_seconds, item->heat().idle_seconds(now));
  }
}

void Shard::reset_totals() {
  MutexLock lock(mutex_);
  total_items_ = 0;
  for (ClassCounters& c : counters_) {
    const ClassCounters kept = c;
    c = ClassCounters{};
    c.items = kept.items;
    c.item_bytes = kept.item_bytes;
  }
}

uint64_t Shard::list_sizes(uint64_t from, std::vector<uint32_t>& sizes) {
  constexpr unsigned kChunkBits = 16;  // PageInfo counts chunks in as many
  MutexLock lock(mutex_);
  uint64_t p = from >> kChunkBits;
  auto c = static_cast<uint32_t>(from & ((1u << kChunkBits) - 1));
  uint32_t left = kSizesAtOnce;
  for (; p < slab_.pages().size(); ++p, c = 0) {
    const PageNumber page = slab_.pages()[p];
    for (; c < pool_.info(page).carved; ++c) {
      if (left-- == 0) return p << kChunkBits | c;
      const Item& item = *item_at(slab_.chunk(page, c));
      if ((item.state() & Item::kStateMask) != Item::kLive) continue;
      sizes.push_back(item.whole_bytes());
    }
  }
  return 0;
}

size_t Shard::visit_class(uint32_t size_class, size_t from_page, Seconds now,
                          const std::function<bool(const Item&)>& visit) {
  MutexLock lock(mutex_);
  const std::vector<PageNumber>& pages = slab_.of(size_class).pages;
  if (from_page < pages.size()) {
    const PageNumber page = pages[from_page];
    const PageInfo& info = pool_.info(page);
    for (uint32_t c = 0; c < info.carved; ++c) {
      const Item& item = *item_at(slab_.chunk(page, c));
      if ((item.state() & Item::kStateMask) != Item::kLive) continue;
      if (gone(item, now) == MissReason::None && !visit(item)) return 0;
    }
    return from_page + 1 < pages.size() ? from_page + 1 : 0;
  }
  return 0;
}

uint64_t Shard::walk(uint64_t from, Seconds now, std::vector<const Item*>& items) {
  uint64_t end;
  {
    MutexLock lock(mutex_);
    end = table_.walk(from, [&](Ref ref) { items.push_back(item_at(ref)); });
  }
  // They stay readable until the turn ends, whatever becomes of them.
  for (const Item* item : items) __builtin_prefetch(item);
  std::erase_if(items, [&](const Item* item) { return gone(*item, now) != MissReason::None; });
  return end;
}

EmptyPageStatus Shard::empty_page(uint32_t size_class) {
  MutexLock lock(mutex_);
  retired_.prepare();
  const Slab::Class& slab = slab_.of(size_class);
  if (slab.pages.size() < 2) return EmptyPageStatus::NoSpare;
  if (draining_ != kNoPage) return EmptyPageStatus::Busy;
  const PageNumber page = slab_.sparsest_page(size_class);
  if (page == kNoPage) return EmptyPageStatus::NoSpare;
  const PageInfo& info = pool_.info(page);
  const uint64_t room_elsewhere = slab.available() - (info.chunks - info.used);
  const bool may_evict = config_.evict && pool_.pages_left() == 0;
  if (room_elsewhere < info.used && !may_evict) return EmptyPageStatus::NoSpare;
  start_drain(page, may_evict);
  return EmptyPageStatus::Started;
}

void Shard::check_invariants() {
  MutexLock lock(mutex_);
  const auto require = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "shard invariant broken: %s\n", what);
    std::abort();
  };
  slab_.check_invariants();
  eviction_.check_invariants();
  table_.check_invariants();
  uint64_t items = 0;
  table_.for_each([&](uint32_t position, Ref ref) {
    ++items;
    const Item& item = *item_at(ref);
    require((item.state() & Item::kStateMask) == Item::kLive, "the table holds what is not live");
    require(hash_of(item).position() == position, "an item lies where its hash does not lead");
    require(table_.find(item.key(), hash_of(item)) == &item, "an item is not found by its key");
    require(widen(item.seq()) <= sequence_.load(std::memory_order_relaxed), "a future sequence");
  });
  uint64_t counted = 0;
  uint64_t bytes = 0;
  for (const ClassCounters& c : counters_) {
    counted += c.items;
    bytes += c.item_bytes;
  }
  require(items == counted, "the item count differs from the table");
  uint64_t live = 0;
  uint64_t live_bytes = 0;
  for (const PageNumber page : slab_.pages()) {
    for (uint32_t c = 0; c < pool_.info(page).carved; ++c) {
      const Item& item = *item_at(slab_.chunk(page, c));
      if ((item.state() & Item::kStateMask) != Item::kLive) continue;
      ++live;
      live_bytes += item.whole_bytes();
    }
  }
  require(live == items, "a live item is not in the table");
  require(live_bytes == bytes, "the byte count differs from the items");
  uint64_t retired_bytes = 0;
  retired_.for_each([&](const RetireQueue::Entry& entry) {
    const Item& item = *item_at(entry.ref & ~kMoved);
    retired_bytes += chunk_bytes_of(item);
    if ((entry.ref & kMoved) == 0) retired_bytes += parts_bytes_of(item);
  });
  for (const LooseParts& parts : loose_parts_) {
    for (Ref part = parts.retired ? parts.first : 0; part != 0;) {
      const char* at = pool_.at(part);
      retired_bytes += ItemWriter::part_payload(at).size();
      part = ItemWriter::next_of_part(at);
    }
  }
  require(retired_bytes == retired_bytes_, "the retired bytes differ from what is retired");
}

}  // namespace larder::core
