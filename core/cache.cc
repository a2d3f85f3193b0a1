#include "core/cache.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <system_error>
#include <thread>

#include "core/epoch.h"
#include "core/memory_file.h"
#include "core/page_pool.h"
#include "core/shard.h"
#include "core/size_classes.h"
#include "core/snapshot.h"

namespace larder::core {
namespace {

// One shard for each 256 MiB, so that half-used pages (classes x shards) stay a small share; not
// more than two a worker, which is enough for writers not to wait for each other. A power of two.
uint32_t choose_shards(const CacheConfig& config) {
  uint64_t shards = config.shards;
  if (shards == 0) {
    shards = std::clamp<uint64_t>(config.memory_bytes / 256_MiB, 1, uint64_t{2} * config.workers);
  }
  uint32_t power = 1;
  while (power * 2 <= std::min<uint64_t>(shards, kMaxShards)) power *= 2;
  return power;
}

// Every class in use has a page that is half empty; items lose half a step between classes. With
// n = ln(range) / ln(factor) classes the sum of both is least where ln(factor) is the square root
// of ln(range) pages: 1.05 for a shard of 64 MiB, 1.03 for one of 256 MiB.
double choose_factor(const CacheConfig& config, uint32_t shards) {
  const double pages = static_cast<double>(config.memory_bytes) / shards / kPageBytes;
  const double range = std::log(static_cast<double>(SizeClasses::kMaxItemBytes) / 48);
  if (config.growth_factor == 0) {
    return std::clamp(std::exp(std::sqrt(range / pages)), 1.03, 1.3);
  }
  // As asked for, but no more classes than there are four pages for each.
  return std::max(config.growth_factor, std::exp(range / std::max(pages / 4, 8.0)));
}

// The lines with header and key, and those of a value that is short enough to be copied.
void prefetch_start(const Item* item) noexcept {
  __builtin_prefetch(item);
  __builtin_prefetch(reinterpret_cast<const char*>(item) + kCacheLineBytes);
}
void prefetch_rest(const Item& item) noexcept {
  constexpr uint32_t kMostBytes = 1_KiB;
  const char* const start = reinterpret_cast<const char*>(&item);
  const char* const end = start + std::min(item.stored_bytes(), kMostBytes);
  const char* line = start - reinterpret_cast<uintptr_t>(start) % kCacheLineBytes;
  for (line += 2 * kCacheLineBytes; line < end; line += kCacheLineBytes) __builtin_prefetch(line);
}

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// Room for the limit to grow: address space costs nothing. Where the process may have only so much
// of it (ulimit -v), no more than half is for the cache if that holds the limit: stacks and the
// allocator need the rest.
size_t reserve_for(size_t limit_bytes) {
  constexpr size_t kMostBytes = 1_GiB * 1024 / 2;  // half of what a Ref can name
  size_t most = kMostBytes;
  rlimit address_space{};
  if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) {
    most = std::min<size_t>(most, address_space.rlim_cur / 2);
  }
  return std::max(limit_bytes, std::min(std::max(limit_bytes * 4, 8_GiB), most));
}

// What must be the same for another program to find its way in the arena and in a snapshot. The
// first is to be raised with any change of either that the others do not show.
constexpr uint32_t kLayoutNumber = 1;
constexpr std::array<uint32_t, 10> kLayout = {
    kLayoutNumber,
    kPageBytes,
    sizeof(PageInfo),
    sizeof(BlockExpiries),
    Item::kHeaderBytes,
    Item::kLargeBytes,
    kRefShift,
    HashTable::kBucketBits,
    HashTable::kSlotsPerBucket,
    Eviction::kRings,
};

std::string changed(const char* what, uint64_t before, uint64_t now) {
  return std::string(what) + " was " + std::to_string(before) + " and is " + std::to_string(now);
}

}  // namespace

