// HashTable: one shard's index from key hash to item. Found without a lock, changed under the
// shard's lock, grown one small segment at a time.
//
// Segments. The table is a directory of segments, a page each: 512 buckets of one cache line, 8
// slots a bucket. With M segments a key at position p (32 bits, core/hash.h) belongs to segment
// p * M >> 32, and there to the bucket that the next 9 bits of the product name: keys lie in the
// table in the order of their positions, whatever M is, so M can be any number and grows by 1/8.
//
// Slot, one 64-bit atomic, 0 = free:
//    63    62 61    60       38 37        0
//   +-----+--------+-----------+-----------+
//   |away | bucket |  tag 23   |  ref 38   |
//   +-----+--------+-----------+-----------+
//   tag    the low 23 bits of the position. With the bucket's range of positions, which is never
//          wider than 2^23, it gives the whole position back: growing and displacing never read a
//          key.
//   away   the item sits in its second bucket: home ^ alternate(tag), in the same segment. From
//          there home is known as well, since the tag alone makes the difference.
//   bucket of slots 0 and 1, together 4 bits of their bucket: how many items of this home are away
//          (15 = many: sticks until the segment is built anew). 0 saves a miss the second line.
//
// Growth. A directory of the next size is put beside the old one, empty. A segment of it is built
// from the one or two old segments that hold its positions, out of sight of readers, and published
// by one store; the old ones stay as they are for whoever still reads them and are retired once all
// their positions have moved. Segments can be built in any order, so one that overflows is simply
// built next. Nothing is copied in place, and no reader ever sees a slot in motion because of
// growth. Shrinking is the same, towards fewer segments: when memory is short and at most three
// quarters of them are needed.
//
// Readers (numbered invariants):
//  1. A slot is filled by a release store after its item is complete, and emptied or overwritten
//     by a seq_cst store (the Dekker pair of core/epoch.h).
//  2. home -> second: `away` of the home is raised, the slot in second filled, then the one in home
//     overwritten. A reader looks at home, then at the count, then at second.
//  3. second -> home: the slot in home filled, the directory entry's version raised, then the slot
//     in second emptied. A reader that missed looks at the entry again and repeats if it changed.
//     The count lies in two slots, which a reader loads one after the other: where a count falls
//     from 4 to 3 the version is raised between the two stores.
//  4. A new segment is complete before its entry is stored. A reader that found no entry reads the
//     old segment, which holds everything that was stored before the entry was.
// Modelled in tests/models/table.pml.
//
// Threads: find() any thread inside a turn; everything else under the shard's lock.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/atomic.h"
#include "core/epoch.h"
#include "core/hash.h"
#include "core/item.h"
#include "core/page_pool.h"

namespace larder::core {

class SnapshotReader;
class SnapshotWriter;

class HashTable {
 public:
  using Slot = Atomic<uint64_t>;

  static constexpr uint32_t kSlotsPerBucket = 8;
  static constexpr uint32_t kBucketBits = 9;
  static constexpr uint32_t kBucketsPerSegment = 1u << kBucketBits;
  static constexpr uint32_t kSlotsPerSegment = kBucketsPerSegment * kSlotsPerBucket;
  static constexpr size_t kSegmentBytes = kSlotsPerSegment * sizeof(Slot);
  static_assert(kSegmentBytes == kPageBytes);

  HashTable(PagePool& pool, Epoch& epoch, uint16_t shard);
  ~HashTable();
  HashTable(const HashTable&) = delete;
  HashTable& operator=(const HashTable&) = delete;

  // Takes the first segment. False if there is no memory.
  bool start(bool overdraft);
  bool started() const noexcept { return view_.load(std::memory_order_acquire) != nullptr; }

