// Shard: a slice of the key space with its own table, chunks, order of eviction and expiry.
//
// Readable by every worker without a lock; written under its lock; looked after by the worker that
// owns it (tend). The lock is held for some hundred nanoseconds: no system call, no copy of a
// value, no unbounded loop inside. Upkeep takes it in slices.
//
// Memory for a chunk is looked for in this order: a free chunk of the class; a retired one whose
// readers have left; a page of the pool; a page of the shard's reserve; with eviction on, a page
// borrowed beyond the limit, which upkeep pays back. Every allocation in a full cache evicts as
// much as it takes, in the order of eviction, whatever the class; when that leaves a class with a
// page's worth of free chunks, its sparsest page is emptied by moving what is live in it, and
// refills the reserve. So memory flows to the sizes that are asked for.
//
// Retired chunks: unlink, stamp, wait until every turn that could see them has ended
// (core/epoch.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/atomic.h"
#include "core/cache.h"
#include "core/epoch.h"
#include "core/eviction.h"
#include "core/hash_table.h"
#include "core/item_writer.h"
#include "core/mutex.h"
#include "core/observer.h"
#include "core/page_pool.h"
#include "core/result.h"
#include "core/retire_queue.h"
#include "core/size_classes.h"
#include "core/slab.h"
#include "core/turn_break.h"
#include "core/use_counts.h"

namespace larder::core {

class SnapshotReader;
class SnapshotWriter;

class Shard {
 public:
  Shard(const CacheConfig& config, const SizeClasses& sizes, PagePool& pool, Epoch& epoch,
        const UseCounts& uses, uint64_t hash_seed, uint16_t number, uint32_t shard_count);
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // -- Readers: no lock, inside a turn.
  const HashTable& table() const noexcept { return table_; }
  MissReason gone(const Item& item, Seconds now) const noexcept {
    const Seconds expiry = item.expiry();
    if (expiry != kNever && expiry <= now) return MissReason::Expired;
    if (is_flushed(item)) return MissReason::Flushed;
    return MissReason::None;
  }
  uint64_t cas_of(const Item& item) const noexcept;
  void value_parts(const Item& item, std::vector<std::string_view>& out) const;

  // -- Writers: take the lock themselves. See Cache.
  AllocateStatus allocate(const KeyRef& key, const ItemShape& shape, Seconds now, ItemDraft& draft);
  StoreResult store(ItemDraft&& draft, const StoreRule& rule, Seconds now);
  bool put(const KeyRef& key, const ItemShape& shape, std::string_view value, const StoreRule& rule,
           Seconds now, StoreResult& result);
  // Cache::put_many, for puts of this shard, Cache::kStoresAtOnce at most: all of them in one hold
  // of the lock, or first a chunk with key and value for each and later, in their order, what
  // becomes of them. False if one of them cannot have its chunk; some may have theirs then, and
  // none is stored. put_back() gives back the chunks of those that have one.
  bool put(std::span<Put* const> puts, Seconds now) EXCLUDES(mutex_);
  bool take_for(std::span<Put* const> puts, Seconds now) EXCLUDES(mutex_);
  void publish(std::span<Put* const> puts, Seconds now) EXCLUDES(mutex_);
  void put_back(std::span<Put* const> puts) noexcept EXCLUDES(mutex_);
  // Whether somebody holds the lock at the moment.
  bool is_locked() const noexcept { return mutex_.is_held(); }
  StoreResult concat(ItemDraft& draft, const ConcatRule& rule, Seconds now, TurnBreak* turn_break);
  RemoveResult remove(const KeyRef& key, const RemoveRule& rule, Seconds now,
                      TurnBreak* turn_break);
  ArithResult arith(const KeyRef& key, const ArithRule& rule, Seconds now, TurnBreak* turn_break);
  TouchResult touch(const KeyRef& key, Seconds expiry, Seconds now, bool bump);
  bool claim_win(const KeyRef& key, const Item* item);
  void hold(const Item* item);
  void release(const Item* item);
  void flush(Seconds now) EXCLUDES(mutex_);
  void flush_once(uint32_t number, Seconds now) EXCLUDES(mutex_);
  void forgo_flush(uint32_t number) EXCLUDES(mutex_);