Cache::Cache(const CacheConfig& config) : config_(config) {
  set_background_expiry(config.background_expiry);
  if (config.memory_file != nullptr) {
    MemoryFile::Left left = config.memory_file->read();
    restart_.why_cold = left.usable ? restore(config, left.snapshot) : std::move(left.why_not);
    restart_.warm = restart_.why_cold.empty();
    if (restart_.warm) return;
  }
  build(config, choose_shards(config), config.hash_seed != 0 ? config.hash_seed : random_seed());
}

void Cache::build(const CacheConfig& asked, uint32_t shards, uint64_t seed) {
  shards_.clear();
  pool_.reset();
  hash_seed_ = seed;
  config_.growth_factor = choose_factor(asked, shards);
  sizes_ = std::make_unique<SizeClasses>(config_.growth_factor, asked.min_chunk_bytes);
  epoch_ = std::make_unique<Epoch>(asked.workers);
  uses_ = std::make_unique<UseCounts>(asked.workers);
  next_shards_ = std::vector<NextShard>(asked.workers);
  pool_ = std::make_unique<PagePool>(asked.memory_bytes, reserve_for(asked.memory_bytes),
                                     asked.huge_pages, asked.memory_file);
  shard_shift_ = 8;
  while (1u << (8 - shard_shift_) < shards) --shard_shift_;
  for (uint32_t i = 0; i < shards; ++i) {
    shards_.push_back(std::make_unique<Shard>(config_, *sizes_, *pool_, *epoch_, *uses_, hash_seed_,
                                              static_cast<uint16_t>(i), shards));
  }
}

std::string Cache::restore(const CacheConfig& asked, std::string_view snapshot) {
  const std::string name = "'" + asked.memory_file->snapshot_path() + "'";
  const std::string contradiction = name + " contradicts itself";
  SnapshotReader in(snapshot);
  std::array<uint32_t, kLayout.size()> layout{};
  if (!in.read(layout) || layout != kLayout) {
    return name + " is of a version of larderd with another layout of memory";
  }
  const auto memory_bytes = in.get<uint64_t>();
  const auto item_size_max = in.get<uint32_t>();
  const auto cas = in.get<uint8_t>();
  const auto shards = in.get<uint32_t>();
  const auto seed = in.get<uint64_t>();
  std::vector<uint32_t> chunk_bytes;
  in.read_array(chunk_bytes);
  restart_.owner_state = in.get_text();
  if (!in.ok() || shards == 0 || shards > kMaxShards || (shards & (shards - 1)) != 0) {
    return contradiction;
  }
  if (memory_bytes != asked.memory_bytes) {
    return changed("the memory limit (-m)", memory_bytes >> 20, asked.memory_bytes >> 20) + " MiB";
  }
  if (item_size_max != asked.item_size_max) {
    return changed("the largest item (-I)", item_size_max, asked.item_size_max) + " bytes";
  }
  if (cas != uint8_t{asked.cas}) {
    return asked.cas ? "CAS was off (-C) and is on" : "CAS was on and is off (-C)";
  }
  // As many shards as there were: how many there would be depends on the workers, too.
  if (asked.shards != 0 && asked.shards != shards) {
    return changed("the number of shards", shards, asked.shards);
  }
  build(asked, shards, seed);
  if (chunk_bytes.size() != sizes_->count()) return "the sizes of chunks (-f, -n) are others";
  for (uint32_t c = 0; c < sizes_->count(); ++c) {
    if (chunk_bytes[c] != sizes_->chunk_bytes(c)) return "the sizes of chunks (-f, -n) are others";
  }
  if (!pool_->restore(in)) return contradiction;
  const std::vector<ShardPages> pages = pool_->deal(shards);
  if (pages.empty()) return contradiction;
  for (uint32_t i = 0; i < shards; ++i) {
    if (!shards_[i]->restore(in, pages[i])) return contradiction;
  }
  if (!in.at_end()) return contradiction;
  const std::string file = "'" + asked.memory_file->path() + "'";
  if (!pool_->fill_holes()) return file + " has holes, and its file system no room to fill them";
  const char* const damage = check_items(pages);
  return damage == nullptr ? std::string() : file + " is damaged: " + damage;
}

