// Cache: all shards, as a library. No socket, no protocol word, no wall clock.
//
// Every call names the worker that makes it (0 .. CacheConfig::workers - 1), one thread each, and
// is made inside a turn: between begin_turn and end_turn. Pointers that calls return are good until
// that turn ends or is refreshed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/atomic.h"
#include "core/draft.h"
#include "core/hash.h"
#include "core/item.h"
#include "core/result.h"
#include "core/units.h"

namespace larder::core {

class MemoryFile;
class Observer;
class Shard;
class PagePool;
struct ShardPages;
class Epoch;
class SizeClasses;
class TurnBreak;
class UseCounts;

struct CacheConfig {
  size_t memory_bytes = 64_MiB;    // -m: items, table and bookkeeping
  uint32_t item_size_max = 1_MiB;  // -I
  uint32_t workers = 4;            // threads that call
  uint32_t shards = 0;             // 0: chosen from memory and workers
  double growth_factor = 0;        // of the size classes; 0: chosen from the size of a shard
  uint32_t min_chunk_bytes = 24;   // smallest chunk
  bool evict = true;               // -M turns it off
  bool cas = true;                 // -C turns it off: every CAS reads as 0
  EvictionOrder order = EvictionOrder::Density;
  bool background_expiry = true;  // see Cache::set_background_expiry
  bool huge_pages = true;
  uint64_t hash_seed = 0;        // 0: random
  Observer* observer = nullptr;  // told of evictions, if it wants to be; outlives the cache
  // Holds the items, so that they outlast the process; the caller's, and outlives the cache. Null:
  // they lie in anonymous memory. See Cache::restart.
  MemoryFile* memory_file = nullptr;
};

// How a cache over a memory file begins.
struct Restart {
  bool warm = false;        // with the items that the last one saved
  std::string why_cold;     // else a clause that says why: "'FILE.meta' is damaged"
  std::string owner_state;  // if warm: what save() was told
};

// Figures of the whole cache, summed at the time of the call; any thread.
struct CacheTotals {
  uint64_t items = 0;
  uint64_t item_bytes = 0;   // header, key and value of what is live
  uint64_t total_items = 0;  // ever stored
  uint64_t evictions = 0;
  uint64_t evicted_unfetched = 0;
  uint64_t evicted_active = 0;  // fetched within the last minute
  uint64_t expired_unfetched = 0;
  uint64_t reclaimed = 0;        // expired or flushed items freed
  uint64_t sweep_checked = 0;    // items looked at by the sweep for what is expired or flushed
  uint64_t sweep_reclaimed = 0;  // of `reclaimed`: found by it
  uint64_t table_bytes = 0;
  uint64_t table_buckets = 0;
  bool table_growing = false;
  uint64_t pages_total = 0;  // limit
  uint64_t pages_free = 0;
  uint64_t pages_moved = 0;  // from one class to another
  bool emptying_page = false;
  uint64_t lock_waits = 0;
  uint64_t memory_bytes = 0;  // limit in force
  uint64_t retired = 0;       // chunks waiting for turns to end
  uint64_t reader_scans = 0;  // how often all workers' turns were looked at for those
  // Of pages borrowed beyond the limit while turns had to end: now, at most so far, and allowed.
  uint64_t overdraft_bytes = 0;
  uint64_t overdraft_peak_bytes = 0;
  uint64_t overdraft_limit_bytes = 0;
  uint64_t held_items = 0;
};

struct ClassTotals {
  uint32_t chunk_bytes = 0;
  uint32_t chunks_per_page = 0;
  uint64_t pages = 0;
  uint64_t items = 0;
  uint64_t used_chunks = 0;
  uint64_t free_chunks = 0;
  uint64_t item_bytes = 0;
  uint64_t evicted = 0;
  uint64_t evicted_nonzero = 0;  // had an expiry
  uint64_t evicted_unfetched = 0;
  uint64_t evicted_active = 0;
  uint64_t expired_unfetched = 0;
  uint64_t reclaimed = 0;
  uint64_t out_of_memory = 0;
  uint64_t sweep_checked = 0;  // as in CacheTotals
  uint64_t sweep_reclaimed = 0;
  uint32_t evicted_age_seconds = 0;  // since last access, of the latest eviction
  uint32_t oldest_age_seconds = 0;   // since last access, of what the clock hand points at
};

constexpr uint32_t kMaxClasses = 160;

// How far a walk over all items has come; to begin with, at the start.
struct WalkPoint {
  uint32_t shard = 0;
  uint64_t position = 0;
};

class Cache {
 public:
  // Throws std::runtime_error if the address space cannot be reserved, or the memory file's file
  // system has no room for memory_bytes.
  explicit Cache(const CacheConfig& config);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  // -- Stop and start over a memory file. One thread, while no turn runs.
  // What became of the items of the last run: they are there if it ended in save(), and if this one
  // has the same memory_bytes, item_size_max, cas and size classes. Workers, eviction and its order
  // may be others.
  const Restart& restart() const noexcept { return restart_; }
  // Before the first turn: from here on the file is this cache's, and the last run's are gone if
  // they were not kept. Until then nothing has changed, and another start finds the same. Throws
  // std::runtime_error.
  void begin_use();
  // The end: no turn runs, no draft and no hold is left; nothing but destruction may follow. Time
  // goes on for the items: the next cache's `now` must be not less than this one's last.
  //
  // owner_state  what the next start is to be told
  // returns      empty, or a clause that says why the next start will be a cold one
  [[nodiscard]] std::string save(std::string_view owner_state);