  // Drafts: the next part of a large value; false if there is no memory at the moment.
  bool next_part(ItemDraft& draft);
  void drop_draft(ItemDraft& draft) noexcept;
  std::string_view draft_key(Ref head) const noexcept { return item_at(head)->key(); }

  // Frees some of what readers have left, under one hold of the lock. Any worker; its own turn
  // counts as a reader's. False if there was nothing to free.
  bool reclaim_slice() EXCLUDES(mutex_);

  // -- Upkeep by the owner, outside a turn: one slice, of one kind of work, at most some 50
  // microseconds of lock. False if nothing is left to do. `expire`: also what has expired.
  bool tend_slice(Seconds now, bool expire) EXCLUDES(mutex_);

  // -- Stop and start, when no turn runs and no draft or hold is left.
  // Frees all that waited for readers. False if something is left that another owns.
  bool settle();
  // What is known of a settled shard beside its pages and the pool. restore() is for a new shard
  // over a restored pool; false where numbers contradict each other.
  void save(SnapshotWriter& out);
  bool restore(SnapshotReader& in, const ShardPages& pages);
  // After restore(): reads all that the arena has of this shard's items. Null, or a clause that
  // says why they cannot be used (core/item_check.h).
  const char* check_items(const ShardPages& pages);

  void add_totals(CacheTotals& totals);
  void add_class_totals(uint32_t size_class, ClassTotals& totals, Seconds now);
  void reset_totals();
  // Appends the stored bytes of live items to `sizes`, which has room for kSizesAtOnce more: one
  // step over all chunks of the shard, from this position; returns the next one, 0 at the end.
  static constexpr uint32_t kSizesAtOnce = 2048;  // some 20 us of lock, 150 where all caches miss
  uint64_t list_sizes(uint64_t from, std::vector<uint32_t>& sizes) EXCLUDES(mutex_);
  // Visits live items of a class, one page at a time and under the lock; stops when told false.
  // Returns the next page to ask for, 0 at the end.
  size_t visit_class(uint32_t size_class, size_t from_page, Seconds now,
                     const std::function<bool(const Item&)>& visit);
  // One step of Cache::walk, from this position; returns the next one, HashTable::kPositions at the
  // end. Inside a turn.
  uint64_t walk(uint64_t from, Seconds now, std::vector<const Item*>& items) EXCLUDES(mutex_);
  // See Cache.
  EmptyPageStatus empty_page(uint32_t size_class) EXCLUDES(mutex_);
  void check_invariants();

 private:
  struct ClassCounters {
    uint64_t item_bytes = 0;
    uint64_t items = 0;
    uint64_t evicted = 0;
    uint64_t evicted_nonzero = 0;
    uint64_t evicted_unfetched = 0;
    uint64_t evicted_active = 0;
    uint64_t expired_unfetched = 0;
    uint64_t reclaimed = 0;
    uint64_t out_of_memory = 0;
    uint64_t sweep_checked = 0;
    uint64_t sweep_reclaimed = 0;
    uint32_t evicted_age = 0;
  };
  enum class Why { Replaced, Removed, Evicted, Expired };
  // Kinds of upkeep, in the order in which they take turns.
  enum class Upkeep : uint8_t {
    Reclaim,
    Resize,
    EvictLater,
    MakeRoom,
    Drain,
    SweepFlushed,
    Expire
  };
  static constexpr uint32_t kUpkeepKinds = 7;
  // What outlives its turn, by reference; the last release frees what was retired meanwhile.
  class Holds {
   public:
    bool empty() const noexcept { return holds_.empty(); }
    size_t size() const noexcept { return holds_.size(); }
    bool contains(Ref ref) const { return !holds_.empty() && holds_.contains(ref); }
    // True if it was not held.
    bool add(Ref ref) { return ++holds_[ref].count == 1; }
    // True if it is not held; else the last release is told.
    bool may_free(Ref ref);
    // One hold less; true if what it held is the caller's to free.
    bool release(Ref ref);

   private:
    struct Hold {
      uint32_t count = 0;
      bool orphan = false;
    };
    std::unordered_map<Ref, Hold> holds_;
  };