  // -- Readers.
  void prefetch(KeyHash hash) const noexcept {
    if (const Slot* bucket = home_bucket(hash); bucket != nullptr) __builtin_prefetch(bucket);
  }
  // The home bucket, or null while the table is empty. For the first pass of a batch.
  const Slot* home_bucket(KeyHash hash) const noexcept {
    const View* view = view_.load(std::memory_order_seq_cst);
    if (view == nullptr) return nullptr;
    const Place place = resolve(*view, hash.position());
    return bucket_at(place, place.home);
  }
  // An item in `bucket` whose slot could be the key's, or null; its key is not compared.
  const Item* candidate(const Slot* bucket, KeyHash hash) const noexcept {
    const uint64_t want = tag_bits(hash.position());
    // All slots, since nobody could foretell the branch out of a loop.
    uint32_t alike = 0;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
      const uint64_t slot = bucket[i].load(std::memory_order_seq_cst);
      alike |= uint32_t{((slot ^ want) & kTagMask) == 0} << i;
    }
    if (alike == 0) return nullptr;
    const uint64_t slot = bucket[std::countr_zero(alike)].load(std::memory_order_seq_cst);
    return is_free(slot) ? nullptr : item_at(slot);
  }
  // The other bucket where the key may be, given its home bucket; null if nothing of that home is
  // away. Segments are aligned to their size.
  static const Slot* second_bucket(const Slot* home, KeyHash hash) noexcept {
    if (away_count(home) == 0) return nullptr;
    const uintptr_t across =
        uintptr_t{alternate(hash.position() & kTagValueMask)} * (kSlotsPerBucket * sizeof(Slot));
    return reinterpret_cast<const Slot*>(reinterpret_cast<uintptr_t>(home) ^ across);
  }
  // The item under the key, or null. Compares whole keys.
  const Item* find(std::string_view key, KeyHash hash) const noexcept;

  // -- Writers, under the shard's lock.
  // The slot that holds the item of this key, or null.
  Slot* find_slot(std::string_view key, KeyHash hash) noexcept;
  // The slot that holds this very item, or null.
  Slot* find_ref(Ref ref, KeyHash hash) noexcept;
  Ref ref_in(const Slot& slot) const noexcept {
    return slot.load(std::memory_order_relaxed) & kRefMask;
  }
  // Puts another item of the same key in the slot's place; brings it home if home has room.
  void replace(Slot& slot, KeyHash hash, Ref ref) noexcept;
  void remove(Slot& slot, KeyHash hash) noexcept;
  // Adds an item whose key is not in the table. False: no room could be made (both buckets and
  // everything within reach full, and no memory to grow).
  bool insert(KeyHash hash, Ref ref, bool overdraft);

  // Whether resize_step would do something, given memory.
  bool wants_resize(bool shrink) const noexcept {
    if (current_ == nullptr) return false;
    return resizing() || is_too_full() ||
           (shrink && shrunk(current_->segments) < current_->segments);
  }
  // How many segments come free once the table has shrunk as far as it may and no reader is left
  // in what it has outgrown.
  uint64_t segments_to_free() const noexcept;
  // One step of growth if the table is too full, or, if asked, of shrinking if it is too empty;
  // about 30 microseconds. True if there is more to do. A step of shrinking that may borrow goes
  // beyond the overdraft, since it frees more than it takes: else a limit below what the table has
  // would keep the table as it is.
  bool resize_step(bool overdraft, bool shrink = false);
  // Frees retired directories and segments that no reader can see any more, `most` segments at
  // most; how many.
  uint32_t reclaim(Epoch::Stamp horizon, uint32_t most = UINT32_MAX);
  bool has_retired() const noexcept {
    return !retired_segments_.empty() || !retired_views_.empty();
  }

  uint64_t items() const noexcept { return items_.load(std::memory_order_relaxed); }
  uint64_t buckets() const noexcept {
    return segments_in_use_.load(std::memory_order_relaxed) * uint64_t{kBucketsPerSegment};
  }
  uint64_t bytes() const noexcept {
    return segments_in_use_.load(std::memory_order_relaxed) * kSegmentBytes;
  }
  bool resizing() const noexcept { return resizing_.load(std::memory_order_relaxed); }

  // The directories; the segments lie in the pool, and nothing is retired. For a table that has not
  // been started; restore() says false if they name what is no segment of this shard, whose pages
  // of the table are `pages`, in the order of their numbers.
  void save(SnapshotWriter& out) const;
  bool restore(SnapshotReader& in, const std::vector<PageNumber>& pages);
  // True if no bucket has more items away than its count says.
  bool away_counts_hold() const;

