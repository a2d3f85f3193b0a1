#include "core/hash_table.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/snapshot.h"

namespace larder::core {

HashTable::HashTable(PagePool& pool, Epoch& epoch, uint16_t shard)
    : pool_(pool), epoch_(epoch), shard_(shard) {}

HashTable::~HashTable() = default;  // segments are the pool's

bool HashTable::start(bool overdraft) {
  const uint32_t segment =
      take_segment(overdraft ? PagePool::Bound::Overdraft : PagePool::Bound::Limit);
  if (segment == kNoSegment) return false;
  current_ = std::make_unique<View>();
  current_->segments = 1;
  current_->entries = Entries(new Atomic<uint64_t>[1] {});
  current_->entries[0].store(uint64_t{segment} + 1, std::memory_order_relaxed);
  view_.store(current_.get(), std::memory_order_seq_cst);
  return true;
}

const Item* HashTable::match(const Slot* bucket, std::string_view key,
                             uint64_t want) const noexcept {
  for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
    const uint64_t slot = bucket[i].load(std::memory_order_seq_cst);
    if ((slot & kTagMask) != want || is_free(slot)) continue;
    const Item* item = item_at(slot);
    if (item->key() == key) return item;
  }
  return nullptr;
}

const Item* HashTable::find(std::string_view key, KeyHash hash) const noexcept {
  const uint64_t want = tag_bits(hash.position());
  for (;;) {
    const View* view = view_.load(std::memory_order_seq_cst);
    if (view == nullptr) return nullptr;
    const Place place = resolve(*view, hash.position());
    const Slot* home = bucket_at(place, place.home);
    if (const Item* item = match(home, key, want); item != nullptr) return item;
    // After the scan: the count is raised before an item leaves (invariant 2).
    if (away_count(home) != 0) {
      const uint32_t second = place.home ^ alternate(hash.position() & kTagValueMask);
      const Item* item = match(bucket_at(place, second), key, want);
      if (item != nullptr) return item;
    }
    // Invariant 3. A segment built meanwhile does not matter: what was stored before it was
    // published is in the old one too (invariant 4).
    if (place.entry_word->load(std::memory_order_seq_cst) == place.entry) return nullptr;
  }
}

HashTable::Place HashTable::writer_place(KeyHash hash) const noexcept {
  return resolve(*current_, hash.position());
}

HashTable::Slot* HashTable::find_slot(std::string_view key, KeyHash hash) noexcept {
  if (current_ == nullptr) return nullptr;
  const Place place = writer_place(hash);
  const uint64_t want = tag_bits(hash.position());
  const uint32_t second = place.home ^ alternate(hash.position() & kTagValueMask);
  for (const uint32_t b : {place.home, second}) {
    Slot* bucket = bucket_at(place, b);
    for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
      const uint64_t slot = bucket[i].load(std::memory_order_relaxed);
      if ((slot & kTagMask) == want && !is_free(slot) && item_at(slot)->key() == key) {
        return &bucket[i];
      }
    }
    if (b == place.home && away_count(bucket) == 0) return nullptr;
  }
  return nullptr;
}

HashTable::Slot* HashTable::find_ref(Ref ref, KeyHash hash) noexcept {
  if (current_ == nullptr) return nullptr;
  const Place place = writer_place(hash);
  const uint32_t second = place.home ^ alternate(hash.position() & kTagValueMask);
  for (const uint32_t b : {place.home, second}) {
    Slot* bucket = bucket_at(place, b);
    for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
      if (ref_in(bucket[i]) == ref) return &bucket[i];
    }
  }
  return nullptr;
}

void HashTable::set_away_digit(Slot& slot, uint32_t digit) noexcept {
  const uint64_t content = slot.load(std::memory_order_relaxed);
  slot.store((content & ~kBucketField) | uint64_t{digit} << kBucketShift,
             std::memory_order_seq_cst);
}

void HashTable::raise_version(Atomic<uint64_t>* word) noexcept {
  if (word == nullptr) return;
  word->store(word->load(std::memory_order_relaxed) + kVersionStep, std::memory_order_seq_cst);
}