  bool is_flushed(const Item& item) const noexcept {
    const uint64_t mark = flush_mark_.load(std::memory_order_relaxed);
    return mark != 0 && widen(item.seq()) < mark;
  }
  // The shard's full sequence number of an item.
  uint64_t widen(uint32_t seq) const noexcept {
    const uint64_t n = sequence_.load(std::memory_order_relaxed);
    return n - (static_cast<uint32_t>(n) - seq);
  }
  uint32_t class_of(const Item& item) const noexcept {
    return sizes_.class_for(item.stored_bytes());
  }
  Item* item_at(Ref ref) const noexcept { return reinterpret_cast<Item*>(pool_.at(ref)); }
  Ref ref_of(const Item& item) const noexcept { return pool_.ref_of(&item); }
  KeyHash hash_of(const Item& item) const noexcept { return hash_key(item.key(), hash_seed_); }

  // The live, unexpired item under the key and its slot; what is there but gone is unlinked.
  HashTable::Slot* find_live(const KeyRef& key, Seconds now) REQUIRES(mutex_);
  Item* item_in(const HashTable::Slot* slot) const noexcept {
    return slot == nullptr ? nullptr : item_at(table_.ref_in(*slot));
  }

  // The parts of an item that is gone, from the first that is not free yet.
  struct LooseParts {
    Ref first;
    bool retired;  // counted in retired_bytes_
  };

  // A chunk, and the room that keep_room makes for the next one. find_chunk: without that.
  Ref take_chunk(uint32_t size_class, Seconds now) REQUIRES(mutex_);
  Ref find_chunk(uint32_t size_class) REQUIRES(mutex_);
  PageNumber take_page() REQUIRES(mutex_);
  void give_page(PageNumber page) REQUIRES(mutex_);
  void put_chunk(Ref ref) REQUIRES(mutex_);
  void free_item(Ref ref) REQUIRES(mutex_);
  // What came of an item whose parts nobody needs any more: reclaim frees them, a few at a time.
  void loosen_parts(const Item& item) REQUIRES(mutex_);
  void add_loose_parts(Ref first, bool retired) noexcept REQUIRES(mutex_);
  void free_loose_part() REQUIRES(mutex_);
  void free_first_of(LooseParts& parts) REQUIRES(mutex_);
  bool has_freeable() const REQUIRES(mutex_) { return !retired_.empty() || !loose_parts_.empty(); }
  // One hold of an item's chunk less; the last one frees the chunk if the item was retired
  // meanwhile.
  void release_chunk(Ref ref) REQUIRES(mutex_);
  void retire(Item& item, Why why, Seconds now) REQUIRES(mutex_);
  void unlink(Item& item, KeyHash hash, Why why, Seconds now) REQUIRES(mutex_);
  // Frees what readers have left, some chunks at a time; how many.
  uint32_t reclaim() REQUIRES(mutex_);
  void note_live(ClassCounters& c, const Item& item, int sign) REQUIRES(mutex_);
  // Makes what was written at `head` the item of its key, in the slot's place if there is one.
  // `keep_sequence`: it is the old item in another shape, with the same CAS.
  StoreResult publish(Ref head, KeyHash hash, HashTable::Slot* slot, uint8_t marks, Seconds now,
                      bool keep_sequence) REQUIRES(mutex_);
  StoreResult publish(ItemDraft& draft, HashTable::Slot* slot, uint8_t marks, Seconds now,
                      bool keep_sequence) REQUIRES(mutex_);
  // What some puts will look like in memory.
  class Layouts;
  // See put() and publish() above.
  bool find_chunks(std::span<Put* const> puts, const Layouts& layouts) REQUIRES(mutex_);
  void publish_puts(std::span<Put* const> puts, Seconds now) REQUIRES(mutex_);
  // What the chunk of a put comes to.
  StoreResult publish_put(Ref ref, const KeyRef& key, const StoreRule& rule, Seconds now)
      REQUIRES(mutex_);
  // Gives back a chunk that was taken and not published.
  void put_back(Ref head) REQUIRES(mutex_);
  // Answers a store that did not come about; `old`, if there is one, was in its way.
  StoreResult refuse_store(StoreStatus status, const Item* old, Seconds now) const;
  // What a store that meets `old` (null if nothing is there) comes to.
  StoreStatus judge(const Item* old, const StoreRule& rule) const;
  // What a copy that takes an item's place has of it at that moment, under the lock. The item's
  // expiry and marks may have changed since the copy was begun.
  struct Kept {
    bool expiry = false;
    bool sequence = false;  // else the copy is a new modification, with another CAS
    uint8_t marks = 0;      // of these, the ones that the item has
  };
  // Publishes the draft in the place of `expected`, if its key still leads there, a get would still
  // hit it, and the draft has room for what it keeps.
  bool swap(ItemDraft& draft, const Item* expected, uint8_t marks, Kept kept, Seconds now)
      EXCLUDES(mutex_);
  // What the key leads to now, without the lock.
  const Item* find_now(const KeyRef& key, Seconds now) const noexcept;
  ItemShape shape_of(const Item& item) const noexcept;
  // A copy that is being made of an item, perhaps in several turns.
  class Copy;
  bool copy_value(const Item& from, ItemDraft& to);
  // What incr counts on from; false if the value does not begin with a number.
  bool read_number(const Item& item, uint64_t& number) const;