const char* Cache::check_items(const std::vector<ShardPages>& pages) {
  // Threads as there are processors and workers, since it reads all that is in use; each takes the
  // next shard until none is left, or something is wrong.
  Atomic<uint32_t> next{0};
  Atomic<const char*> damage{nullptr};
  const auto check = [&] {
    for (;;) {
      const uint32_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= shard_count() || damage.load(std::memory_order_relaxed) != nullptr) return;
      if (const char* wrong = shards_[i]->check_items(pages[i]); wrong != nullptr) {
        damage.store(wrong, std::memory_order_relaxed);
      }
    }
  };
  const uint32_t most =
      std::min({std::max(std::thread::hardware_concurrency(), 1u), config_.workers, shard_count()});
  std::vector<std::thread> helpers;
  try {
    while (helpers.size() + 1 < most) helpers.emplace_back(check);
  } catch (const std::system_error&) {
    // Those that there are will do.
  }
  check();
  for (std::thread& helper : helpers) helper.join();
  return damage.load(std::memory_order_relaxed);
}

void Cache::begin_use() { config_.memory_file->begin(restart_.warm); }

std::string Cache::save(std::string_view owner_state) {
  bool settled = draft_bytes() == 0;
  for (const auto& shard : shards_) settled &= shard->settle();
  if (!settled) return "something is still in use";
  // The snapshot may need the room.
  pool_->expect_no_stall();
  while (pool_->trim(64, kFirstSecond)) {
  }
  SnapshotWriter out;
  out.add(kLayout);
  out.add(uint64_t{config_.memory_bytes});
  out.add(config_.item_size_max);
  out.add(uint8_t{config_.cas});
  out.add(shard_count());
  out.add(hash_seed_);
  std::vector<uint32_t> chunk_bytes;
  for (uint32_t c = 0; c < sizes_->count(); ++c) chunk_bytes.push_back(sizes_->chunk_bytes(c));
  out.add_array(chunk_bytes);
  out.add_text(owner_state);
  pool_->save(out);
  for (const auto& shard : shards_) shard->save(out);
  if (config_.memory_file->finish(out.bytes())) return {};
  return "'" + config_.memory_file->snapshot_path() +
         "' cannot be written: " + std::strerror(errno);
}

Cache::~Cache() = default;

Shard& Cache::shard_of(KeyHash hash) const noexcept {
  return *shards_[hash.shard_bits() >> shard_shift_];
}

Shard& Cache::shard_of(const Item& item) const noexcept {
  return *shards_[pool_->info(PagePool::page_of(pool_->ref_of(&item))).shard];
}

void Cache::begin_turn(uint32_t worker) noexcept { epoch_->enter(epoch_->reader(worker)); }
void Cache::end_turn(uint32_t worker) noexcept { epoch_->leave(epoch_->reader(worker)); }
void Cache::refresh_turn(uint32_t worker) noexcept { epoch_->refresh(epoch_->reader(worker)); }

bool Cache::is_short_of_memory() const noexcept { return pool_->is_nearly_overdrawn(); }

bool Cache::wants_memory_ahead() const noexcept { return pool_->wants_ahead(); }
bool Cache::ready_memory_ahead() noexcept { return pool_->ready_ahead(); }
bool Cache::ready_all_memory() noexcept { return pool_->ready_all(); }

bool Cache::relieve() {
  bool freed = false;
  for (const auto& shard : shards_) freed |= shard->reclaim_slice();
  return freed;
}

void Cache::prefetch(KeyHash hash) const noexcept { shard_of(hash).table().prefetch(hash); }

void Cache::prefetch_items(std::span<const KeyHash> hashes) const noexcept {
  for (const KeyHash hash : hashes) {
    const HashTable& table = shard_of(hash).table();
    const HashTable::Slot* bucket = table.home_bucket(hash);
    if (bucket == nullptr) continue;
    if (const Item* item = table.candidate(bucket, hash); item != nullptr) {
      __builtin_prefetch(item);
    } else if (const HashTable::Slot* second = HashTable::second_bucket(bucket, hash)) {
      __builtin_prefetch(second);
    }
  }
}