void HashTable::raise_away(Slot* bucket) noexcept {
  const uint32_t count = away_count(bucket);
  if (count == kManyAway) return;
  // The high digit first: 3 -> 4 passes through 7. The other way round it would pass through 0.
  set_away_digit(bucket[1], (count + 1) >> 2);
  set_away_digit(bucket[0], (count + 1) & 3);
}

void HashTable::lower_away(Slot* bucket, Atomic<uint64_t>* word) noexcept {
  const uint32_t count = away_count(bucket);
  if (count == kManyAway || count == 0) return;
  set_away_digit(bucket[0], (count - 1) & 3);
  if (count == 4) {
    // A reader that loads slot 0 before this and slot 1 after it sees 0 and 0 and does not look at
    // second. Between the two stores, so that whichever way it met both, the version has changed.
    // (Raised before them it lost 177 of 38.5 M finds.)
    raise_version(word);
  }
  set_away_digit(bucket[1], (count - 1) >> 2);
}

HashTable::Slot* HashTable::free_slot(Slot* bucket) noexcept {
  for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
    if (is_free(bucket[i].load(std::memory_order_relaxed))) return &bucket[i];
  }
  return nullptr;
}

HashTable::Slot* HashTable::make_room(Slot* segment, uint32_t home, uint32_t second,
                                      Atomic<uint64_t>* word) noexcept {
  // Breadth first over buckets: node i was reached by moving slot `slot` of its parent's bucket.
  struct Node {
    uint32_t bucket;
    int32_t parent;
    uint32_t slot;
  };
  constexpr uint32_t kMaxNodes = 160;  // two full levels: 2 + 16 + 128, some more
  Node nodes[kMaxNodes];
  uint32_t count = 0;
  nodes[count++] = {home, -1, 0};
  nodes[count++] = {second, -1, 0};
  for (uint32_t n = 0; n < count; ++n) {
    Slot* bucket = segment + size_t{nodes[n].bucket} * kSlotsPerBucket;
    Slot* target = n < 2 ? nullptr : free_slot(bucket);
    if (target == nullptr) {
      for (uint32_t i = 0; i < kSlotsPerBucket && count < kMaxNodes; ++i) {
        const uint64_t slot = bucket[i].load(std::memory_order_relaxed);
        nodes[count++] = {nodes[n].bucket ^ alternate(tag_of(slot)), static_cast<int32_t>(n), i};
      }
      continue;
    }
    // Move back along the path: each item into the slot freed after it.
    for (uint32_t at = n;;) {
      const Node& node = nodes[at];
      const auto parent = static_cast<uint32_t>(node.parent);
      Slot* from_bucket = segment + size_t{nodes[parent].bucket} * kSlotsPerBucket;
      Slot* to_bucket = segment + size_t{node.bucket} * kSlotsPerBucket;
      Slot& from = from_bucket[node.slot];
      const uint64_t content = from.load(std::memory_order_relaxed);
      const bool coming_home = (content & kAway) != 0;
      if (!coming_home) raise_away(from_bucket);
      put(*target, content ^ kAway);
      if (coming_home) raise_version(word);
      put(from, 0);
      if (coming_home) lower_away(to_bucket, word);
      target = &from;
      if (nodes[parent].parent < 0) return target;
      at = parent;
    }
  }
  return nullptr;
}

HashTable::Slot* HashTable::place_in_segment(Slot* segment, uint32_t home, uint32_t tag, Ref ref,
                                             Atomic<uint64_t>* word) noexcept {
  const uint32_t second = home ^ alternate(tag);
  Slot* home_slots = segment + size_t{home} * kSlotsPerBucket;
  Slot* second_slots = segment + size_t{second} * kSlotsPerBucket;
  Slot* slot = free_slot(home_slots);
  if (slot == nullptr) slot = free_slot(second_slots);
  if (slot == nullptr) slot = make_room(segment, home, second, word);
  if (slot == nullptr) return nullptr;
  const bool away = slot >= second_slots && slot < second_slots + kSlotsPerBucket;
  if (away) raise_away(home_slots);
  put(*slot, ref | uint64_t{tag} << kRefBits | (away ? kAway : 0));
  return slot;
}