  // In a full cache: what is free or will be when readers have left, and how much of it there
  // should be. How much that is, depends on the sizes in use: it rises while the reserve is short,
  // and else falls; with the share of what is to be given back.
  uint64_t room_bytes() const REQUIRES(mutex_) {
    return slab_.free_bytes() + retired_bytes_ + reserve_.size() * kPageBytes;
  }
  uint64_t room_goal() const REQUIRES(mutex_);
  // With the reserve full and a page of each class half used: more is a page that can be spared.
  uint64_t room_with_spare_page() const REQUIRES(mutex_);
  void adjust_room(size_t bytes) REQUIRES(mutex_);
  // Lets go what has expired, and when nothing has, in the order of eviction, until there is room;
  // bounded by steps. True if that has made some.
  bool make_room(uint64_t goal, uint32_t steps, Seconds now) REQUIRES(mutex_);
  // `bytes` were taken.
  void keep_room(size_t bytes, Seconds now) REQUIRES(mutex_);
  bool evict_one(uint32_t& steps, Seconds now) REQUIRES(mutex_);
  // The kinds of upkeep that may have something to do, a bit each.
  uint32_t due_upkeep(Seconds now, bool expire) const REQUIRES(mutex_);
  // Does a slice of this kind. Idle: there was nothing to do, or it has to wait for readers; Last:
  // this kind has nothing left.
  enum class Slice : uint8_t { Idle, Last, More };
  Slice tend_kind(Upkeep kind, Seconds now) REQUIRES(mutex_);
  size_t pages_wanted() const REQUIRES(mutex_);
  void note_pages() REQUIRES(mutex_);  // sets has_few_pages_
  // This shard's part of what was borrowed, or is over a limit that was lowered. Nothing while it
  // has clearly fewer pages than the others: the worker with the most time would empty its own.
  size_t pages_to_give_back() const REQUIRES(mutex_);
  bool may_drain() const REQUIRES(mutex_);
  bool drain_step(Seconds now, uint32_t items) REQUIRES(mutex_);
  // evicts   what finds no chunk elsewhere is evicted; else the page is kept
  void start_drain(PageNumber page, bool evicts) REQUIRES(mutex_);
  void stop_drain(PageNumber page) REQUIRES(mutex_);
  // Unlinks what has expired from blocks that are due, and counts down blocks and items. True if
  // more is due.
  bool expire_blocks(uint32_t& blocks, uint32_t& unlinks, Seconds now) REQUIRES(mutex_);
  // Unlinks what is gone from a block, `unlinks` items at most; false if some are left.
  bool sweep_block(PageNumber page, uint32_t block, Seconds now, uint32_t& unlinks)
      REQUIRES(mutex_);
  void mark_flushed(Seconds now) REQUIRES(mutex_);
  // False if a flush of this number or a later one came before.
  [[nodiscard]] bool close_flush(uint32_t number) REQUIRES(mutex_);
  // After a flush. True if there is more to do.
  bool sweep_flushed(uint32_t& blocks, uint32_t& unlinks, Seconds now) REQUIRES(mutex_);
  // Once the sweep is done and no reader is left from before its end.
  void forget_flush(Seconds now) REQUIRES(mutex_);
  uint64_t chunk_bytes_of(const Item& item) const noexcept {
    return pool_.info(PagePool::page_of(ref_of(item))).chunk_bytes;
  }
  static uint64_t parts_bytes_of(const Item& item) noexcept {
    return item.is_large() ? item.value_bytes() - item.part_bytes() : 0;
  }