void Cache::count_uses(uint32_t worker, const Item& item, uint64_t uses) noexcept {
  uses_->add(worker,
             item.is_large() ? Eviction::group_of_large(item, sizes_->item_count())
                             : sizes_->class_for(item.stored_bytes()),
             uses);
}

void Cache::lookup(uint32_t worker, std::span<const Probe> probes, std::span<Found> found,
                   Seconds now) noexcept {
  // Passes over the batch, so that its cache misses overlap: buckets were prefetched as the
  // commands were parsed; match tags and prefetch the items; the same for what may be in its second
  // bucket; compare keys and prefetch the rest of the values. (10 M items: the last two save a
  // tenth.)
  const Item* candidates[kBatchKeys];
  struct {
    size_t at;
    const HashTable::Slot* bucket;
  } elsewhere[kBatchKeys];
  size_t elsewhere_count = 0;
  const size_t count = std::min(probes.size(), kBatchKeys);
  if (count == 0) return;
  const size_t drawn = uses_->draw(worker, count);  // it is counted for the whole batch
  for (size_t i = 0; i < count; ++i) {
    const HashTable& table = shard_of(probes[i].hash).table();
    const HashTable::Slot* bucket = table.home_bucket(probes[i].hash);
    candidates[i] = bucket == nullptr ? nullptr : table.candidate(bucket, probes[i].hash);
    if (candidates[i] != nullptr) {
      prefetch_start(candidates[i]);
    } else if (bucket != nullptr) {
      const HashTable::Slot* second = HashTable::second_bucket(bucket, probes[i].hash);
      if (second == nullptr) continue;
      __builtin_prefetch(second);
      elsewhere[elsewhere_count++] = {i, second};
    }
  }
  for (size_t e = 0; e < elsewhere_count; ++e) {
    const size_t i = elsewhere[e].at;
    const HashTable& table = shard_of(probes[i].hash).table();
    candidates[i] = table.candidate(elsewhere[e].bucket, probes[i].hash);
    if (candidates[i] != nullptr) prefetch_start(candidates[i]);
  }
  for (size_t i = 0; i < count; ++i) {
    const Probe& probe = probes[i];
    const Shard& shard = shard_of(probe.hash);
    const Item* item = candidates[i];
    if (item == nullptr || item->key() != probe.key) [[unlikely]] {
      item = shard.table().find(probe.key, probe.hash);
    }
    // Field by field: built as a whole and copied, its parts are read back before they are there.
    Found& result = found[i];
    result.item = nullptr;
    result.heat = Heat();
    result.miss = item == nullptr ? MissReason::Absent : shard.gone(*item, now);
    if (result.miss != MissReason::None) continue;
    prefetch_rest(*item);
    const Heat heat = item->heat();
    if (probe.bump) {
      note_hit(*item, heat, now);
      if (i == drawn) count_uses(worker, *item, count);
    }
    result.item = item;
    result.heat = heat;
  }
}

uint64_t Cache::cas_of(const Item& item) const noexcept { return shard_of(item).cas_of(item); }

uint64_t Cache::cas_of(const Item& item, KeyHash hash) const noexcept {
  return shard_of(hash).cas_of(item);
}

void Cache::value_parts(const Item& item, std::vector<std::string_view>& out) const {
  shards_[0]->value_parts(item, out);
}

uint32_t Cache::class_of(const Item& item) const noexcept {
  return sizes_->class_for(item.stored_bytes());
}

uint32_t Cache::chunk_bytes_of(const Item& item) const noexcept {
  return sizes_->chunk_bytes(class_of(item));
}

AllocateStatus Cache::allocate(uint32_t, const KeyRef& key, const ItemShape& shape, Seconds now,
                               ItemDraft& draft) {
  return shard_of(key.hash).allocate(key, shape, now, draft);
}

StoreResult Cache::store(uint32_t worker, ItemDraft&& draft, const StoreRule& rule, Seconds now) {
  const StoreResult result = shard_of(draft.hash()).store(std::move(draft), rule, now);
  if (result.status == StoreStatus::Stored) count_uses(worker, *result.item);
  return result;
}

