#include "core/cache.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/page_pool.h"
#include "core/turn_break.h"

namespace {

using namespace larder::core;

CacheConfig config(size_t memory_bytes) {
  CacheConfig c;
  c.memory_bytes = memory_bytes;
  c.workers = 1;
  c.huge_pages = false;
  return c;
}

// One worker and short ways to use a cache; every call is a turn of its own.
class Client {
 public:
  explicit Client(const CacheConfig& c) : cache(c) {}

  StoreStatus set(const std::string& key, const std::string& value, Seconds expiry = kNever,
                  StoreRule rule = {}) {
    Turn turn(cache);
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = expiry;
    ItemDraft draft;
    AllocateStatus status = cache.allocate(0, ref(key), shape, now, draft);
    if (status == AllocateStatus::Busy) {
      cache.refresh_turn(0);
      status = cache.allocate(0, ref(key), shape, now, draft);
    }
    if (status == AllocateStatus::TooLarge) return StoreStatus::TooLarge;
    if (status != AllocateStatus::Ok) return StoreStatus::OutOfMemory;
    const std::string_view bytes = value;
    while (!draft.append(bytes.substr(bytes.size() - draft.remaining()))) {
      if (draft.failed()) return StoreStatus::OutOfMemory;
      cache.refresh_turn(0);  // what went for the parts so far may come free
    }
    const StoreResult result = cache.store(0, std::move(draft), rule, now);
    last_cas = result.cas;
    return result.status;
  }
  void remove(const std::string& key) {
    Turn turn(cache);
    cache.remove(0, ref(key), {}, now);
  }
  // For loops: Catch2 takes longer to note a check than the cache to store.
  void must_set(const std::string& key, const std::string& value, Seconds expiry = kNever) {
    if (set(key, value, expiry) != StoreStatus::Stored)
      throw std::runtime_error("not stored: " + key);
  }
  Found look(const std::string& key, bool bump = true) {
    Turn turn(cache);
    const Probe probe{key, cache.hash(key), bump};
    Found found;
    cache.lookup(0, {&probe, 1}, {&found, 1}, now);
    return found;
  }
  bool has(const std::string& key) { return look(key, false).item != nullptr; }
  KeyRef ref(const std::string& key) const { return {key, cache.hash(key)}; }
  void tend() {
    for (int i = 0; i < 5000 && cache.tend(0, now, 1000); ++i) {
    }
  }

  Cache cache;
  Seconds now = kFirstSecond;
  uint64_t last_cas = 0;

 private:
  struct Turn {
    explicit Turn(Cache& c) : cache(c) { cache.begin_turn(0); }
    ~Turn() { cache.end_turn(0); }
    Cache& cache;
  };
};

std::string key_number(uint64_t n) { return "key-" + std::to_string(n); }

}  // namespace

TEST_CASE("an expired item is a miss at once, and its memory comes back unasked") {
  Client c(config(64_MiB));
  REQUIRE(c.set("k", "v", c.now + 5) == StoreStatus::Stored);
  c.now += 4;
  CHECK(c.has("k"));
  c.now += 1;
  CHECK(c.look("k").miss == MissReason::Expired);
  CHECK(c.cache.totals().items == 1);
  c.tend();
  CHECK(c.cache.totals().items == 0);
  CHECK(c.cache.totals().reclaimed == 1);
  CHECK(c.look("k").miss == MissReason::Absent);
}

TEST_CASE("without background expiry what has expired stays until somebody asks for room") {
  Client c(config(64_MiB));
  c.cache.set_background_expiry(false);
  c.must_set("k", "v", c.now + 5);
  c.now += 5;
  c.tend();
  CHECK(c.look("k").miss == MissReason::Expired);
  CHECK(c.cache.totals().items == 1);
  c.cache.set_background_expiry(true);
  c.tend();
  CHECK(c.cache.totals().items == 0);
}

TEST_CASE("what has expired goes before anything live, upkeep or not") {
  Client c(config(64_MiB));
  const std::string value(1000, 'x');
  constexpr uint64_t kItems = 55'000;  // nearly full
  for (uint64_t n = 0; n < kItems; ++n) {
    c.must_set(key_number(n), value, n % 2 == 0 ? c.now + 5 : kNever);
  }
  REQUIRE(c.cache.totals().evictions == 0);
  c.now += 5;
  // As many again as expired, but for the room that a full cache keeps free.
  constexpr uint64_t kNew = kItems / 2 - 300;
  for (uint64_t n = 0; n < kNew; ++n) c.must_set("new-" + std::to_string(n), value);
  CHECK(c.cache.totals().evictions == 0);
  for (uint64_t n = 1; n < kItems; n += 2) REQUIRE(c.has(key_number(n)));
  c.tend();
  CHECK(c.cache.totals().items == kItems / 2 + kNew);
  c.cache.check_invariants();
}

TEST_CASE("flush makes misses of all that was stored, and of nothing stored later") {
  Client c(config(64_MiB));
  for (uint64_t n = 0; n < 5000; ++n) c.must_set(key_number(n), "old");
  c.cache.flush(c.now);
  REQUIRE(c.set("new", "v") == StoreStatus::Stored);
  CHECK(c.look(key_number(7)).miss == MissReason::Flushed);
  CHECK(c.has("new"));
  c.tend();
  CHECK(c.look(key_number(8)).miss == MissReason::Flushed);  // for a while it is known why
  c.now += 2;
  c.tend();
  CHECK(c.cache.totals().items == 1);
  CHECK(c.has("new"));
}

TEST_CASE("what was flushed is freed without background expiry, too") {
  Client c(config(64_MiB));
  c.cache.set_background_expiry(false);
  for (uint64_t n = 0; n < 5000; ++n) c.must_set(key_number(n), "old");
  c.cache.flush(c.now);
  c.must_set("new", "v");
  c.now += 2;
  c.tend();
  CHECK(c.cache.totals().items == 1);
  CHECK(c.look(key_number(7)).miss == MissReason::Absent);
  CHECK(c.has("new"));
}

TEST_CASE("a second flush during the sweep after the first one leaves nothing behind") {
  constexpr int kPositions = 59;
  int positions_with_leftovers = 0;
  for (int slices = 1; slices <= kPositions; ++slices) {
    CacheConfig one_shard = config(64_MiB);
    one_shard.shards = 1;
    Client c(one_shard);
    for (uint64_t n = 0; n < 3000; ++n) c.must_set(key_number(n), "old");
    c.cache.flush(c.now);
    c.now += 2;
    for (int i = 0; i < slices; ++i) c.cache.tend(0, c.now, 0);
    for (uint64_t n = 0; n < 200; ++n) c.must_set("again-" + std::to_string(n), "v");
    c.cache.flush(c.now);
    c.now += 2;
    c.tend();
    bool left = c.cache.totals().items != 0;
    for (uint64_t n = 0; n < 200; ++n) left = left || c.has("again-" + std::to_string(n));
    if (left) ++positions_with_leftovers;
  }
  CHECK(positions_with_leftovers == 0);
}

TEST_CASE("a flush that several workers carry out leaves alone what was stored after the first") {
  Client client(config(64_MiB));
  client.must_set("before", "v");
  client.cache.flush_once(1, client.now);
  CHECK_FALSE(client.has("before"));
  client.must_set("after", "v");
  client.cache.flush_once(1, client.now);  // another worker
  CHECK(client.has("after"));
  client.cache.flush_once(2, client.now);
  CHECK_FALSE(client.has("after"));
}