  const CacheConfig& config_;
  Observer& observer_;
  const SizeClasses& sizes_;
  PagePool& pool_;
  Epoch& epoch_;
  const uint64_t hash_seed_;
  const uint16_t number_;
  const uint32_t shard_count_;
  Atomic<uint64_t> flush_mark_{0};  // items below it are misses; 0: none left

  alignas(kCacheLineBytes) HashTable table_;
  // On a line that no reader needs but for a CAS: each store writes it.
  alignas(kCacheLineBytes) Atomic<uint64_t> sequence_{0};

  alignas(kCacheLineBytes) Mutex mutex_;
  Slab slab_ GUARDED_BY(mutex_);
  Eviction eviction_ GUARDED_BY(mutex_);
  Epoch::Horizon horizon_ GUARDED_BY(mutex_);
  RetireQueue retired_ GUARDED_BY(mutex_);
  // So many retired chunks are worth a look at the readers.
  size_t reclaim_from_ GUARDED_BY(mutex_);
  Upkeep next_upkeep_ GUARDED_BY(mutex_) = Upkeep::Reclaim;
  std::vector<LooseParts> loose_parts_ GUARDED_BY(mutex_);
  Holds holds_ GUARDED_BY(mutex_);
  // Of large items, by the first part: they pass from an item to its copy when that is moved.
  Holds part_holds_ GUARDED_BY(mutex_);
  std::vector<PageNumber> reserve_ GUARDED_BY(mutex_);
  PageNumber draining_ GUARDED_BY(mutex_) = kNoPage;
  uint32_t drain_next_ GUARDED_BY(mutex_) = 0;
  bool drain_evicts_ GUARDED_BY(mutex_) = false;   // what cannot be moved
  size_t drained_waiting_ GUARDED_BY(mutex_) = 0;  // emptied pages whose chunks are still retired
  uint64_t chunks_freed_ GUARDED_BY(mutex_) = 0;
  uint64_t no_spare_page_at_ GUARDED_BY(mutex_) = UINT64_MAX;  // chunks_freed_ when none was found
  uint64_t room_wanted_ GUARDED_BY(mutex_) = 0;
  bool page_refused_ GUARDED_BY(mutex_) = false;  // when one was asked for last
  // Far fewer than its share, as of the last change: it borrows pages, which shards with more give
  // back, and evicts nothing to keep some free. Else a shard of a few items would lose them to its
  // reserve.
  bool has_few_pages_ GUARDED_BY(mutex_) = false;
  // A store has let nothing go since the last upkeep, which does it then: who stores one item in a
  // full cache and waits until another has left, as memcached has it, does not wait in vain.
  bool evict_later_ GUARDED_BY(mutex_) = false;
  uint32_t evicting_slices_ GUARDED_BY(mutex_) = 0;  // slices of upkeep that had nothing else to do
  uint64_t retired_bytes_ GUARDED_BY(mutex_) = 0;
  size_t flush_pages_ GUARDED_BY(mutex_) = 0;           // pages left to sweep after a flush
  PageNumber flush_page_ GUARDED_BY(mutex_) = kNoPage;  // the one that is being swept
  uint32_t flush_blocks_ GUARDED_BY(mutex_) = 0;        // and its blocks that are done
  Seconds flush_sweep_from_ GUARDED_BY(mutex_) = 0;
  Epoch::Stamp flush_swept_ GUARDED_BY(mutex_) = 0;  // when its sweep was done
  uint32_t last_flush_ GUARDED_BY(mutex_) = 0;  // the highest number that was flushed or forgone
  uint64_t total_items_ GUARDED_BY(mutex_) = 0;
  uint64_t pages_moved_ GUARDED_BY(mutex_) = 0;
  std::vector<ClassCounters> counters_ GUARDED_BY(mutex_);
};

}  // namespace larder::core