bool Cache::put(uint32_t worker, const KeyRef& key, const ItemShape& shape, std::string_view value,
                const StoreRule& rule, Seconds now, StoreResult& result) {
  if (value.size() > kPutBytes) return false;
  if (!shard_of(key.hash).put(key, shape, value, rule, now, result)) return false;
  if (result.status == StoreStatus::Stored) count_uses(worker, *result.item);
  return true;
}

// The puts of a batch, put into groups of one shard each, kStoresAtOnce at most; in a group, and
// from one group of a shard to the next, in the batch's order.
class Cache::Groups {
 public:
  Groups(const Cache& cache, std::span<Put> puts) noexcept {
    static_assert(kBatchKeys <= 64);
    std::array<uint16_t, kBatchKeys> shards;
    for (size_t i = 0; i < puts.size(); ++i) {
      shards[i] = static_cast<uint16_t>(puts[i].key.hash.shard_bits() >> cache.shard_shift_);
    }
    size_t placed = 0;
    for (uint64_t left = ~uint64_t{0} >> (64 - puts.size()); left != 0;) {
      Group& group = groups_[count_++];
      group.begin = placed;
      group.shard = shards[static_cast<size_t>(std::countr_zero(left))];
      for (uint64_t rest = left; rest != 0 && placed - group.begin < kStoresAtOnce;
           rest &= rest - 1) {
        const auto i = static_cast<size_t>(std::countr_zero(rest));
        if (shards[i] != group.shard) continue;
        order_[placed++] = &puts[i];
        left &= ~(uint64_t{1} << i);
      }
      group.end = placed;
    }
  }

  size_t count() const noexcept { return count_; }
  uint16_t shard(size_t group) const noexcept { return groups_[group].shard; }
  // Calls visit(group) for each from `first` on, until it says false; whether it never did. Groups
  // whose shard is_locked(shard) come after the others; those of one shard stay in their order.
  template <class IsLocked, class Visit>
  bool for_each(size_t first, IsLocked is_locked, Visit visit) const {
    uint64_t later = 0;
    for (size_t g = first; g < count_; ++g) {
      if (waits(later, g) || is_locked(shard(g))) {
        later |= uint64_t{1} << g;
      } else if (!visit(g)) {
        return false;
      }
    }
    for (; later != 0; later &= later - 1) {
      if (!visit(static_cast<size_t>(std::countr_zero(later)))) return false;
    }
    return true;
  }
  std::span<Put* const> puts(size_t group) const noexcept {
    const Group& g = groups_[group];
    return {order_.data() + g.begin, g.end - g.begin};
  }

 private:
  struct Group {
    size_t begin;
    size_t end;
    uint16_t shard;
  };
  // Whether one of these groups is of the same shard.
  bool waits(uint64_t later, size_t group) const noexcept {
    for (; later != 0; later &= later - 1) {
      if (shard(static_cast<size_t>(std::countr_zero(later))) == shard(group)) return true;
    }
    return false;
  }
  std::array<Put*, kBatchKeys> order_;
  std::array<Group, kBatchKeys> groups_;
  size_t count_ = 0;
};

bool Cache::put_many(uint32_t worker, std::span<Put> puts, Seconds now) {
  assert(!puts.empty() && puts.size() <= kBatchKeys);
  for (Put& put : puts) {
    put.chunk = 0;
    if (put.value.size() > kPutBytes) return false;
  }
  const Groups groups(*this, puts);
  const auto shard = [&](size_t group) -> Shard& { return *shards_[groups.shard(group)]; };
  const auto is_locked = [&](uint16_t number) { return shards_[number]->is_locked(); };
  // Gives back what was taken and not published, also if memory for the bookkeeping is missing.
  struct Rest {
    const Cache& cache;
    const Groups& groups;
    bool none = false;
    ~Rest() {
      for (size_t g = 0; !none && g < groups.count(); ++g) {
        cache.shards_[groups.shard(g)]->put_back(groups.puts(g));
      }
    }
  } rest{*this, groups};
  // Only when all the others have their memory is the first one stored: in one hold of the lock.
  const auto take = [&](size_t g) { return shard(g).take_for(groups.puts(g), now); };
  if (!groups.for_each(1, is_locked, take) || !shard(0).put(groups.puts(0), now)) return false;
  groups.for_each(1, is_locked, [&](size_t g) {
    shard(g).publish(groups.puts(g), now);
    return true;
  });
  rest.none = true;
  for (const Put& put : puts) {
    if (put.result.status == StoreStatus::Stored) count_uses(worker, *put.result.item);
  }
  return true;
}