  // One step of a walk over all items, in the order of their positions: calls visit(ref) for those
  // in [from, end) and returns end, kPositions when that was the last of them. A step is 16
  // buckets, some 110 items, or fewer, and takes some 10 microseconds at most. Under the lock,
  // which may be let go between two steps: an item keeps its position when the table grows or the
  // item is moved or replaced, so a key that is there all the time is visited exactly once.
  static constexpr uint64_t kPositions = uint64_t{1} << 32;
  template <class Visit>
  uint64_t walk(uint64_t from, Visit visit) const;

  // Calls visit(position, ref) for every item. Under the lock; after a restart and in tests.
  template <class Visit>
  void for_each(Visit visit) const;
  void check_invariants() const;

  // The position whose tag is `tag` in the given bucket of a table of `segments` segments.
  static uint32_t position_from(uint32_t tag, uint64_t bucket_number, uint32_t segments) noexcept {
    const uint32_t first = first_position(bucket_number, segments);
    return first + ((tag - first) & kTagValueMask);
  }
  static uint32_t alternate(uint32_t tag) noexcept {
    return ((tag * 0x9E3779B1u) >> (32 - kBucketBits)) | 1u;
  }

 private:
  // One directory, or two while resizing. Immutable but for the entries. Views share directories:
  // a version raised through one view is seen through the other.
  using Entries = std::shared_ptr<Atomic<uint64_t>[]>;
  struct View {
    uint32_t segments = 0;
    uint32_t old_segments = 0;  // 0: not resizing
    Entries entries;
    Entries old_entries;
  };
  // Where a position lies now.
  struct Place {
    Atomic<uint64_t>* entry_word;
    uint64_t entry;
    uint32_t home;  // bucket in the segment
    uint32_t segment;
    uint32_t segments;
  };
  template <class T>
  struct Retired {
    Epoch::Stamp stamp;
    T what;
  };

  // Entry: version 32 | segment number + 1. 0: not built yet.
  static uint32_t segment_number(uint64_t entry) noexcept {
    return static_cast<uint32_t>(entry) - 1;
  }
  static constexpr uint64_t kVersionStep = 1ull << 32;

  static constexpr uint64_t kRefMask = (1ull << kRefBits) - 1;
  static constexpr uint32_t kTagBits = 23;
  static constexpr uint32_t kTagValueMask = (1u << kTagBits) - 1;
  static constexpr uint64_t kTagMask = uint64_t{kTagValueMask} << kRefBits;
  static constexpr uint64_t kAway = 1ull << 63;
  static constexpr unsigned kBucketShift = kRefBits + kTagBits;
  static constexpr uint64_t kBucketField = 3ull << kBucketShift;
  static constexpr uint32_t kManyAway = 15;
  static_assert(kRefBits + kTagBits + 3 == 64);

  // Grow when fuller than this. Above about 0.95 a bucket pair and all it can displace may be full;
  // segments differ by 1.6 % (one sigma), so 0.88 on the mean keeps the fullest of thousands under.
  static constexpr double kGrowAtLoad = 0.88;
  static constexpr double kShrunkLoad = 0.75;
  // While more segments than these wait for readers, no step of shrinking goes beyond the
  // overdraft.
  static constexpr size_t kMostRetiredBeyond = 8;

  static constexpr uint32_t kWalkBuckets = 16;