void HashTable::replace(Slot& slot, KeyHash hash, Ref ref) noexcept {
  const uint64_t content = slot.load(std::memory_order_relaxed);
  if ((content & kAway) != 0) {
    const Place place = writer_place(hash);
    Slot* home = bucket_at(place, place.home);
    if (Slot* free = free_slot(home); free != nullptr) {
      put(*free, ref | tag_bits(hash.position()));
      raise_version(place.entry_word);
      put(slot, 0);
      lower_away(home, place.entry_word);
      return;
    }
  }
  put(slot, (content & ~kRefMask) | ref);
}

void HashTable::remove(Slot& slot, KeyHash hash) noexcept {
  const bool away = (slot.load(std::memory_order_relaxed) & kAway) != 0;
  put(slot, 0);
  if (away) {
    const Place place = writer_place(hash);
    lower_away(bucket_at(place, place.home), place.entry_word);
  }
  items_.store(items_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

bool HashTable::insert(KeyHash hash, Ref ref, bool overdraft) {
  const uint32_t tag = hash.position() & kTagValueMask;
  for (int attempt = 0; attempt < 3; ++attempt) {
    const Place place = writer_place(hash);
    if (place_in_segment(segment_at(segment_number(place.entry)), place.home, tag, ref,
                         place.entry_word) != nullptr) {
      const uint64_t items = items_.load(std::memory_order_relaxed) + 1;
      items_.store(items, std::memory_order_relaxed);
      // A segment is built every 64 inserts, and one holds 4,096 slots: growth by 1/8 from a load
      // of 0.88 is through before the load reaches 0.90. Upkeep usually comes first.
      if (resizing()
              ? items % 64 == 0
              : static_cast<double>(items) > kGrowAtLoad * kSlotsPerSegment * current_->segments) {
        try {
          resize_step(overdraft);
        } catch (const std::bad_alloc&) {
          // The item is in the table. A later insert, or upkeep, tries again.
        }
      }
      return true;
    }
    // Overfull: the next table's segment for this position has more room. Build it now.
    if (!resizing()) {
      try {
        begin_resize(grown());
      } catch (const std::bad_alloc&) {
        return false;
      }
    }
    const uint32_t index =
        static_cast<uint32_t>(uint64_t{hash.position()} * current_->segments >> 32);
    if (current_->entries[index].load(std::memory_order_relaxed) != 0 ||
        !build_segment(index, overdraft)) {
      return false;
    }
  }
  return false;
}

uint32_t HashTable::grown() const noexcept {
  return current_->segments + std::max(1u, current_->segments / 8);
}

uint32_t HashTable::shrunk(uint32_t segments) const noexcept {
  const auto enough = static_cast<uint32_t>(
      std::ceil(static_cast<double>(items()) / (kShrunkLoad * kSlotsPerSegment)));
  // Halving at most, so that a step walks three old segments and no more.
  return uint64_t{enough} * 4 > uint64_t{segments} * 3 ? segments
                                                       : std::max({enough, segments / 2, 1u});
}

uint64_t HashTable::segments_to_free() const noexcept {
  if (current_ == nullptr) return 0;
  uint32_t left = current_->segments;
  while (shrunk(left) < left) left = shrunk(left);
  const uint64_t in_use = segments_in_use_.load(std::memory_order_relaxed);
  return in_use > left ? in_use - left : 0;
}

bool HashTable::resize_step(bool overdraft, bool shrink) {
  if (!wants_resize(shrink)) return false;
  if (!resizing()) begin_resize(is_too_full() ? grown() : shrunk(current_->segments));
  while (next_build_ < current_->segments &&
         current_->entries[next_build_].load(std::memory_order_relaxed) != 0) {
    ++next_build_;
  }
  if (next_build_ == current_->segments || !build_segment(next_build_, overdraft)) return false;
  return resizing() || (shrink && shrunk(current_->segments) < current_->segments);
}

void HashTable::publish(std::unique_ptr<View> view) {
  view_.store(view.get(), std::memory_order_seq_cst);
  retired_views_.push_back({epoch_.now(), std::move(current_)});
  current_ = std::move(view);
}

void HashTable::begin_resize(uint32_t segments) {
  // All that the resize needs, so that no later step of it can fail for want of memory.
  retired_segments_.reserve(retired_segments_.size() + current_->segments);
  retired_views_.reserve(retired_views_.size() + 2);
  auto settled = std::make_unique<View>();
  auto next = std::make_unique<View>();
  next->segments = segments;
  next->old_segments = current_->segments;
  next->entries = Entries(new Atomic<uint64_t>[next->segments] {});
  next->old_entries = current_->entries;
  next_build_ = 0;
  built_ = 0;
  settled_ = std::move(settled);
  resizing_.store(true, std::memory_order_relaxed);
  publish(std::move(next));
}

bool HashTable::build_segment(uint32_t index, bool overdraft) {
  const bool shrinks = current_->segments < current_->old_segments;
  const bool beyond = shrinks && overdraft && retired_segments_.size() <= kMostRetiredBeyond;
  const uint32_t number = take_segment(beyond      ? PagePool::Bound::None
                                       : overdraft ? PagePool::Bound::Overdraft
                                                   : PagePool::Bound::Limit);
  if (number == kNoSegment) return false;
  Slot* target = segment_at(number);
  const uint32_t segments = current_->segments;
  const uint32_t old_segments = current_->old_segments;
  const uint64_t first = first_position(uint64_t{index} << kBucketBits, segments);
  const uint64_t end = index + 1 == segments
                           ? uint64_t{1} << 32
                           : first_position(uint64_t{index + 1} << kBucketBits, segments);
  const uint32_t old_first = static_cast<uint32_t>(first * old_segments >> 32);
  const uint32_t old_last = static_cast<uint32_t>((end - 1) * old_segments >> 32);
  for (uint32_t o = old_first; o <= old_last; ++o) {
    const uint64_t entry = current_->old_entries[o].load(std::memory_order_relaxed);
    const Slot* slots = segment_at(segment_number(entry));
    for (uint32_t bucket = 0; bucket < kBucketsPerSegment; ++bucket) {
      const uint64_t number_here = (uint64_t{o} << kBucketBits) + bucket;
      const uint32_t first_here = first_position(number_here, old_segments);
      for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
        const uint64_t slot =
            slots[size_t{bucket} * kSlotsPerBucket + i].load(std::memory_order_relaxed);
        if (is_free(slot)) continue;
        const uint32_t tag = tag_of(slot);
        const uint32_t position =
            (slot & kAway) == 0
                ? first_here + ((tag - first_here) & kTagValueMask)
                : position_from(tag, (uint64_t{o} << kBucketBits) + (bucket ^ alternate(tag)),
                                old_segments);
        if (position < first || position >= end) continue;
        const uint32_t home =
            static_cast<uint32_t>(uint64_t{position} * segments) >> (32 - kBucketBits);
        // Nobody sees it yet: mostly a plain store does.
        if (Slot* free = free_slot(target + size_t{home} * kSlotsPerBucket); free != nullptr) {
          const uint64_t bits = free->load(std::memory_order_relaxed) & kBucketField;
          free->store((slot & kRefMask) | uint64_t{tag} << kRefBits | bits,
                      std::memory_order_relaxed);
        } else if (place_in_segment(target, home, tag, slot & kRefMask, nullptr) == nullptr) {
          // Cannot be at a load of 0.8; if it is, this table stays as it is.
          free_segment(number);
          return false;
        }
      }
    }
  }
  current_->entries[index].store(uint64_t{number} + 1, std::memory_order_seq_cst);
  ++built_;
  for (uint32_t o = old_first; o <= old_last; ++o) retire_old_if_done(o);
  if (built_ == segments) finish_resize();
  return true;
}

bool HashTable::has_moved(uint32_t old_index) const noexcept {
  const uint32_t segments = current_->segments;
  const uint32_t old_segments = current_->old_segments;
  const uint64_t first = first_position(uint64_t{old_index} << kBucketBits, old_segments);
  const uint64_t end = old_index + 1 == old_segments
                           ? uint64_t{1} << 32
                           : first_position(uint64_t{old_index + 1} << kBucketBits, old_segments);
  const uint32_t new_first = static_cast<uint32_t>(first * segments >> 32);
  const uint32_t new_last = static_cast<uint32_t>((end - 1) * segments >> 32);
  for (uint32_t n = new_first; n <= new_last; ++n) {
    if (current_->entries[n].load(std::memory_order_relaxed) == 0) return false;
  }
  return true;
}

void HashTable::retire_old_if_done(uint32_t old_index) {
  if (!has_moved(old_index)) return;
  // The entry stays: a reader that holds the view and saw no new entry may still come here.
  const uint64_t entry = current_->old_entries[old_index].load(std::memory_order_relaxed);
  retired_segments_.push_back({epoch_.now(), segment_number(entry)});
}

void HashTable::finish_resize() {
  settled_->segments = current_->segments;
  settled_->entries = current_->entries;
  publish(std::move(settled_));
  resizing_.store(false, std::memory_order_relaxed);
}

uint32_t HashTable::reclaim(Epoch::Stamp horizon, uint32_t most) {
  const auto passed =
      std::partition_point(retired_segments_.begin(), retired_segments_.end(),
                           [&](const auto& retired) { return retired.stamp < horizon; });
  const auto segments = std::min<std::ptrdiff_t>(passed - retired_segments_.begin(), most);
  const auto segments_end = retired_segments_.begin() + segments;
  for (auto it = retired_segments_.begin(); it != segments_end; ++it) free_segment(it->what);
  retired_segments_.erase(retired_segments_.begin(), segments_end);
  const auto views_end =
      std::partition_point(retired_views_.begin(), retired_views_.end(),
                           [&](const auto& retired) { return retired.stamp < horizon; });
  retired_views_.erase(retired_views_.begin(), views_end);
  return static_cast<uint32_t>(segments);
}

uint32_t HashTable::take_segment(PagePool::Bound bound) {
  const PageNumber page = pool_.take(bound);
  if (page == kNoPage) return kNoSegment;
  PageInfo& info = pool_.info(page);
  info = PageInfo{};
  info.kind = PageInfo::Kind::Table;
  info.shard = shard_;
  segments_in_use_.store(segments_in_use_.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
  Slot* slots = segment_at(page);
  for (uint32_t i = 0; i < kSlotsPerSegment; ++i) slots[i].store(0, std::memory_order_relaxed);
  return page;
}

void HashTable::free_segment(uint32_t number) {
  segments_in_use_.store(segments_in_use_.load(std::memory_order_relaxed) - 1,
                         std::memory_order_relaxed);
  pool_.give_back(number);
}

void HashTable::save(SnapshotWriter& out) const {
  out.add(items());
  out.add(current_ == nullptr ? uint32_t{0} : current_->segments);
  out.add(current_ == nullptr ? uint32_t{0} : current_->old_segments);
  if (current_ == nullptr) return;
  for (uint32_t s = 0; s < current_->segments; ++s) {
    out.add(current_->entries[s].load(std::memory_order_relaxed));
  }
  for (uint32_t s = 0; s < current_->old_segments; ++s) {
    out.add(current_->old_entries[s].load(std::memory_order_relaxed));
  }
}

bool HashTable::restore(SnapshotReader& in, const std::vector<PageNumber>& pages) {
  const auto items = in.get<uint64_t>();
  const auto segments = in.get<uint32_t>();
  const auto old_segments = in.get<uint32_t>();
  const PageNumber end = pool_.pages_end();
  if (!in.ok() || segments >= end || old_segments >= end) return false;
  if (segments == 0) return items == 0 && old_segments == 0 && pages.empty();
  auto view = std::make_unique<View>();
  view->segments = segments;
  view->old_segments = old_segments;
  view->entries = Entries(new Atomic<uint64_t>[segments] {});
  if (old_segments > 0) view->old_entries = Entries(new Atomic<uint64_t>[old_segments] {});
  for (uint32_t s = 0; s < segments; ++s) {
    view->entries[s].store(in.get<uint64_t>(), std::memory_order_relaxed);
  }
  for (uint32_t s = 0; s < old_segments; ++s) {
    view->old_entries[s].store(in.get<uint64_t>(), std::memory_order_relaxed);
  }
  current_ = std::move(view);
  if (old_segments > 0) {  // as in begin_resize()
    settled_ = std::make_unique<View>();
    retired_segments_.reserve(old_segments);
    retired_views_.reserve(2);
  }

  // Every segment once; every page of the table is one. An old one that has moved is left named,
  // though its page may be another's by now: nobody goes there.
  std::vector<bool> seen(pages.size());
  uint64_t in_use = 0;
  const auto claim = [&](uint64_t entry) {
    const auto page = std::lower_bound(pages.begin(), pages.end(), segment_number(entry));
    if (page == pages.end() || *page != segment_number(entry)) return false;
    const auto place = static_cast<size_t>(page - pages.begin());
    if (seen[place]) return false;
    seen[place] = true;
    ++in_use;
    return true;
  };
  for (uint32_t s = 0; s < segments; ++s) {
    const uint64_t entry = current_->entries[s].load(std::memory_order_relaxed);
    if (entry != 0) ++built_;
    if (entry != 0 ? !claim(entry) : old_segments == 0) return false;
  }
  for (uint32_t s = 0; s < old_segments; ++s) {
    const uint64_t entry = current_->old_entries[s].load(std::memory_order_relaxed);
    if (has_moved(s) ? segment_number(entry) >= end : !claim(entry)) return false;
  }
  if (in_use != pages.size()) return false;
  items_.store(items, std::memory_order_relaxed);
  segments_in_use_.store(in_use, std::memory_order_relaxed);
  resizing_.store(old_segments > 0, std::memory_order_relaxed);
  view_.store(current_.get(), std::memory_order_seq_cst);
  return in.ok() && items <= in_use * kSlotsPerSegment;
}

bool HashTable::away_counts_hold() const {
  if (current_ == nullptr) return true;
  std::array<uint32_t, kBucketsPerSegment> away;
  const auto holds = [&](uint64_t entry) {
    const Slot* slots = segment_at(segment_number(entry));
    away.fill(0);
    for (uint32_t i = 0; i < kSlotsPerSegment; ++i) {
      const uint64_t slot = slots[i].load(std::memory_order_relaxed);
      if (!is_free(slot) && (slot & kAway) != 0) {
        ++away[(i / kSlotsPerBucket) ^ alternate(tag_of(slot))];
      }
    }
    for (uint32_t b = 0; b < kBucketsPerSegment; ++b) {
      const uint32_t count = away_count(slots + size_t{b} * kSlotsPerBucket);
      if (count != kManyAway && count < away[b]) return false;
    }
    return true;
  };
  for (uint32_t s = 0; s < current_->segments; ++s) {
    const uint64_t entry = current_->entries[s].load(std::memory_order_relaxed);
    if (entry != 0 && !holds(entry)) return false;
  }
  for (uint32_t s = 0; s < current_->old_segments; ++s) {
    if (!has_moved(s) && !holds(current_->old_entries[s].load(std::memory_order_relaxed))) {
      return false;
    }
  }
  return true;
}

void HashTable::check_invariants() const {
  const auto require = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "hash table invariant broken: %s\n", what);
    std::abort();
  };
  if (current_ == nullptr) {
    require(items() == 0, "an empty table has items");
    return;
  }
  uint64_t seen = 0;
  for_each([&](uint32_t, Ref) { ++seen; });
  require(seen == items(), "slots in use differ from the item count");
  require(away_counts_hold(), "more items are away than counted");
}

}  // namespace larder::core