StoreResult Cache::concat(uint32_t worker, ItemDraft& draft, const ConcatRule& rule, Seconds now,
                          TurnBreak* turn_break) {
  const StoreResult result = shard_of(draft.hash()).concat(draft, rule, now, turn_break);
  if (result.status == StoreStatus::Stored) count_uses(worker, *result.item);
  return result;
}

RemoveResult Cache::remove(uint32_t, const KeyRef& key, const RemoveRule& rule, Seconds now,
                           TurnBreak* turn_break) {
  return shard_of(key.hash).remove(key, rule, now, turn_break);
}

ArithResult Cache::arith(uint32_t worker, const KeyRef& key, const ArithRule& rule, Seconds now,
                         TurnBreak* turn_break) {
  const ArithResult result = shard_of(key.hash).arith(key, rule, now, turn_break);
  if (result.status == ArithStatus::Done) count_uses(worker, *result.item);
  return result;
}

TouchResult Cache::touch(uint32_t worker, const KeyRef& key, Seconds expiry, Seconds now,
                         bool bump) {
  const TouchResult result = shard_of(key.hash).touch(key, expiry, now, bump);
  if (bump && result.item != nullptr) count_uses(worker, *result.item);
  return result;
}

bool Cache::claim_win(uint32_t, const KeyRef& key, const Item* item) {
  return shard_of(key.hash).claim_win(key, item);
}

void Cache::hold(const Item* item) { shard_of(*item).hold(item); }
void Cache::release(const Item* item) { shard_of(*item).release(item); }

void Cache::flush(Seconds now) {
  for (const auto& shard : shards_) shard->flush(now);
}

void Cache::flush_once(uint32_t number, Seconds now) {
  for (const auto& shard : shards_) shard->flush_once(number, now);
}

void Cache::forgo_flush(uint32_t number) {
  for (const auto& shard : shards_) shard->forgo_flush(number);
}

bool Cache::set_memory_limit(size_t bytes) { return pool_->set_limit(bytes); }
size_t Cache::memory_limit() const noexcept { return pool_->limit_bytes(); }
size_t Cache::max_memory_limit() const noexcept { return pool_->reserve_bytes(); }

void Cache::set_background_expiry(bool on) noexcept {
  background_expiry_.store(on, std::memory_order_relaxed);
}

bool Cache::background_expiry() const noexcept {
  return background_expiry_.load(std::memory_order_relaxed);
}

bool Cache::tend(uint32_t worker, Seconds now, uint32_t budget_us) {
  using Clock = std::chrono::steady_clock;
  const bool expire = background_expiry();
  const size_t own =
      worker < shards_.size() ? (shards_.size() - worker - 1) / config_.workers + 1 : 0;
  Clock::time_point end{};  // of the budget, which begins with the first slice of work
  size_t& next = next_shards_[worker].place;
  // A slice of each in turn, this call's after the last one's: else the first has all of the budget
  // while it has work.
  size_t idle = 0;  // so many in a row had nothing to do
  while (idle < own) {
    Shard& shard = *shards_[worker + next * config_.workers];
    next = next + 1 < own ? next + 1 : 0;
    if (!shard.tend_slice(now, expire)) {
      ++idle;
      continue;
    }
    idle = 0;
    const Clock::time_point time = Clock::now();
    if (end == Clock::time_point{}) end = time + std::chrono::microseconds(budget_us);
    if (time >= end) break;
  }
  bool more = idle < own;
  // 16 pages a call: about 100 microseconds of system calls.
  if (worker == 0) {
    pool_->retry(now);
    more |= pool_->trim(16, now);
  }
  return more;
}