  // -- Turns.
  void begin_turn(uint32_t worker) noexcept;
  void end_turn(uint32_t worker) noexcept;
  // Ends a turn and begins the next without leaving the event loop: the worker holds no pointer
  // into the cache. Nearly free unless somebody waits for memory.
  void refresh_turn(uint32_t worker) noexcept;

  // -- Reads: no lock, cannot fail.
  KeyHash hash(std::string_view key) const noexcept { return hash_key(key, hash_seed_); }
  void prefetch(KeyHash hash) const noexcept;
  // What stores under these keys will look at, once the buckets are there.
  void prefetch_items(std::span<const KeyHash> hashes) const noexcept;

  // What was replaced or evicted waits for turns to end, and memory for new items runs out over it:
  // a worker that was not scheduled in the middle of its turn does that. Who is about to store
  // should end its own turn and let the others run. Two loads.
  bool is_short_of_memory() const noexcept;
  // Frees some of what ended turns have left, at most 128 chunks of each shard under one hold of
  // its lock; between turns. False if nothing could be freed.
  bool relieve();
  // Finds live items for up to kBatchKeys probes, in passes so that cache misses overlap. found[i]
  // belongs to probes[i].
  void lookup(uint32_t worker, std::span<const Probe> probes, std::span<Found> found,
              Seconds now) noexcept;
  uint64_t cas_of(const Item& item) const noexcept;
  // The same where the key's hash is at hand, without a look at the item's page.
  uint64_t cas_of(const Item& item, KeyHash hash) const noexcept;
  // The value's pieces in order; one piece unless item.is_large().
  void value_parts(const Item& item, std::vector<std::string_view>& out) const;
  uint32_t class_of(const Item& item) const noexcept;  // index into class totals
  uint32_t chunk_bytes_of(const Item& item) const noexcept;

  // -- Writes: take a shard's lock for a moment.
  // An empty draft comes with the reason. `now` ages what may have to go.
  AllocateStatus allocate(uint32_t worker, const KeyRef& key, const ItemShape& shape, Seconds now,
                          ItemDraft& draft);
  // The draft is complete. Consumed in any case; on failure the cache is as it was.
  StoreResult store(uint32_t worker, ItemDraft&& draft, const StoreRule& rule, Seconds now);
  // Both in one, for a value that is all there: one lock. (Sets pipelined by 32: 1.07.) False, and
  // nothing has changed: it is longer than kPutBytes, or something is to be refused or to be waited
  // for that allocate and store know about.
  static constexpr size_t kPutBytes = 2048;
  bool put(uint32_t worker, const KeyRef& key, const ItemShape& shape, std::string_view value,
           const StoreRule& rule, Seconds now, StoreResult& result);
  // The same for up to kBatchKeys stores, all or none: two locks for each kStoresAtOnce of a shard,
  // and one if that is all. Stores of one shard come about in their order, and so do those of one
  // key; of two shards, either may be first.
  static constexpr size_t kStoresAtOnce = 24;
  bool put_many(uint32_t worker, std::span<Put> puts, Seconds now);
  // concat, remove, arith and touch may have to copy an item; Busy: memory for the copy comes free
  // once turns have ended. Where a value is large and memory full, all but touch break the caller's
  // turn in between: with `turn_break` null, only as much can be copied as the cache may borrow. A
  // copy of more than an eighth of the memory, or beside others of more than 5/32 in all, is
  // refused at once unless memory is free for it: nothing is evicted, the item stays.
  //
  // Appends or prepends the draft's value to the item under its key; flags and expiry of the old
  // item stay. NotStored on a miss. The draft is left intact unless Stored.
  StoreResult concat(uint32_t worker, ItemDraft& draft, const ConcatRule& rule, Seconds now,
                     TurnBreak* turn_break = nullptr);
  RemoveResult remove(uint32_t worker, const KeyRef& key, const RemoveRule& rule, Seconds now,
                      TurnBreak* turn_break = nullptr);
  ArithResult arith(uint32_t worker, const KeyRef& key, const ArithRule& rule, Seconds now,
                    TurnBreak* turn_break = nullptr);
  // `bump`: it counts as a hit in the eviction order and marks the item fetched.
  TouchResult touch(uint32_t worker, const KeyRef& key, Seconds expiry, Seconds now,
                    bool bump = true);
  // Hands out the win token of an item found in this turn: true for exactly one caller, also if the
  // item has gone since then; false if it has been replaced.
  bool claim_win(uint32_t worker, const KeyRef& key, const Item* item);