TEST_CASE("I makes a CAS good that is behind the item's, none that is ahead of it") {
  Client c(config(64_MiB));
  c.must_set("k", "1");
  const uint64_t cas = c.last_cas;
  StoreRule rule;
  rule.compare_cas = true;
  rule.invalidate = true;
  rule.cas = cas + 1;
  CHECK(c.set("k", "2", kNever, rule) == StoreStatus::Exists);
  rule.cas = cas - 1;
  CHECK(c.set("k", "2", kNever, rule) == StoreStatus::Stored);
}

TEST_CASE("a CAS rises with every change and does not repeat after delete and set") {
  Client c(config(64_MiB));
  REQUIRE(c.set("k", "1") == StoreStatus::Stored);
  const uint64_t first = c.last_cas;
  REQUIRE(c.cache.remove(0, c.ref("k"), {}, c.now).status == RemoveStatus::Removed);
  REQUIRE(c.set("k", "1") == StoreStatus::Stored);
  CHECK(c.last_cas > first);
  CHECK(c.set("k", "2", kNever, {.compare_cas = true, .cas = first}) == StoreStatus::Exists);
}

TEST_CASE("the win token goes to one caller") {
  Client c(config(64_MiB));
  REQUIRE(c.set("k", "1") == StoreStatus::Stored);
  const Item* item = c.look("k").item;
  CHECK(c.cache.claim_win(0, c.ref("k"), item));
  CHECK_FALSE(c.cache.claim_win(0, c.ref("k"), item));
  CHECK(c.look("k").item->win_sent());
}

TEST_CASE("the win token of an item that has gone meanwhile goes to one caller, too") {
  Client c(config(64_MiB));
  REQUIRE(c.set("k", "1") == StoreStatus::Stored);
  const Item* item = c.look("k").item;
  REQUIRE(c.cache.remove(0, c.ref("k"), {}, c.now).status == RemoveStatus::Removed);
  CHECK(c.cache.claim_win(0, c.ref("k"), item));
  CHECK_FALSE(c.cache.claim_win(0, c.ref("k"), item));
}

