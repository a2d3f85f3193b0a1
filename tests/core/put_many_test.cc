// Cache::put_many: stores of one client that came together.
#include <catch2/catch.hpp>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "core/cache.h"

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