  // Keeps an item's bytes readable beyond the turn in which it was found, until release(). Counted;
  // the item may meanwhile be replaced, evicted or expire. Any worker.
  void hold(const Item* item);
  void release(const Item* item);

  // -- Whole cache.
  // Everything stored before this call is a miss from now on. O(shards).
  void flush(Seconds now);
  // The same for a flush that several workers may begin, each at any time: a shard obeys the first
  // of them, so a late one takes nothing that was stored since. Once forgo_flush(number) has
  // returned, flush_once of that number and of those before does nothing. O(shards).
  //
  // number  rises from 1 with every such flush, and may wrap around
  void flush_once(uint32_t number, Seconds now);
  void forgo_flush(uint32_t number);
  // Changes the limit; up to CacheConfig-time reserve. False if out of bounds, or if the memory
  // file's file system has no room for it.
  bool set_memory_limit(size_t bytes);
  size_t memory_limit() const noexcept;
  size_t max_memory_limit() const noexcept;

  // Memory that will be needed soon is to be had from the kernel: any thread, a few loads. And
  // having some of it had: milliseconds, one thread, no turn; true if there is more.
  bool wants_memory_ahead() const noexcept;
  bool ready_memory_ahead() noexcept;
  // Likewise all of the limit at once: before anybody uses the cache. False, with errno, if the
  // kernel does not give it.
  bool ready_all_memory() noexcept;

  // Whether upkeep frees what has expired, or leaves it until somebody asks for it or for room. It
  // frees what was flushed in any case. Any thread.
  void set_background_expiry(bool on) noexcept;
  bool background_expiry() const noexcept;

  // Upkeep of the shards that `worker` owns, about `budget_us` microseconds at most; true if there
  // is more to do. Called at the end of a turn and from a timer when idle, outside a turn.
  bool tend(uint32_t worker, Seconds now, uint32_t budget_us);

  // -- Figures.
  const CacheConfig& config() const noexcept { return config_; }
  uint32_t shard_count() const noexcept { return static_cast<uint32_t>(shards_.size()); }
  uint32_t class_count() const noexcept;
  CacheTotals totals() const;
  ClassTotals class_totals(uint32_t size_class, Seconds now = 0) const;
  void reset_totals();
  // Live items by size, for `stats sizes`: counts by stored bytes rounded up to 32. Walks the whole
  // cache; needs no turn, and holds a shard's lock for some 2,000 chunks at a time.
  void size_histogram(std::vector<std::pair<uint32_t, uint64_t>>& out);
  // Visits live items of a class, at most a page of them at a time under the shard's lock, until
  // `visit` says false. It must be short and not call the cache.
  void visit_class(uint32_t size_class, Seconds now, const std::function<bool(const Item&)>& visit);
  // One step of a walk over all items. Puts the next live ones into `items`, some 110 at most or
  // none, and moves `at` on; false when nothing is left. They are good until the turn ends; the
  // walk may go on in any later turn, on any worker. Every key that is there from the first step to
  // the last, under whatever value, comes exactly once, and any other at most once. Holds one
  // shard's lock for some 10 microseconds at most.
  bool walk(WalkPoint& at, Seconds now, std::vector<const Item*>& items);
  // Asks upkeep to empty the class's sparsest page, which is anybody's then: by moving what lies in
  // it, or if memory is full and eviction on, by letting go of what has no room elsewhere.
  EmptyPageStatus empty_page(uint32_t size_class);
  // Bytes in parts of large values that are being received.
  uint64_t draft_bytes() const noexcept;

  // Aborts with a sentence if a structure contradicts itself. Takes all locks; tests only.
  void check_invariants();

 private:
  class Groups;
  // The shard of a worker's whose slice of upkeep comes next, the how manieth of them it is.
  struct alignas(kCacheLineBytes) NextShard {
    size_t place = 0;
  };

  // A new cache of so many shards. `asked`: what was asked for.
  void build(const CacheConfig& asked, uint32_t shards, uint64_t seed);
  // Builds the cache that the snapshot is of; a clause that says why it cannot be, or empty.
  std::string restore(const CacheConfig& asked, std::string_view snapshot);
  // Null, or a clause that says what is wrong with the items' bytes. `pages`: by shard.
  const char* check_items(const std::vector<ShardPages>& pages);
  void count_uses(uint32_t worker, const Item& item, uint64_t uses = 1) noexcept;
  Shard& shard_of(KeyHash hash) const noexcept;
  Shard& shard_of(const Item& item) const noexcept;

  CacheConfig config_;
  Restart restart_;
  Atomic<bool> background_expiry_{true};  // publishes nothing else
  uint64_t hash_seed_ = 0;
  uint32_t shard_shift_ = 8;  // KeyHash::shard_bits() >> this is the shard
  std::unique_ptr<SizeClasses> sizes_;
  std::unique_ptr<Epoch> epoch_;
  std::unique_ptr<UseCounts> uses_;
  std::unique_ptr<PagePool> pool_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<NextShard> next_shards_;  // by worker, who alone uses it
};

}  // namespace larder::core
