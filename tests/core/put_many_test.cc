// Cache::put_many: stores of one client that came together.
#include <catch2/catch.hpp>

#include <array>
#include <functional>
#include <future>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/cache.h"
#include "core/observer.h"

using namespace larder::core;

namespace {

CacheConfig config(uint32_t shards, size_t memory_bytes = 64_MiB) {
  CacheConfig c;
  c.memory_bytes = memory_bytes;
  c.shards = shards;
  c.workers = 1;
  c.huge_pages = false;
  c.hash_seed = 7;
  return c;
}

// Stores and what they are made of; the strings must not move.
struct Stores {
  explicit Stores(size_t count) : keys(count), values(count), puts(count) {}

  void set(const Cache& cache, size_t i, std::string key, std::string value) {
    keys[i] = std::move(key);
    values[i] = std::move(value);
    puts[i] = {};
    puts[i].key = {keys[i], cache.hash(keys[i])};
    puts[i].shape.value_bytes = static_cast<uint32_t>(values[i].size());
    puts[i].value = values[i];
  }

  std::vector<std::string> keys;
  std::vector<std::string> values;
  std::vector<Put> puts;
};

std::string value_of(Cache& cache, const std::string& key, Seconds now = kFirstSecond) {
  const Probe probe{key, cache.hash(key), false};
  Found found;
  cache.lookup(0, {&probe, 1}, {&found, 1}, now);
  return found.item == nullptr ? "(miss)" : std::string(found.item->first_part());
}

class Turn {
 public:
  explicit Turn(Cache& cache) : cache_(cache) { cache_.begin_turn(0); }
  ~Turn() { cache_.end_turn(0); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Cache& cache_;
};

// A put leaves the start of a shard's table to others.
void start(Cache& cache) {
  const Turn turn(cache);
  for (int i = 0; i < 64; ++i) {
    const std::string key = "start-" + std::to_string(i);
    ItemDraft draft;
    REQUIRE(cache.allocate(0, {key, cache.hash(key)}, {}, kFirstSecond, draft) ==
            AllocateStatus::Ok);
    REQUIRE(cache.store(0, std::move(draft), {}, kFirstSecond).status == StoreStatus::Stored);
  }
}

uint64_t used_chunks(const Cache& cache) {
  uint64_t used = 0;
  for (uint32_t c = 0; c < cache.class_count(); ++c) used += cache.class_totals(c).used_chunks;
  return used;
}

class OnEviction final : public Observer {
 public:
  explicit OnEviction(std::function<void()> call) : call_(std::move(call)) { want(kEvictions); }
  void evicted(const Item&, uint32_t, Seconds) noexcept override { call_(); }
  void page_moved(uint32_t) noexcept override {}

 private:
  const std::function<void()> call_;
};

// Has the lock of the first shard, where an item of this class is visited, until `is_enough`.
class FirstShardLocked {
 public:
  FirstShardLocked(Cache& cache, uint32_t size_class, const std::function<bool()>& is_enough)
      : holder_([this, &cache, size_class, is_enough] {
          cache.visit_class(size_class, kFirstSecond, [this, &is_enough](const Item&) {
            visited_.set_value();
            while (!is_enough()) std::this_thread::yield();
            return false;
          });
        }) {
    visited_.get_future().wait();
  }
  ~FirstShardLocked() { holder_.join(); }
  FirstShardLocked(const FirstShardLocked&) = delete;
  FirstShardLocked& operator=(const FirstShardLocked&) = delete;