TEST_CASE("what is hit stays when memory runs out, what is not goes") {
  Client c(config(64_MiB));
  const std::string value(1000, 'x');
  for (uint64_t n = 0; n < 200'000; ++n) {
    c.must_set(key_number(n), value);
    (void)c.look(key_number(n % 1000));  // a working set of 1,000 keys
  }
  CHECK(c.cache.totals().evictions > 100'000);
  uint64_t kept = 0;
  for (uint64_t n = 0; n < 1000; ++n) kept += c.has(key_number(n));
  CHECK(kept > 950);
  c.cache.check_invariants();
}

TEST_CASE("without eviction a full cache refuses, and takes again what is deleted") {
  CacheConfig no_eviction = config(8_MiB);
  no_eviction.evict = false;
  Client c(no_eviction);
  const std::string value(1000, 'x');
  uint64_t n = 0;
  while (c.set(key_number(n), value) == StoreStatus::Stored) ++n;
  CHECK(n > 5000);
  CHECK(c.cache.totals().evictions == 0);
  REQUIRE(c.cache.remove(0, c.ref(key_number(3)), {}, c.now).status == RemoveStatus::Removed);
  CHECK(c.set("again", value) == StoreStatus::Stored);
  for (uint64_t i = 0; i < n; ++i) REQUIRE(c.has(key_number(i)) == (i != 3));
}

TEST_CASE("memory flows to the size that is asked for, and no set fails on the way",
          "[turnovers]") {
  Client c(config(64_MiB));
  const auto fill = [&](size_t bytes, uint64_t count, const std::string& prefix) {
    const std::string value(bytes, 'x');
    for (uint64_t n = 0; n < count; ++n) {
      c.must_set(prefix + std::to_string(n), value);
      if (n % 64 == 0) c.cache.tend(0, c.now, 100);
      if (n % 3000 == 0) ++c.now;
    }
  };
  fill(100, 600'000, "small-");
  fill(10'000, 30'000, "big-");
  uint64_t big = 0;
  for (uint64_t n = 0; n < 30'000; ++n) big += c.has("big-" + std::to_string(n));
  // 64 MiB of 10,000-byte values are 6,700.
  CHECK(big > 5'000);
  CHECK(c.cache.totals().pages_moved > 0);
  fill(100, 800'000, "small-");
  uint64_t small = 0;
  for (uint64_t n = 0; n < 800'000; ++n) small += c.has("small-" + std::to_string(n));
  CHECK(small > 350'000);
  c.cache.check_invariants();
}

TEST_CASE("who stores one item in a full cache sees another leave") {
  Client c(config(32_MiB));
  const size_t bytes = GENERATE(as<size_t>{}, 100, 1000, 3000, 11'000, 50'000);
  const std::string value(bytes, 'x');
  uint64_t n = 0;
  for (; n < 40_MiB / bytes; ++n) c.must_set(key_number(n), value);
  constexpr uint64_t kTimes = 1000;
  uint64_t left = 0;
  for (uint64_t burst = 0; burst < kTimes; ++burst) {
    for (uint64_t i = 0; i < burst % 40; ++i) c.must_set(key_number(++n), value);
    c.tend();
    const uint64_t before = c.cache.totals().evictions;
    c.must_set(key_number(++n), value);
    for (int pass = 0; pass < 20; ++pass) c.cache.tend(0, c.now, 0);  // or soon after
    left += c.cache.totals().evictions > before;
  }
  INFO("values of " << bytes << " bytes: " << left << " of " << kTimes);
  CHECK(left >= kTimes * 99 / 100);  // a page that has just become empty may come first
  c.cache.check_invariants();
}

TEST_CASE("free parts of large values, whose pages cannot be emptied, keep few stores waiting") {
  CacheConfig settings = config(16_MiB);
  settings.shards = 1;
  settings.hash_seed = 1;
  Client c(settings);
  // Popular keys of sizes that take turns. Values of the last size have a part of a quarter page.
  constexpr std::array<size_t, 4> kBytes = {100, 1'000, 3'700, 8'200};
  constexpr uint64_t kTurn = 50'000;
  constexpr uint64_t kRequests = 310'000;
  std::mt19937_64 random(42);
  std::vector<double> sums;
  for (double sum = 0; sums.size() < 20'000; sums.push_back(sum)) {
    sum += 1.0 / static_cast<double>(sums.size() + 1);
  }
  uint64_t refused = 0;
  for (uint64_t i = 0; i < kRequests; ++i) {
    const size_t turn = i / kTurn % kBytes.size();
    const double at = static_cast<double>(random() >> 11) * 0x1p-53 * sums.back();
    const auto rank = std::lower_bound(sums.begin(), sums.end(), at) - sums.begin();
    const std::string key = key_number(turn * 1'000'000 + static_cast<uint64_t>(rank));
    if (c.look(key).item == nullptr) {
      refused += c.set(key, std::string(kBytes[turn], 'x')) != StoreStatus::Stored;
    }
    if (i % 64 == 0) c.cache.tend(0, c.now, 0);
  }
  CHECK(refused < 1'000);
  c.cache.check_invariants();
}

TEST_CASE("a large value among small ones always finds room") {
  Client c(config(64_MiB));
  const std::string small(100, 'x');
  for (uint64_t n = 0; n < 600'000; ++n) {
    c.must_set(key_number(n), small);
  }
  const std::string large(1'000'000, 'y');
  for (int i = 0; i < 20; ++i) {
    c.must_set("large-" + std::to_string(i), large);
    for (uint64_t n = 0; n < 1000; ++n) {
      c.must_set(key_number(n + 1000u * static_cast<uint64_t>(i)), small);
    }
    c.tend();
  }
  const Item* item = c.look("large-19").item;
  REQUIRE(item != nullptr);
  std::vector<std::string_view> parts;
  c.cache.value_parts(*item, parts);
  std::string whole;
  for (const auto part : parts) whole += part;
  CHECK((whole == large));
  c.cache.check_invariants();
}

TEST_CASE("an item alone in its size class stays while a 20th of the memory is stored in another") {
  Client c(config(16_MiB));
  const std::string common(1000, 'x');
  uint64_t stored = 0;
  const auto fill = [&](uint64_t sets) {
    for (uint64_t i = 0; i < sets; ++i) {
      c.must_set(key_number(stored++), common);
      if (stored % 64 == 0) c.cache.tend(0, c.now, 0);
    }
  };
  const std::vector<size_t> sizes = {1, 30, 60, 100, 150, 300, 2000};
  const auto store_one_of_each = [&] {
    for (const size_t bytes : sizes) {
      c.must_set("alone" + std::to_string(bytes), std::string(bytes, 'y'));
    }
  };
  SECTION("stored right before the first eviction") {
    while (c.cache.totals().pages_free > 4 * sizes.size()) fill(1);
    store_one_of_each();
    while (c.cache.totals().evictions == 0) fill(1);
  }
  SECTION("stored later") {
    fill(50'000);
    store_one_of_each();
  }
  SECTION("stored while a larger limit leaves pages free") {
    fill(50'000);
    REQUIRE(c.cache.set_memory_limit(20_MiB));
    store_one_of_each();
    const uint64_t before = c.cache.totals().evictions;
    while (c.cache.totals().evictions == before) fill(1);
  }
  fill(16'000'000 / 20 / 1000);
  for (const size_t bytes : sizes) {
    INFO(bytes << " bytes");
    CHECK(c.has("alone" + std::to_string(bytes)));
  }
}

TEST_CASE("what is stored right before the first eviction stays, in new chunks and in used ones",
          "[turnovers]") {
  const std::string common(1000, 'x');
  uint64_t until_first = 0;
  {
    Client c(config(16_MiB));
    while (c.cache.totals().evictions == 0) c.must_set(key_number(until_first++), common);
  }
  SECTION("the page of a size that is just full") {
    const size_t bytes = GENERATE(50, 300, 3000, 4900, 7500);
    CAPTURE(bytes);
    Client c(config(16_MiB));
    const uint64_t page_full = kPageBytes / (bytes + 60);
    for (uint64_t i = 0; i + 100 < until_first; ++i) c.must_set(key_number(i), common);
    for (uint64_t i = 0; i < page_full; ++i) {
      c.must_set("last" + std::to_string(i), std::string(bytes, 'y'));
    }
    for (uint64_t i = 0; i < 200; ++i) c.must_set("more" + std::to_string(i), common);
    CHECK(c.cache.totals().evictions > 0);
    uint64_t there = 0;
    for (uint64_t i = 0; i < page_full; ++i) there += c.has("last" + std::to_string(i)) ? 1 : 0;
    CHECK(there == page_full);
  }
  SECTION("chunks of the oldest, which were deleted") {
    Client c(config(16_MiB));
    for (uint64_t i = 0; i + 100 < until_first; ++i) c.must_set(key_number(i), common);
    for (uint64_t i = 0; i < 1000; i += 2) c.remove(key_number(i));
    for (uint64_t i = 0; i < 500; ++i) c.must_set("last" + std::to_string(i), common);
    for (uint64_t i = 0; i < 600; ++i) c.must_set("more" + std::to_string(i), common);
    CHECK(c.cache.totals().evictions > 300);
    uint64_t there = 0;
    for (uint64_t i = 0; i < 500; ++i) there += c.has("last" + std::to_string(i)) ? 1 : 0;
    CHECK(there == 500);
  }
}

TEST_CASE("a large value stays while a tenth of the memory is stored in small ones",
          "[turnovers]") {
  CacheConfig one_shard = config(64_MiB);
  one_shard.item_size_max = 2_MiB;
  Client c(one_shard);
  const std::string small(100, 'x');
  uint64_t stored = 0;
  const auto fill = [&](uint64_t sets) {
    for (uint64_t i = 0; i < sets; ++i) {
      c.must_set(key_number(stored++), small);
      if (stored % 64 == 0) c.cache.tend(0, c.now, 0);  // one slice, however slow the machine is
    }
  };
  constexpr uint64_t kLeastSets = 40'000;
  constexpr uint64_t kStep = 500;
  const auto sets_until_gone = [&](const std::string& key) {
    uint64_t sets = 0;
    for (; sets < 10 * kLeastSets && c.has(key); sets += kStep) fill(kStep);
    return sets;
  };
  SECTION("from the first eviction on") {
    fill(470'000);
    REQUIRE(c.cache.totals().evictions == 0);
    c.must_set("large", std::string(1'000'000, 'y'));
    while (c.cache.totals().evictions == 0) fill(kStep);
    CHECK(sets_until_gone("large") >= kLeastSets);
  }
  SECTION("of any size, also right after another has gone") {
    fill(1'000'000);
    for (const size_t bytes : {12'000, 100'000, 300'000, 1'000'000, 1'500'000}) {
      for (int trial = 0; trial < 2; ++trial) {
        INFO(bytes << " bytes, trial " << trial);
        c.must_set("large", std::string(bytes, 'y'));
        CHECK(sets_until_gone("large") >= kLeastSets);
      }
    }
  }
  SECTION("beside one of its size that is older") {
    fill(1'000'000);
    for (const size_t bytes : {12'000, 100'000, 1'000'000}) {
      INFO(bytes << " bytes");
      c.must_set("old", std::string(bytes, 'y'));
      fill(30'000);
      c.must_set("large", std::string(bytes, 'y'));
      CHECK(sets_until_gone("large") >= kLeastSets);
    }
  }
}

TEST_CASE(
    "a large value stays beside items that are asked for all the time, from the first eviction") {
  Client c(config(64_MiB));
  std::minstd_rand random(1);
  const std::string small(100, 'x');
  uint64_t stored = 0;
  const auto set_and_ask = [&](int sets) {
    for (int i = 0; i < sets; ++i) c.must_set(key_number(stored++), small);
    for (int i = 0; i < 2; ++i) c.look(key_number(random() % stored));
    if (stored % 256 == 0) c.cache.tend(0, c.now, 0);
  };
  while (c.cache.totals().evictions == 0) set_and_ask(4);
  const std::string keys[] = {"12 kB", "100 kB", "1 MB"};
  c.must_set(keys[0], std::string(12'000, 'y'));
  c.must_set(keys[1], std::string(100'000, 'y'));
  c.must_set(keys[2], std::string(1'000'000, 'y'));
  for (uint64_t sets = 0; sets < 40'000; ++sets) set_and_ask(1);
  for (const std::string& key : keys) CHECK(c.has(key));
}

// Hands pass over nearly all that they meet then, and more than once in a tenth of a turnover.
TEST_CASE("beside a hot set that fills the memory new items stay, then and when it has cooled") {
  constexpr size_t kMemory = 4_MiB;
  Client c(config(kMemory));
  const auto value = [](uint64_t n) { return std::string(50 + n * 7919 % 450, 'x'); };
  const auto hot = [](uint64_t n) { return "hot" + std::to_string(n); };
  uint64_t stored = 0;
  uint64_t sets = 0;
  const auto set = [&](const std::string& key, uint64_t n) {
    c.must_set(key, value(n));
    stored += value(n).size() + 36;
    if (++sets % 4096 == 0) c.cache.tend(0, c.now, 1000);
  };
  uint64_t hot_keys = 0;
  while (stored < kMemory / 100 * 88) {
    set(hot(hot_keys), hot_keys);
    ++hot_keys;
  }
  std::minstd_rand random(1);
  uint64_t cold = 0;
  stored = 0;
  while (stored < 6 * kMemory) {
    set(key_number(cold), cold);
    REQUIRE(c.has(key_number(cold++)));
    for (int i = 0; i < 60; ++i) {
      const uint64_t n = random() % hot_keys;
      if (c.look(hot(n)).item == nullptr) set(hot(n), n);
    }
  }
  c.cache.check_invariants();  // no level has run away
  const uint64_t first = cold;
  for (stored = 0; stored < 3 * kMemory; ++cold) {
    set(key_number(cold), cold);
    if (cold % 200 != 0) continue;
    for (const size_t bytes : {3, 3'000, 100'000}) {
      c.must_set(std::to_string(bytes) + key_number(cold), std::string(bytes, 'x'));
      stored += bytes;
    }
  }
  const uint64_t newest = (cold - first) / 6;  // half of the memory
  uint64_t there = 0;
  for (uint64_t n = cold - newest; n < cold; ++n) there += c.has(key_number(n)) ? 1 : 0;
  CHECK(there > newest / 10 * 9);
}

namespace {

// One shard, in which small items fill the memory.
struct FullOfSmallItems {
  FullOfSmallItems() {
    while (client.cache.totals().evictions < 1'000) store(100);
    turnover = client.cache.totals().items;
  }
  void store(uint64_t times) {
    for (uint64_t i = 0; i < times; ++i) {
      client.must_set(key_number(stored++), small);
      if (stored % 16 == 0) client.cache.tend(0, client.now, 0);
    }
  }

  Client client{[] {
    CacheConfig settings = config(16_MiB);
    settings.shards = 1;
    settings.hash_seed = 1;
    return settings;
  }()};
  const std::string small = std::string(1'000, 'x');
  uint64_t stored = 0;
  uint64_t turnover = 0;  // so many fit
};

}  // namespace

TEST_CASE("a value that is stored again and again keeps no cold one of its size") {
  const bool deletes = GENERATE(false, true);
  const bool changes_size = GENERATE(false, true);
  CAPTURE(deletes, changes_size);
  FullOfSmallItems full;
  Client& c = full.client;
  const std::string large(250'000, 'y');
  const std::string larger(310'000, 'z');
  constexpr int kCold = 7;
  for (int i = 0; i < kCold; ++i) {
    c.must_set("cold-" + std::to_string(i), large);
    if (changes_size) c.must_set("larger-" + std::to_string(i), larger);
  }
  for (int i = 0; i < 1'000; ++i) {
    full.store(full.turnover / 125);
    // It was stored so little of the memory ago.
    REQUIRE((i == 0 || c.has("hot")));
    if (deletes) c.remove("hot");
    c.must_set("hot", changes_size && i % 2 != 0 ? larger : large);
  }
  int there = 0;
  for (int i = 0; i < kCold; ++i) {
    there += c.has("cold-" + std::to_string(i)) ? 1 : 0;
    there += c.has("larger-" + std::to_string(i)) ? 1 : 0;
  }
  CHECK(there == 0);
  c.cache.check_invariants();
}

TEST_CASE("beside a key that is stored again and again a new large value stays for a while") {
  const bool deletes = GENERATE(false, true);
  CAPTURE(deletes);
  FullOfSmallItems full;
  Client& c = full.client;
  const std::string large(250'000, 'y');
  full.store(full.turnover);
  std::mt19937 random(7);
  int gone = 0;
  for (int i = 0; i < 400; ++i) {
    c.remove("new");  // so that the hand stands at the other
    c.must_set("new", large);
    // A 16th of the memory at most.
    for (uint32_t parts = 1 + random() % 15; parts > 0; --parts) {
      if (deletes) c.remove("hot");
      c.must_set("hot", large);
      full.store(full.turnover / 250);
    }
    gone += c.has("new") ? 0 : 1;
  }
  CHECK(gone == 0);
  c.cache.check_invariants();
}

TEST_CASE("large values that are stored anew together stay for a while") {
  const int count = GENERATE(8, 30);
  CAPTURE(count);
  FullOfSmallItems full;
  Client& c = full.client;
  const std::string large(20'000, 'y');
  full.store(full.turnover);
  int gone = 0;
  for (int burst = 0; burst < 60; ++burst) {
    for (int k = 0; k < count; ++k) c.must_set("hot" + std::to_string(k), large);
    full.store(full.turnover / 20);
    for (int k = 0; k < count; ++k) gone += c.has("hot" + std::to_string(k)) ? 0 : 1;
  }
  CHECK(gone <= 60 * count / 100);  // some of the first ones, which are new
  c.cache.check_invariants();
}

TEST_CASE("a large value that is asked for often enough is missed at most once in ten",
          "[turnovers]") {
  Client c(config(64_MiB));
  const std::string small(100, 'x');
  const std::string large(1'000'000, 'y');
  uint64_t stored = 0;
  const auto fill = [&](uint64_t sets) {
    for (uint64_t i = 0; i < sets; ++i) {
      c.must_set(key_number(stored++), small);
      if (stored % 64 == 0) c.cache.tend(0, c.now, 0);  // one slice, however slow the machine is
    }
  };
  fill(480'000);
  c.must_set("large", large);
  int misses = 0;
  for (int asked = 1; asked <= 50; ++asked) {
    fill(10'000);
    if (c.look("large").item == nullptr) {
      ++misses;
      c.must_set("large", large);
    }
    if (asked % 10 == 0) {
      INFO("the ten up to " << asked);
      CHECK(misses <= 1);
      misses = 0;
    }
  }
}

TEST_CASE("touch finds what was just stored, of any size, and copies no large value") {
  CacheConfig large_items = config(64_MiB);
  large_items.item_size_max = 32_MiB;
  Client c(large_items);
  for (uint64_t n = 0; n < 600'000; ++n) c.must_set(key_number(n), std::string(100, 'x'));
  for (const size_t bytes : {100, 8'000, 20'000, 1'000'000, 6'000'000, 30'000'000}) {
    INFO(bytes << " bytes");
    c.must_set("k", std::string(bytes, 'y'));
    const Item* stored = c.look("k").item;
    REQUIRE(stored != nullptr);
    c.cache.begin_turn(0);
    const TouchResult touched = c.cache.touch(0, c.ref("k"), c.now + 100, c.now);
    CHECK(touched.miss == MissReason::None);
    REQUIRE(touched.item != nullptr);
    CHECK(touched.item->expiry() == c.now + 100);
    if (bytes > 8'192) CHECK(touched.item == stored);
    c.cache.end_turn(0);
    CHECK(c.look("k").item == touched.item);
  }
}

TEST_CASE("upkeep does not empty the cache while a reader is held up") {
  CacheConfig two = config(64_MiB);
  two.workers = 2;
  Client c(two);
  // Many sizes, so that no class has a page to spare.
  const auto value = [](uint64_t n) { return std::string(20 + n * 37 % 2000, 'x'); };
  uint64_t n = 0;
  for (; n < 100'000; ++n) c.must_set(key_number(n), value(n));
  c.tend();
  const uint64_t before = c.cache.totals().items;
  const uint64_t stores = GENERATE(as<uint64_t>{}, 200, 400, 800);
  c.cache.begin_turn(1);
  // Stores go on until they have to wait for memory, or for as long as they like.
  for (uint64_t i = 0; i < stores && c.set(key_number(n), value(n)) == StoreStatus::Stored; ++i)
    ++n;
  for (int i = 0; i < 2000; ++i) c.cache.tend(0, c.now, 0);
  CHECK(c.cache.totals().items > before * 9 / 10);
  c.cache.end_turn(1);
  c.tend();
  c.must_set("k", value(7));
  c.cache.check_invariants();
}

TEST_CASE("metadata is at most 28 bytes an item at any count", "[turnovers]") {
  Client c(config(256_MiB));
  const std::string value(100, 'x');
  for (uint64_t n = 0; n < 1'000'000; ++n) {
    char key[32];
    snprintf(key, sizeof key, "%024llu", static_cast<unsigned long long>(n));
    c.must_set(key, value);
    if (n % 64 == 0) c.cache.tend(0, c.now, 100);
    if (n >= 300'000 && n % 10'000 == 0) {
      const CacheTotals t = c.cache.totals();
      // Pages in use, their side table included, per item of 24 + 100 bytes.
      const double used =
          static_cast<double>((t.pages_total - t.pages_free) * PagePool::kBytesPerPage);
      REQUIRE(used / static_cast<double>(t.items) - 124 <= 28);
    }
  }
}

TEST_CASE("a held item outlives its replacement") {
  Client c(config(64_MiB));
  const std::string value(500'000, 'a');
  REQUIRE(c.set("k", value) == StoreStatus::Stored);
  const Item* item = c.look("k").item;
  c.cache.hold(item);
  c.cache.hold(item);
  REQUIRE(c.set("k", std::string(500'000, 'b')) == StoreStatus::Stored);
  for (uint64_t n = 0; n < 200; ++n) {
    c.must_set(key_number(n), std::string(500'000, 'c'));
    c.tend();
  }
  CHECK(c.cache.totals().held_items == 1);
  std::vector<std::string_view> parts;
  c.cache.value_parts(*item, parts);
  std::string whole;
  for (const auto part : parts) whole += part;
  CHECK((whole == value));
  c.cache.release(item);
  c.cache.release(item);
  CHECK(c.cache.totals().held_items == 0);
  c.cache.check_invariants();
}

TEST_CASE("a large value that is replaced while it is held leaves the retired bytes as they were") {
  CacheConfig one_shard = config(64_MiB);
  one_shard.shards = 1;
  Client c(one_shard);
  const std::string value(300'000, 'x');
  std::vector<const Item*> held;
  for (int i = 0; i < 20; ++i) {
    c.must_set("k", value);
    held.push_back(c.look("k").item);
    c.cache.hold(held.back());
    c.tend();
    c.cache.check_invariants();
  }
  c.must_set("k", "v");
  c.tend();
  c.cache.check_invariants();
  for (const Item* item : held) c.cache.release(item);
  c.tend();
  c.cache.check_invariants();
  CHECK(c.cache.totals().held_items == 0);
  // The table's segments, and the page of "k".
  CHECK(c.cache.totals().pages_free + 4 >= c.cache.totals().pages_total);
}

TEST_CASE("held values keep no pages from other sizes, and upkeep ends") {
  CacheConfig settings = config(16_MiB);
  settings.shards = 1;
  Client c(settings);
  const bool deleted = GENERATE(false, true);
  const std::string large(100'000, 'x');
  const auto large_key = [](int i) { return "large-" + std::to_string(i); };
  c.must_set("large", large);
  const uint32_t head_bytes = c.cache.chunk_bytes_of(*c.look("large").item);
  const std::string neighbour(head_bytes - 30, 'n');
  // Each head in another page, among values of the size of its chunk.
  constexpr int kHeld = 12;
  std::vector<const Item*> held;
  uint64_t n = 0;
  for (int i = 0; i < kHeld; ++i) {
    c.must_set(large_key(i), large);
    held.push_back(c.look(large_key(i)).item);
    c.cache.hold(held.back());
    for (size_t k = 0; k < kPageBytes / head_bytes; ++k) c.must_set(key_number(n++), neighbour);
  }
  while (c.cache.totals().evictions < 100) {
    c.must_set(key_number(n++), neighbour);
    for (int i = 0; i < kHeld && n % 100 == 0; ++i) c.look(large_key(i));
  }
  for (int i = 0; i < kHeld && deleted; ++i) c.remove(large_key(i));
  c.tend();
  for (uint64_t i = 0; i < n; ++i) {
    if (i % 3 != 0) c.remove(key_number(i));
  }
  const std::string other(300, 'o');
  uint64_t refused = 0;
  for (uint64_t i = 0; i < 60'000; ++i) {
    refused += c.set("other-" + key_number(i), other) != StoreStatus::Stored;
    for (int slice = 0; i % 64 == 0 && slice < 20 && c.cache.tend(0, c.now, 0); ++slice) {
    }
  }
  CHECK(refused == 0);
  int slices = 0;
  while (slices < 50'000 && c.cache.tend(0, c.now, 0)) ++slices;
  CHECK(slices < 50'000);
  c.cache.check_invariants();
  for (const Item* item : held) c.cache.release(item);
  c.tend();
  CHECK(c.cache.totals().held_items == 0);
  c.cache.check_invariants();
}

TEST_CASE("a smaller limit gives memory back, a larger one is used") {
  Client c(config(64_MiB));
  const std::string value(1000, 'x');
  for (uint64_t n = 0; n < 60'000; ++n) c.must_set(key_number(n), value);
  REQUIRE(c.cache.set_memory_limit(16_MiB));
  for (int i = 0; i < 20000; ++i) c.cache.tend(0, c.now, 1000);
  const CacheTotals small = c.cache.totals();
  CHECK(small.item_bytes < 16_MiB);
  CHECK(small.item_bytes > 8_MiB);
  REQUIRE(c.cache.set_memory_limit(128_MiB));
  for (uint64_t n = 0; n < 100'000; ++n) c.must_set(key_number(n), value);
  CHECK(c.cache.totals().item_bytes > 90_MiB);
  c.cache.check_invariants();
}

TEST_CASE("a smaller limit takes as much of each shard, though only upkeep runs") {
  CacheConfig four_shards = config(16_MiB);
  four_shards.shards = 4;
  Client c(four_shards);
  const std::string value(400, 'x');
  uint64_t last = 0;
  while (c.cache.totals().evictions < 20'000) c.must_set(key_number(last++), value);
  const uint64_t items = c.cache.totals().items;
  REQUIRE(c.cache.set_memory_limit(12_MiB));
  while (c.cache.tend(0, c.now, 100)) {
  }
  CHECK(c.cache.totals().overdraft_bytes == 0);
  uint64_t there = 0;
  for (uint64_t n = last - items / 2; n < last; ++n) there += c.has(key_number(n)) ? 1 : 0;
  CHECK(there == items / 2);
  c.cache.check_invariants();
}

namespace {

// The next key of the first shard, or of the others.
std::string key_of_shard(const Client& c, bool first, uint64_t& next) {
  for (;;) {
    std::string key = key_number(next++);
    if ((c.cache.hash(key).shard_bits() < 256 / c.cache.shard_count()) == first) return key;
  }
}

}  // namespace

TEST_CASE("a shard with few items keeps them beside shards that fill the memory") {
  CacheConfig four_shards = config(64_MiB);
  four_shards.shards = 4;
  four_shards.hash_seed = 12345;
  Client c(four_shards);
  uint64_t next = 0;
  const std::string value(400, 'x');
  while (c.cache.totals().evictions < 20'000) {
    c.must_set(key_of_shard(c, false, next), value);
    if (next % 64 == 0) c.cache.tend(0, c.now, 0);
  }
  std::vector<std::string> few(500);
  for (size_t i = 0; i < few.size(); ++i) {
    few[i] = key_of_shard(c, true, next);
    c.must_set(few[i], std::string(i % 50 * 40, 'x'));
  }
  const auto there = [&] {
    return std::count_if(few.begin(), few.end(), [&](const std::string& k) { return c.has(k); });
  };
  CHECK(there() == 500);
  c.tend();
  for (int i = 0; i < 20'000; ++i) {
    c.must_set(key_of_shard(c, false, next), value);
    if (i % 64 == 0) c.cache.tend(0, c.now, 0);
  }
  c.tend();
  CHECK(there() == 500);
  CHECK(c.cache.totals().overdraft_bytes == 0);
  // However often they are stored, whatever the limit falls to.
  for (size_t i = 0; i < 20'000; ++i) {
    c.must_set(few[i % few.size()], std::string(i % 50 * 40, 'x'));
    if (i % 16 == 0) c.cache.tend(0, c.now, 0);
  }
  for (const size_t limit : {62'000u, 59'500u, 40'000u}) {
    REQUIRE(c.cache.set_memory_limit(limit * 1024));
    c.tend();
    CHECK(there() == 500);
    CHECK(c.cache.totals().overdraft_bytes == 0);
  }
  c.cache.check_invariants();
}

TEST_CASE(
    "a shard with few items of many sizes is not emptied beside shards that fill the memory") {
  CacheConfig eight_shards = config(16_MiB);
  eight_shards.shards = 8;
  eight_shards.hash_seed = 1;
  Client c(eight_shards);
  uint64_t next = 0;
  std::mt19937 random(3);
  const auto fill = [&](int sets) {
    for (int i = 0; i < sets; ++i) {
      c.must_set(key_of_shard(c, false, next), std::string(300 + random() % 400, 'x'));
      if (i % 16 == 0) c.cache.tend(0, c.now, 0);
    }
  };
  fill(32'000);
  std::vector<std::string> few(50);
  for (std::string& key : few) key = key_of_shard(c, true, next);
  int fewest = 50;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 20; ++i) {
      for (int k = 0; k < 13; ++k) {
        c.must_set(few[random() % few.size()], std::string(random() % 40 * 30, 'x'));
      }
      fill(320);
    }
    int there = 0;
    for (const std::string& key : few) there += c.has(key) ? 1 : 0;
    fewest = std::min(fewest, there);
  }
  CHECK(fewest > 0);
  c.cache.check_invariants();
}

TEST_CASE("a smaller limit is served where large values have most of the pages") {
  CacheConfig settings = config(128_MiB);
  settings.shards = 4;
  settings.hash_seed = 12345;
  Client c(settings);
  const std::string value(1'000'000, 'x');
  for (uint64_t n = 0; c.cache.totals().evictions < 50; ++n) {
    c.must_set(key_number(n), value);
    c.cache.tend(0, c.now, 0);
  }
  c.tend();
  REQUIRE(c.cache.totals().items > 120);
  for (const size_t limit : {112_MiB, 48_MiB}) {
    REQUIRE(c.cache.set_memory_limit(limit));
    c.tend();
    CHECK(c.cache.totals().overdraft_bytes == 0);
    CHECK(c.cache.totals().item_bytes > limit * 3 / 4);
  }
  c.cache.check_invariants();
}

TEST_CASE("upkeep ends where drafts and deleted values that are held exceed a smaller limit") {
  CacheConfig settings = config(64_MiB);
  settings.shards = 1;
  Client c(settings);
  const bool half_sent = GENERATE(true, false);
  const std::string value(100'000, 'x');
  std::vector<ItemDraft> drafts;
  std::vector<const Item*> held;
  for (uint64_t n = 0; n < 100; ++n) {
    if (half_sent) {
      ItemShape shape;
      shape.value_bytes = static_cast<uint32_t>(value.size());
      ItemDraft draft;
      c.cache.begin_turn(0);
      REQUIRE(c.cache.allocate(0, c.ref("large"), shape, c.now, draft) == AllocateStatus::Ok);
      REQUIRE(draft.append(std::string_view(value).substr(0, 90'000)));
      c.cache.end_turn(0);
      drafts.push_back(std::move(draft));
    } else {
      c.must_set(key_number(n), value);
      held.push_back(c.look(key_number(n)).item);
      c.cache.hold(held.back());
      c.remove(key_number(n));
    }
  }
  for (uint64_t n = 0; n < 20'000; ++n) c.must_set(key_number(n), "v");
  c.tend();
  REQUIRE(c.cache.set_memory_limit(8_MiB));
  int slices = 0;
  while (slices < 50'000 && c.cache.tend(0, c.now, 0)) ++slices;
  CHECK(slices < 50'000);
  CHECK(c.cache.totals().overdraft_bytes > 0);
  drafts.clear();
  for (const Item* item : held) c.cache.release(item);
  c.tend();
  CHECK(c.cache.totals().overdraft_bytes == 0);
  c.must_set("k", "v");
  c.cache.check_invariants();
}

TEST_CASE("a smaller limit than the table takes leaves a cache that stores", "[turnovers]") {
  CacheConfig settings = config(40_MiB);
  settings.shards = 1;
  Client c(settings);
  uint64_t n = 0;
  while (c.cache.totals().evictions < 1'000) c.must_set(key_number(n++), "v");
  c.tend();
  // The pool lends 4 MiB beyond any limit.
  REQUIRE(c.cache.totals().table_bytes > 9_MiB);
  REQUIRE(c.cache.set_memory_limit(4_MiB));
  c.tend();
  CHECK(c.cache.totals().overdraft_bytes == 0);
  CHECK(c.cache.totals().items > 60'000);
  for (int i = 0; i < 1'000; ++i) c.must_set(key_number(n++), "v");
  c.cache.check_invariants();
}

TEST_CASE("nothing is evicted for what the table gives back under a smaller limit") {
  CacheConfig settings = config(24_MiB);
  settings.shards = 1;
  settings.hash_seed = 1;
  Client c(settings);
  uint64_t n = 0;
  while (c.cache.totals().evictions < 1'000) c.must_set(key_number(n++), "v");
  c.tend();
  REQUIRE(c.cache.set_memory_limit(12_MiB));
  c.tend();
  const CacheTotals after = c.cache.totals();
  CHECK(after.overdraft_bytes == 0);
  // The table shrinks by a quarter at least.
  CHECK(after.pages_free * kPageBytes < 1_MiB);
  c.cache.check_invariants();
}

TEST_CASE("under a much smaller limit as many items stay as a cache of that size holds",
          "[turnovers]") {
  const auto filled = [](size_t bytes, uint64_t most) {
    CacheConfig settings = config(bytes);
    settings.shards = 1;
    settings.hash_seed = 1;
    auto c = std::make_unique<Client>(settings);
    for (uint64_t n = 0; n < most && c->cache.totals().evictions == 0; ++n) {
      c->must_set(key_number(n), "value");
      if (n % 64 == 0) c->tend();
    }
    c->tend();
    return c;
  };
  const auto large = filled(32_MiB, 500'000);
  REQUIRE(large->cache.set_memory_limit(4_MiB));
  large->tend();
  const uint64_t held = filled(4_MiB, 500'000)->cache.totals().items;
  CHECK(large->cache.totals().items > held / 10 * 9);
  large->cache.check_invariants();
}

TEST_CASE("a call of upkeep ends with its budget, and the next one goes on with another shard") {
  CacheConfig settings = config(64_MiB);
  settings.shards = 8;
  Client c(settings);
  std::vector<std::vector<std::string>> keys(settings.shards);  // by shard
  for (uint64_t n = 0; n < 10'000; ++n) {
    const std::string key = key_number(n);
    c.must_set(key, "v", c.now + 5);
    keys[c.cache.hash(key).shard_bits() / (256 / settings.shards)].push_back(key);
  }
  c.tend();
  c.now += 5;
  const auto shards_with_freed = [&] {
    return std::count_if(keys.begin(), keys.end(), [&](const std::vector<std::string>& of_shard) {
      return std::any_of(of_shard.begin(), of_shard.end(), [&](const std::string& key) {
        return c.look(key, false).miss == MissReason::Absent;
      });
    });
  };
  for (uint32_t calls = 1; calls <= settings.shards; ++calls) {
    CHECK(c.cache.tend(0, c.now, 0));
    CHECK(shards_with_freed() == calls);
  }
  c.tend();
  CHECK(c.cache.totals().items == 0);
}

TEST_CASE("too large is judged by memcached's measure") {
  CacheConfig limited = config(64_MiB);
  limited.item_size_max = 1_MiB;
  Client c(limited);
  // 48 + 8 + key + 1 + value + 2 bytes against -I.
  const size_t most = (1 << 20) - 48 - 8 - 1 - 1 - 2;
  CHECK(c.set("k", std::string(most, 'x')) == StoreStatus::Stored);
  CHECK(c.set("k", std::string(most + 1, 'x')) == StoreStatus::TooLarge);
}

TEST_CASE("all drafts together take at most half of the memory, and give it back") {
  CacheConfig c16 = config(16_MiB);
  c16.item_size_max = 8_MiB;
  Client c(c16);
  std::vector<ItemDraft> drafts;
  c.cache.begin_turn(0);
  bool refused = false;
  for (int i = 0; i < 20 && !refused; ++i) {
    const std::string key = key_number(static_cast<uint64_t>(i));
    ItemDraft draft;
    ItemShape shape;
    shape.value_bytes = 1'000'000;
    REQUIRE(c.cache.allocate(0, c.ref(key), shape, c.now, draft) == AllocateStatus::Ok);
    if (!draft.append(std::string(1'000'000, 'x'))) refused = draft.failed();
    drafts.push_back(std::move(draft));
  }
  CHECK(refused);
  CHECK(c.cache.draft_bytes() <= 8_MiB);
  drafts.clear();
  c.cache.end_turn(0);
  CHECK(c.cache.draft_bytes() == 0);
  CHECK(c.set("k", std::string(7'000'000, 'x')) == StoreStatus::Stored);
}

TEST_CASE("a walk shows all that is live, and each step is good for its turn") {
  CacheConfig c = config(64_MiB);
  c.shards = 4;
  Client client(c);
  for (int i = 0; i < 30'000; ++i) client.must_set("k" + std::to_string(i), "v");
  client.must_set("large", std::string(300'000, 'x'));
  client.must_set("gone", "v", client.now + 5);
  client.now += 10;
  std::vector<std::string> keys;
  std::vector<const Item*> items;
  WalkPoint at;
  for (bool more = true; more;) {
    client.cache.begin_turn(0);
    more = client.cache.walk(at, client.now, items);
    for (const Item* item : items) keys.emplace_back(item->key());
    client.cache.end_turn(0);
  }
  std::sort(keys.begin(), keys.end());
  CHECK(std::unique(keys.begin(), keys.end()) == keys.end());
  CHECK(keys.size() == 30'001);
  CHECK(std::binary_search(keys.begin(), keys.end(), "large"));
  CHECK_FALSE(std::binary_search(keys.begin(), keys.end(), "gone"));
  CHECK_FALSE(client.cache.walk(at, client.now, items));
}

TEST_CASE("the sparsest page of a class is emptied on request, and nothing is lost") {
  Client client(config(64_MiB));
  const std::string value(200, 'x');
  for (int i = 0; i < 2000; ++i) client.must_set("k" + std::to_string(1000 + i), value);
  const uint32_t size_class = client.cache.class_of(*client.look("k1000").item);
  const uint64_t pages = client.cache.class_totals(size_class).pages;
  REQUIRE(pages >= 4);
  // Full: what a page holds has no room in the others, and memory for more is left.
  CHECK(client.cache.empty_page(size_class) == EmptyPageStatus::NoSpare);
  for (int i = 0; i < 2000; i += 2) {
    const std::string key = "k" + std::to_string(1000 + i);
    client.cache.begin_turn(0);
    CHECK(client.cache.remove(0, client.ref(key), {}, client.now).status == RemoveStatus::Removed);
    client.cache.end_turn(0);
  }
  client.tend();
  REQUIRE(client.cache.empty_page(size_class) == EmptyPageStatus::Started);
  CHECK(client.cache.empty_page(size_class) == EmptyPageStatus::Busy);
  CHECK(client.cache.totals().emptying_page);
  client.tend();
  client.tend();
  CHECK(client.cache.totals().pages_moved == 1);
  CHECK(client.cache.class_totals(size_class).pages == pages - 1);
  CHECK(client.cache.totals().items == 1000);
  for (int i = 1; i < 2000; i += 2) REQUIRE(client.has("k" + std::to_string(1000 + i)));
  client.cache.check_invariants();
}

TEST_CASE("the sweep counts what it looks at and what it lets go") {
  Client client(config(64_MiB));
  for (int i = 0; i < 100; ++i) client.must_set("short" + std::to_string(i), "v", client.now + 5);
  for (int i = 0; i < 100; ++i) client.must_set("long " + std::to_string(i), "v");
  client.tend();
  CHECK(client.cache.totals().sweep_checked == 0);
  client.now += 6;
  client.tend();
  CHECK(client.cache.totals().sweep_reclaimed == 100);
  CHECK(client.cache.totals().sweep_checked >= 100);
  CHECK(client.cache.totals().sweep_checked <= 200);
}

namespace {

// Breaks the only worker's turn, as a connection does that has nothing to send.
struct OwnTurn : TurnBreak {
  explicit OwnTurn(Cache& c, std::function<void()> m = {}) : cache(c), meanwhile(std::move(m)) {}
  bool break_turn() override {
    ++breaks;
    if (meanwhile) meanwhile();
    cache.refresh_turn(0);
    (void)cache.relieve();
    return true;
  }
  Cache& cache;
  std::function<void()> meanwhile;  // what another worker does in each break
  int breaks = 0;
};

// A full cache of 64 MiB, and how a large value in it can be changed by a copy.
struct FullCache {
  FullCache() : c(large_items()) {
    for (uint64_t n = 0; n < 600'000; ++n) c.must_set(key_number(n), std::string(100, 'x'));
    REQUIRE(c.cache.totals().evictions > 0);
  }
  static CacheConfig large_items() {
    CacheConfig large = config(64_MiB);
    large.item_size_max = 32_MiB;
    return large;
  }
  StoreStatus append(const std::string& piece, bool prepend = false) {
    c.cache.begin_turn(0);
    OwnTurn turn(c.cache, meanwhile);
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(piece.size());
    ItemDraft draft;
    REQUIRE(c.cache.allocate(0, c.ref("k"), shape, c.now, draft) == AllocateStatus::Ok);
    REQUIRE(draft.append(piece));
    ConcatRule rule;
    rule.prepend = prepend;
    const StoreStatus status = c.cache.concat(0, draft, rule, c.now, &turn).status;
    draft.drop();
    c.cache.end_turn(0);
    return status;
  }
  RemoveStatus invalidate() {
    c.cache.begin_turn(0);
    OwnTurn turn(c.cache, meanwhile);
    RemoveRule rule;
    rule.invalidate = true;
    const RemoveStatus status = c.cache.remove(0, c.ref("k"), rule, c.now, &turn).status;
    c.cache.end_turn(0);
    return status;
  }
  // What is stored under "k"; empty if nothing is.
  std::string value() {
    c.cache.begin_turn(0);
    const Probe probe{"k", c.cache.hash("k"), false};
    Found found;
    c.cache.lookup(0, {&probe, 1}, {&found, 1}, c.now);
    std::string value;
    if (found.item != nullptr) {
      std::vector<std::string_view> parts;
      c.cache.value_parts(*found.item, parts);
      for (const std::string_view part : parts) value += part;
    }
    c.cache.end_turn(0);
    return value;
  }

  Client c;
  std::function<void()> meanwhile{};
};

}  // namespace

TEST_CASE("a value up to an eighth of the memory can be copied in a full cache") {
  FullCache full;
  for (const size_t bytes : {20'000, 1'000'000, 4'500'000, 6'000'000, 8'388'000}) {
    INFO(bytes << " bytes");
    const std::string value(bytes, 'y');
    full.c.must_set("k", value);
    CHECK(full.append("tail") == StoreStatus::Stored);
    CHECK((full.value() == value + "tail"));
    CHECK(full.append("head", true) == StoreStatus::Stored);
    CHECK((full.value() == "head" + value + "tail"));
    CHECK(full.invalidate() == RemoveStatus::Removed);
    CHECK((full.value() == "head" + value + "tail"));
    full.c.tend();
    full.c.cache.check_invariants();
  }
}

TEST_CASE("a touch in the middle of a copy holds for the copy") {
  FullCache full;
  full.c.must_set("k", std::string(6'000'000, 'y'), full.c.now + 10);
  const Seconds first = full.c.now + 100;
  Seconds last = first;
  full.meanwhile = [&] {
    REQUIRE(full.c.cache.touch(0, full.c.ref("k"), ++last, full.c.now).item != nullptr);
  };
  const auto expiry_now = [&full] {
    full.c.cache.begin_turn(0);
    const Probe probe{"k", full.c.cache.hash("k"), false};
    Found found;
    full.c.cache.lookup(0, {&probe, 1}, {&found, 1}, full.c.now);
    const Seconds expiry = found.item == nullptr ? kNever : found.item->expiry();
    full.c.cache.end_turn(0);
    return expiry;
  };
  REQUIRE(full.append("tail") == StoreStatus::Stored);
  CHECK(last > first);
  CHECK(expiry_now() == last);
  const Seconds appended = last;
  REQUIRE(full.invalidate() == RemoveStatus::Removed);
  CHECK(last > appended);
  CHECK(expiry_now() == last);
  full.c.cache.check_invariants();
}

TEST_CASE("a copy of more than an eighth of the memory is refused, and nothing goes for it") {
  FullCache full;
  const std::string value(8'388'600, 'y');
  full.c.must_set("k", value);
  full.c.tend();
  const uint64_t evictions = full.c.cache.totals().evictions;
  const std::string piece(100, 'z');
  CHECK(full.append(piece) == StoreStatus::NoRoomToCopy);
  // The piece itself takes a chunk.
  CHECK(full.c.cache.totals().evictions <= evictions + 2);
  CHECK((full.value() == value));
  const std::string larger(9'000'000, 'y');
  full.c.must_set("k", larger);
  full.c.tend();
  const uint64_t evictions_before = full.c.cache.totals().evictions;
  CHECK(full.invalidate() == RemoveStatus::OutOfMemory);
  CHECK(full.c.cache.totals().evictions == evictions_before);
  CHECK((full.value() == larger));
}

TEST_CASE("a copy that gives up after it has broken the turn names no item, which may be gone") {
  FullCache full;
  full.c.must_set("k", std::string(6'000'000, 'y'));
  full.c.tend();
  struct OneBreak : TurnBreak {
    explicit OneBreak(Cache& c) : cache(c) {}
    bool break_turn() override {
      if (broken) return false;
      cache.refresh_turn(0);
      return broken = true;
    }
    Cache& cache;
    bool broken = false;
  } one_break(full.c.cache);
  full.c.cache.begin_turn(0);
  ItemShape shape;
  shape.value_bytes = 4;
  ItemDraft draft;
  REQUIRE(full.c.cache.allocate(0, full.c.ref("k"), shape, full.c.now, draft) ==
          AllocateStatus::Ok);
  REQUIRE(draft.append("tail"));
  const StoreResult result = full.c.cache.concat(0, draft, {}, full.c.now, &one_break);
  draft.drop();
  full.c.cache.end_turn(0);
  CHECK(one_break.broken);
  CHECK(result.status == StoreStatus::Busy);
  CHECK(result.old_item == nullptr);
  full.c.cache.check_invariants();
}

TEST_CASE("what is larger is copied as long as memory is free for it") {
  Client c(FullCache::large_items());
  c.must_set("k", std::string(12'000'000, 'y'));
  c.cache.begin_turn(0);
  RemoveRule rule;
  rule.invalidate = true;
  CHECK(c.cache.remove(0, c.ref("k"), rule, c.now).status == RemoveStatus::Removed);
  c.cache.end_turn(0);
}