  static uint64_t tag_bits(uint32_t position) noexcept {
    return uint64_t{position & kTagValueMask} << kRefBits;
  }
  static uint32_t tag_of(uint64_t slot) noexcept {
    return static_cast<uint32_t>(slot >> kRefBits) & kTagValueMask;
  }
  static uint32_t first_position(uint64_t bucket_number, uint32_t segments) noexcept {
    const uint64_t n = uint64_t{segments};
    return static_cast<uint32_t>(((bucket_number << (32 - kBucketBits)) + n - 1) / n);
  }
  Place resolve(const View& view, uint32_t position) const noexcept {
    uint64_t x = uint64_t{position} * view.segments;
    uint32_t segment = static_cast<uint32_t>(x >> 32);
    uint32_t segments = view.segments;
    Atomic<uint64_t>* word = &view.entries[segment];
    uint64_t entry = word->load(std::memory_order_seq_cst);
    if (entry == 0) [[unlikely]] {
      x = uint64_t{position} * view.old_segments;
      segment = static_cast<uint32_t>(x >> 32);
      segments = view.old_segments;
      word = &view.old_entries[segment];
      entry = word->load(std::memory_order_seq_cst);
    }
    return {word, entry, static_cast<uint32_t>(x) >> (32 - kBucketBits), segment, segments};
  }
  Slot* segment_at(uint32_t number) const noexcept {
    return reinterpret_cast<Slot*>(pool_.address(number));
  }
  Slot* bucket_at(const Place& place, uint32_t bucket) const noexcept {
    return segment_at(segment_number(place.entry)) + size_t{bucket} * kSlotsPerBucket;
  }
  const Item* item_at(uint64_t slot) const noexcept {
    return reinterpret_cast<const Item*>(pool_.at(slot & kRefMask));
  }
  const Item* match(const Slot* bucket, std::string_view key, uint64_t want) const noexcept;

  static uint32_t away_count(const Slot* bucket) noexcept {
    const uint64_t s0 = bucket[0].load(std::memory_order_seq_cst);
    const uint64_t s1 = bucket[1].load(std::memory_order_seq_cst);
    return static_cast<uint32_t>((s0 >> kBucketShift) & 3) |
           static_cast<uint32_t>((s1 >> kBucketShift) & 3) << 2;
  }
  static void set_away_digit(Slot& slot, uint32_t digit) noexcept;
  static void raise_away(Slot* bucket) noexcept;
  // `word`: as in make_room.
  static void lower_away(Slot* bucket, Atomic<uint64_t>* word) noexcept;
  // Readers that found nothing look again. `word`: as in make_room.
  static void raise_version(Atomic<uint64_t>* word) noexcept;
  // Stores a slot's content and leaves its bucket's bits alone.
  static void put(Slot& slot, uint64_t content) noexcept {
    const uint64_t bucket_bits = slot.load(std::memory_order_relaxed) & kBucketField;
    slot.store((content & ~kBucketField) | bucket_bits, std::memory_order_seq_cst);
  }
  static bool is_free(uint64_t slot) noexcept { return (slot & kRefMask) == 0; }
  static Slot* free_slot(Slot* bucket) noexcept;

  // Frees a slot in `home` or `second` by moving items to their other buckets; null if none is
  // within reach. `word`: the directory entry whose version says that items came home; null while
  // the segment is not published.
  Slot* make_room(Slot* segment, uint32_t home, uint32_t second, Atomic<uint64_t>* word) noexcept;
  Slot* place_in_segment(Slot* segment, uint32_t home, uint32_t tag, Ref ref,
                         Atomic<uint64_t>* word) noexcept;
  Place writer_place(KeyHash hash) const noexcept;

  void publish(std::unique_ptr<View> view);
  void begin_resize(uint32_t segments);
  bool is_too_full() const noexcept {
    const double slots = static_cast<double>(kSlotsPerSegment) * current_->segments;
    return static_cast<double>(items()) > kGrowAtLoad * slots;
  }
  // How many segments a larger table has, and one that is smaller than one of `segments`: as many
  // if it is not worth it.
  uint32_t grown() const noexcept;
  uint32_t shrunk(uint32_t segments) const noexcept;
  bool build_segment(uint32_t index, bool overdraft);
  void finish_resize();
  // All positions of an old segment are in new ones.
  bool has_moved(uint32_t old_index) const noexcept;
  void retire_old_if_done(uint32_t old_index);
  uint32_t take_segment(PagePool::Bound bound);  // kNoSegment if there is no memory
  void free_segment(uint32_t number);
  static constexpr uint32_t kNoSegment = UINT32_MAX;

  PagePool& pool_;
  Epoch& epoch_;
  const uint16_t shard_;
  Atomic<const View*> view_{nullptr};
  std::unique_ptr<View> current_;
  std::unique_ptr<View> settled_;  // while resizing: the view that its end publishes
  uint32_t next_build_ = 0;
  uint32_t built_ = 0;
  std::vector<Retired<uint32_t>> retired_segments_;
  std::vector<Retired<std::unique_ptr<View>>> retired_views_;
  Atomic<uint64_t> items_{0};
  Atomic<uint64_t> segments_in_use_{0};
  Atomic<bool> resizing_{false};
};