uint32_t Cache::class_count() const noexcept { return sizes_->count(); }

CacheTotals Cache::totals() const {
  CacheTotals totals;
  for (const auto& shard : shards_) shard->add_totals(totals);
  totals.pages_total = pool_->pages_limit();
  totals.pages_free = pool_->pages_left();
  totals.memory_bytes = pool_->limit_bytes();
  totals.overdraft_bytes = pool_->pages_over_limit() * kPageBytes;
  totals.overdraft_peak_bytes = pool_->overdraft_peak_pages() * kPageBytes;
  totals.overdraft_limit_bytes = pool_->overdraft_pages() * kPageBytes;
  return totals;
}

ClassTotals Cache::class_totals(uint32_t size_class, Seconds now) const {
  ClassTotals totals;
  totals.chunk_bytes = sizes_->chunk_bytes(size_class);
  totals.chunks_per_page = sizes_->chunks_per_page(size_class);
  for (const auto& shard : shards_) shard->add_class_totals(size_class, totals, now);
  return totals;
}

void Cache::reset_totals() {
  for (const auto& shard : shards_) shard->reset_totals();
}

void Cache::size_histogram(std::vector<std::pair<uint32_t, uint64_t>>& out) {
  // By steps of 32 bytes. Nearly all values are short, and of long ones there are few.
  constexpr uint32_t kStepBytes = 32;
  constexpr uint32_t kShortSteps = 1_MiB / kStepBytes;
  std::vector<uint64_t> short_ones(kShortSteps);
  std::map<uint32_t, uint64_t> long_ones;
  std::vector<uint32_t> sizes;
  sizes.reserve(Shard::kSizesAtOnce);
  for (const auto& shard : shards_) {
    uint64_t at = 0;
    do {
      sizes.clear();
      at = shard->list_sizes(at, sizes);
      for (const uint32_t bytes : sizes) {
        const uint32_t steps = bytes / kStepBytes + (bytes % kStepBytes != 0 ? 1 : 0);
        ++(steps < kShortSteps ? short_ones[steps] : long_ones[steps]);
      }
    } while (at != 0);
  }
  out.clear();
  for (uint32_t steps = 0; steps < kShortSteps; ++steps) {
    if (short_ones[steps] != 0) out.emplace_back(steps * kStepBytes, short_ones[steps]);
  }
  for (const auto& [steps, items] : long_ones) out.emplace_back(steps * kStepBytes, items);
}

void Cache::visit_class(uint32_t size_class, Seconds now,
                        const std::function<bool(const Item&)>& visit) {
  bool more = true;
  const auto ask = [&](const Item& item) { return more = visit(item); };
  for (size_t i = 0; i < shards_.size() && more; ++i) {
    size_t page = 0;
    do {
      page = shards_[i]->visit_class(size_class, page, now, ask);
    } while (page != 0);
  }
}

bool Cache::walk(WalkPoint& at, Seconds now, std::vector<const Item*>& items) {
  items.clear();
  if (at.shard >= shards_.size()) return false;
  at.position = shards_[at.shard]->walk(at.position, now, items);
  if (at.position == HashTable::kPositions) {
    at.position = 0;
    ++at.shard;
  }
  return at.shard < shards_.size() || !items.empty();
}

EmptyPageStatus Cache::empty_page(uint32_t size_class) {
  EmptyPageStatus status = EmptyPageStatus::NoSpare;
  for (const auto& shard : shards_) {
    const EmptyPageStatus here = shard->empty_page(size_class);
    if (here == EmptyPageStatus::Started) return here;
    if (here == EmptyPageStatus::Busy) status = here;
  }
  return status;
}

uint64_t Cache::draft_bytes() const noexcept {
  return pool_->draft_bytes().load(std::memory_order_relaxed);
}

void Cache::check_invariants() {
  for (const auto& shard : shards_) shard->check_invariants();
}

}  // namespace larder::core