 private:
  std::promise<void> visited_;
  std::thread holder_;
};

// One of few keys, so that a batch has several of some, with every rule.
Put random_put(std::mt19937& random, const StoreResult& some) {
  Put put;
  put.shape.client_flags = random() % 3 == 0 ? random() : 0;
  put.shape.expiry = random() % 4 == 0 ? kFirstSecond + 1 + random() % 3 : kNever;
  switch (random() % 5) {
    case 0:
      put.rule.policy = StorePolicy::Add;
      break;
    case 1:
      put.rule.policy = StorePolicy::Replace;
      break;
    case 2:
      put.rule.compare_cas = true;
      put.rule.cas = random() % 2 == 0 ? some.cas : 1;
      break;
    default:
      break;
  }
  return put;
}

}  // namespace

TEST_CASE("stores that come together come to what they come to one by one") {
  const uint32_t shards = GENERATE(1u, 4u);
  Cache together(config(shards));
  Cache apart(config(shards));
  for (Cache* cache : {&together, &apart}) start(*cache);
  std::mt19937 random(shards);
  StoreResult some;
  for (int round = 0; round < 2'000; ++round) {
    const Seconds now = kFirstSecond + static_cast<Seconds>(round / 100);
    Stores stores(2 + random() % (kBatchKeys - 1));
    for (size_t i = 0; i < stores.puts.size(); ++i) {
      stores.set(together, i, "key-" + std::to_string(random() % 40),
                 std::string(random() % 300, static_cast<char>('a' + random() % 26)));
      const Put random_one = random_put(random, some);
      stores.puts[i].shape.client_flags = random_one.shape.client_flags;
      stores.puts[i].shape.expiry = random_one.shape.expiry;
      stores.puts[i].rule = random_one.rule;
    }
    const Turn turn(together);
    const Turn other_turn(apart);
    REQUIRE(together.put_many(0, stores.puts, now));
    for (const Put& put : stores.puts) {
      StoreResult result;
      REQUIRE(apart.put(0, put.key, put.shape, put.value, put.rule, now, result));
      REQUIRE(put.result.status == result.status);
      REQUIRE(put.result.cas == result.cas);
      REQUIRE((put.result.old_item == nullptr) == (result.old_item == nullptr));
      if (result.status == StoreStatus::Stored) {
        some = result;
        REQUIRE(put.result.item->key() == put.key.key);
        REQUIRE(put.result.item->first_part() == put.value);
      }
    }
  }
  for (int k = 0; k < 40; ++k) {
    const std::string key = "key-" + std::to_string(k);
    CHECK(value_of(together, key, kFirstSecond + 20) == value_of(apart, key, kFirstSecond + 20));
  }
  together.check_invariants();
}

TEST_CASE("of stores that come together all come about or none") {
  CacheConfig full = config(GENERATE(1u, 4u), 8_MiB);
  full.evict = false;
  Cache cache(full);
  Stores stores(kBatchKeys);
  start(cache);
  uint64_t stored = cache.totals().items;
  for (uint64_t number = 0;; ++number) {
    for (size_t i = 0; i < kBatchKeys; ++i) {
      const std::string key = std::to_string(number) + "-" + std::to_string(i);
      stores.set(cache, i, key, std::string(500 + 20 * i, 'v'));
    }
    const Turn turn(cache);
    if (!cache.put_many(0, stores.puts, kFirstSecond)) break;
    stored += kBatchKeys;
  }
  for (const std::string& key : stores.keys) CHECK(value_of(cache, key) == "(miss)");
  const CacheTotals before = cache.totals();
  CHECK(before.items == stored);
  cache.check_invariants();
  // What the refused ones had taken is free for others: one that is smaller than they all together.
  const Turn turn(cache);
  CHECK_FALSE(cache.put_many(0, stores.puts, kFirstSecond));
  StoreResult result;
  CHECK(cache.put(0, stores.puts[0].key, stores.puts[0].shape, stores.puts[0].value, {},
                  kFirstSecond, result));
  CHECK(cache.totals().items == stored + 1);
}

TEST_CASE("a store that is refused keeps no memory, alone or with others") {
  Cache cache(config(GENERATE(1u, 4u)));
  start(cache);
  Stores stores(kBatchKeys);
  for (size_t i = 0; i < kBatchKeys; ++i) stores.set(cache, i, std::to_string(i), "v");
  const Turn turn(cache);
  REQUIRE(cache.put_many(0, stores.puts, kFirstSecond));
  const uint64_t used = used_chunks(cache);
  for (size_t i = 0; i < kBatchKeys; ++i) {
    StoreRule& rule = stores.puts[i].rule;
    if (i % 2 == 0) rule.policy = StorePolicy::Add;
    if (i % 2 != 0) rule.compare_cas = true;  // and no item has the CAS 0
    StoreResult alone;
    const Put& put = stores.puts[i];
    REQUIRE(cache.put(0, put.key, put.shape, put.value, rule, kFirstSecond, alone));
    REQUIRE(alone.status == (i % 2 == 0 ? StoreStatus::NotStored : StoreStatus::Exists));
  }
  CHECK(used_chunks(cache) == used);
  REQUIRE(cache.put_many(0, stores.puts, kFirstSecond));
  for (const Put& put : stores.puts) REQUIRE(put.result.status != StoreStatus::Stored);
  CHECK(used_chunks(cache) == used);
}

TEST_CASE("whichever of stores that come together finds no memory, none keeps what it had taken") {
  CacheConfig full = config(GENERATE(1u, 4u), 8_MiB);
  full.evict = false;
  Cache cache(full);
  start(cache);
  const std::string small(100, 's');
  uint64_t items = 0;
  const auto put = [&](const std::string& key) {
    const Turn turn(cache);
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(small.size());
    StoreResult result;
    return cache.put(0, {key, cache.hash(key)}, shape, small, {}, kFirstSecond, result);
  };
  while (put("small-" + std::to_string(items))) ++items;
  // Room among the small ones, and no page for a longer one.
  for (uint64_t i = 0; i < items; i += 8) {
    const std::string key = "small-" + std::to_string(i);
    const Turn turn(cache);
    REQUIRE(cache.remove(0, {key, cache.hash(key)}, {}, kFirstSecond).status ==
            RemoveStatus::Removed);
  }
  for (int quiet = 0; quiet < 20;) quiet = cache.tend(0, kFirstSecond, 0) ? 0 : quiet + 1;
  const uint64_t used = used_chunks(cache);
  REQUIRE(used == cache.totals().items);
  for (size_t longer = 0; longer < kBatchKeys; ++longer) {
    Stores stores(kBatchKeys);
    for (size_t i = 0; i < kBatchKeys; ++i) {
      const std::string key = std::to_string(longer) + "-" + std::to_string(i);
      stores.set(cache, i, key, i == longer ? std::string(2'000, 'l') : small);
    }
    const Turn turn(cache);
    REQUIRE_FALSE(cache.put_many(0, stores.puts, kFirstSecond));
    CAPTURE(longer);
    REQUIRE(used_chunks(cache) == used);
  }
  CHECK(cache.totals().items == used);
  cache.check_invariants();
}

TEST_CASE("of two stores of a key that come together the later one stays, whatever lock is held") {
  // Two groups of each shard: a full one of the second, a full one of the first, then the rest of
  // the second and that of the first, which stores a key of the full one again.
  constexpr size_t kFull = Cache::kStoresAtOnce;
  constexpr size_t kThird = 2 * kFull;
  constexpr size_t kLast = kBatchKeys - 1;
  Stores stores(kBatchKeys);
  std::function<void()> on_eviction;
  OnEviction observer([&] {
    if (on_eviction) on_eviction();
  });
  CacheConfig full = config(2, 8_MiB);
  full.workers = 2;
  full.observer = &observer;
  Cache cache(full);
  start(cache);
  uint64_t number = 0;
  const auto fill = [&] {
    for (size_t i = 0; i < kBatchKeys; ++i) {
      const uint32_t shard = i < kFull || (i >= kThird && i < kLast) ? 1 : 0;
      std::string key;
      do {
        key = std::to_string(number++);
      } while (cache.hash(key).shard_bits() >> 7 != shard);
      stores.set(cache, i, key, std::string(1000, 'v'));
    }
    stores.set(cache, kLast, stores.keys[kFull], std::string(1000, 'l'));
  };
  const auto put = [&] {
    const Turn turn(cache);
    return cache.put_many(0, stores.puts, kFirstSecond);
  };
  while (cache.totals().evictions < 10'000) {
    fill();
    REQUIRE(put());
  }
  uint32_t size_class = 0;
  while (cache.class_totals(size_class).items < 1'000) ++size_class;

  // The first shard's lock is taken while the first group is stored, and let go while the third one
  // is: the second one has to wait, and so has the last one, though the lock is free by then.
  const auto third_is_there = [&] {
    const Probe probe{stores.keys[kThird], stores.puts[kThird].key.hash, false};
    Found found;
    cache.begin_turn(1);
    cache.lookup(1, {&probe, 1}, {&found, 1}, kFirstSecond);
    cache.end_turn(1);
    return found.item != nullptr;
  };
  constexpr int kRounds = 2'000;
  int locked_rounds = 0;
  int wrong = 0;
  for (int round = 0; round < kRounds; ++round) {
    fill();
    std::optional<FirstShardLocked> locked;
    on_eviction = [&] {
      if (!locked) locked.emplace(cache, size_class, third_is_there);
    };
    REQUIRE(put());
    on_eviction = nullptr;
    if (locked) ++locked_rounds;
    locked.reset();
    if (value_of(cache, stores.keys[kLast]) != stores.values[kLast]) ++wrong;
    cache.tend(0, kFirstSecond, 50);
  }
  CHECK(wrong == 0);
  CHECK(locked_rounds > kRounds / 2);
}

TEST_CASE("in a full cache stores that come together evict what they need, and no more") {
  Cache cache(config(GENERATE(1u, 4u), 8_MiB));
  Stores stores(kBatchKeys);
  start(cache);
  uint64_t most_items = 0;
  for (uint64_t number = 0; number < 4'000; ++number) {
    for (size_t i = 0; i < kBatchKeys; ++i) {
      stores.set(cache, i, std::to_string(number) + "-" + std::to_string(i), std::string(100, 'v'));
    }
    {
      const Turn turn(cache);
      REQUIRE(cache.put_many(0, stores.puts, kFirstSecond));
    }
    cache.tend(0, kFirstSecond, 50);
    most_items = std::max(most_items, cache.totals().items);
    REQUIRE(cache.totals().overdraft_bytes <= 128_KiB);
  }
  CHECK(cache.totals().evictions > 100'000);
  // A full cache stays full.
  CHECK(cache.totals().items > most_items - most_items / 20);
  cache.check_invariants();
}

#if defined(LARDER_DEBUG)

TEST_CASE("a store that comes with others takes at most an eighth of a lock") {
  const uint32_t shards = GENERATE(1u, 2u, 4u);
  const size_t value_bytes = GENERATE(size_t{10}, size_t{1'000});
  Cache cache(config(shards, 16_MiB));
  start(cache);
  Stores stores(kBatchKeys);
  uint64_t locks = 0;
  uint64_t counted = 0;
  for (uint64_t number = 0; number < 2'000; ++number) {
    for (size_t i = 0; i < kBatchKeys; ++i) {
      stores.set(cache, i, std::to_string(number) + "-" + std::to_string(i),
                 std::string(value_bytes, 'v'));
    }
    {
      const Turn turn(cache);
      const uint64_t before = shared_writes.locks;
      REQUIRE(cache.put_many(0, stores.puts, kFirstSecond));
      locks += shared_writes.locks - before;
      counted += kBatchKeys;
    }
    cache.tend(0, kFirstSecond, 50);
  }
  REQUIRE(counted > 100'000);
  CAPTURE(locks, counted);
  // Of the shards, and of the pool that gives them pages.
  CHECK(locks * 8 <= counted);
}

#endif