template <class Visit>
uint64_t HashTable::walk(uint64_t from, Visit visit) const {
  const View* view = view_.load(std::memory_order_relaxed);
  if (view == nullptr) return kPositions;
  const auto start_of = [](uint64_t bucket_number, uint32_t segments) {
    return bucket_number == uint64_t{segments} << kBucketBits
               ? kPositions
               : uint64_t{first_position(bucket_number, segments)};
  };
  const Place place = resolve(*view, static_cast<uint32_t>(from));
  const uint64_t first_bucket = uint64_t{place.segment} << kBucketBits;
  const uint32_t home_end = std::min(place.home + kWalkBuckets, kBucketsPerSegment);
  uint64_t end = start_of(first_bucket + home_end, place.segments);
  if (place.segments != view->segments) {
    // An old segment: what belongs to the next new one may have moved there.
    const uint64_t unbuilt = from * view->segments >> 32;
    end = std::min(end, start_of((unbuilt + 1) << kBucketBits, view->segments));
  }
  const auto visit_slot = [&](uint64_t slot, uint32_t home) {
    const uint32_t position = position_from(tag_of(slot), first_bucket + home, place.segments);
    if (position >= from && position < end) visit(slot & kRefMask);
  };

  const Slot* segment = segment_at(segment_number(place.entry));
  bool any_away = false;
  for (uint32_t home = place.home; home < home_end; ++home) {
    const Slot* bucket = segment + size_t{home} * kSlotsPerBucket;
    any_away |= away_count(bucket) != 0;
    for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
      const uint64_t slot = bucket[i].load(std::memory_order_relaxed);
      if (!is_free(slot) && (slot & kAway) == 0) visit_slot(slot, home);
    }
  }
  if (!any_away) return end;
  // Those of these buckets that are elsewhere in the segment: nothing says where.
  for (uint32_t i = 0; i < kSlotsPerSegment; ++i) {
    const uint64_t slot = segment[i].load(std::memory_order_relaxed);
    if ((slot & kAway) == 0 || is_free(slot)) continue;
    const uint32_t home = i / kSlotsPerBucket ^ alternate(tag_of(slot));
    if (home >= place.home && home < home_end) visit_slot(slot, home);
  }
  return end;
}

template <class Visit>
void HashTable::for_each(Visit visit) const {
  const View* view = view_.load(std::memory_order_relaxed);
  if (view == nullptr) return;
  const auto visit_segment = [&](uint64_t entry, uint32_t segment, uint32_t segments,
                                 auto&& wanted) {
    const Slot* slots = segment_at(segment_number(entry));
    for (uint32_t i = 0; i < kSlotsPerSegment; ++i) {
      const uint64_t slot = slots[i].load(std::memory_order_relaxed);
      if (is_free(slot)) continue;
      uint32_t home = i / kSlotsPerBucket;
      if ((slot & kAway) != 0) home ^= alternate(tag_of(slot));
      const uint32_t position =
          position_from(tag_of(slot), uint64_t{segment} * kBucketsPerSegment + home, segments);
      if (wanted(position)) visit(position, slot & kRefMask);
    }
  };
  for (uint32_t s = 0; s < view->segments; ++s) {
    const uint64_t entry = view->entries[s].load(std::memory_order_relaxed);
    if (entry != 0) visit_segment(entry, s, view->segments, [](uint32_t) { return true; });
  }
  for (uint32_t s = 0; s < view->old_segments; ++s) {
    const uint64_t entry = view->old_entries[s].load(std::memory_order_relaxed);
    if (entry == 0 || has_moved(s)) continue;  // its page may be another's by now
    visit_segment(entry, s, view->old_segments, [&](uint32_t position) {
      const uint32_t moved = static_cast<uint32_t>(uint64_t{position} * view->segments >> 32);
      return view->entries[moved].load(std::memory_order_relaxed) == 0;
    });
  }
}

}  // namespace larder::core
