// What a worker that is held up inside its turn does to the stores of the others, counted.
#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "core/cache.h"
#include "core/epoch.h"
#include "core/page_pool.h"

namespace {

using namespace larder::core;

CacheConfig config(size_t memory_bytes, uint32_t workers) {
  CacheConfig c;
  c.memory_bytes = memory_bytes;
  c.workers = workers;
  c.huge_pages = false;
  return c;
}

// Worker 0, each call in a turn of its own.
class Client {
 public:
  explicit Client(const CacheConfig& c) : cache(c) {}

  bool set(const std::string& key, const std::string& value, Seconds expiry = kNever) {
    cache.begin_turn(0);
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = expiry;
    ItemDraft draft;
    const KeyRef ref{key, cache.hash(key)};
    AllocateStatus status = cache.allocate(0, ref, shape, now, draft);
    if (status == AllocateStatus::Busy) {
      cache.refresh_turn(0);
      status = cache.allocate(0, ref, shape, now, draft);
    }
    const bool stored = status == AllocateStatus::Ok && draft.append(value) &&
                        cache.store(0, std::move(draft), {}, now).status == StoreStatus::Stored;
    cache.end_turn(0);
    return stored;
  }
  // Stores under new keys until one finds no memory, `most` at most; how many were stored.
  uint64_t store_until_busy(const std::string& value, uint64_t most) {
    uint64_t stored = 0;
    while (stored < most && set("key-" + std::to_string(next_key), value)) {
      ++next_key;
      if (++stored % 64 == 0) cache.tend(0, now, 50);
    }
    return stored;
  }
  // Whether it is there. `is_use`: it counts as one.
  bool find(const std::string& key, bool is_use) {
    const Probe probe{key, cache.hash(key), is_use};
    Found found;
    cache.begin_turn(0);
    cache.lookup(0, {&probe, 1}, {&found, 1}, now);
    cache.end_turn(0);
    return found.item != nullptr;
  }
  void fill(const std::string& value) {
    const uint64_t items = cache.memory_limit() / (value.size() + 20) * 11 / 10;
    REQUIRE(store_until_busy(value, items) == items);
    tend();
    REQUIRE(cache.totals().evictions > 0);
  }
  void tend() {
    for (int quiet = 0; quiet < 20;) {
      for (uint32_t w = 0; w < cache.config().workers; ++w) {
        quiet = cache.tend(w, now, 0) ? 0 : quiet + 1;
      }
    }
  }

  Cache cache;
  Seconds now = kFirstSecond;
  uint64_t next_key = 0;
};

}  // namespace

TEST_CASE(
    "while a worker stays in its turn the others store 1.6 % of the memory, and all of it comes "
    "back") {
  struct Case {
    size_t memory_bytes;
    size_t value_bytes;
    size_t overdraft_bytes;
  };
  const Case c = GENERATE(Case{64_MiB, 1000, 4_MiB}, Case{1024_MiB, 8000, 16_MiB - 64_KiB});
  Client client(config(c.memory_bytes, 2));
  const std::string value(c.value_bytes, 'x');
  client.fill(value);
  const CacheTotals before = client.cache.totals();
  CHECK(before.overdraft_limit_bytes == c.overdraft_bytes);
  CHECK(before.overdraft_bytes == 0);
  client.cache.begin_turn(1);
  const uint64_t stored = client.store_until_busy(value, 1'000'000);
  client.tend();
  const CacheTotals meanwhile = client.cache.totals();
  INFO("-m " << (c.memory_bytes >> 20) << ": " << stored << " sets of " << c.value_bytes
             << " bytes until one has to wait; evictions " << meanwhile.evictions - before.evictions
             << ", borrowed " << meanwhile.overdraft_bytes);
  CHECK(stored * c.value_bytes >= c.overdraft_bytes * 9 / 10);
  CHECK(meanwhile.overdraft_bytes <= c.overdraft_bytes);
  // Each set lets go of one item, and of nothing more for all the memory that does not come.
  CHECK(meanwhile.evictions - before.evictions <= stored + before.items / 50);
  CHECK(meanwhile.items >= before.items * 98 / 100);

  client.cache.end_turn(1);
  CHECK(client.set("k", value));
  client.tend();
  const CacheTotals after = client.cache.totals();
  CHECK(after.overdraft_bytes == 0);
  CHECK(after.overdraft_peak_bytes >= c.overdraft_bytes * 9 / 10);
  CHECK(after.retired < 200);
  CHECK(after.items >= before.items * 98 / 100);
  client.cache.check_invariants();
}

TEST_CASE("borrowed memory comes back from items that nobody asks for") {
  Client client(config(64_MiB, 2));
  const std::string value(1000, 'x');
  client.fill(value);
  std::vector<std::string> used;
  for (uint64_t n = 0; n < client.next_key; n += 2) {
    std::string key = "key-" + std::to_string(n);
    uint32_t uses = 0;
    while (uses < Heat::kMostUses && client.find(key, true)) ++uses;
    if (uses > 0) used.push_back(std::move(key));
  }
  REQUIRE(used.size() > 20'000);
  const uint64_t evictions = client.cache.totals().evictions;
  for (int stall = 0; stall < 3; ++stall) {
    client.cache.begin_turn(1);
    client.store_until_busy(value, 1'000'000);
    client.cache.end_turn(1);
    // While stores go on, which want the chunks that come free, too.
    while (client.cache.totals().overdraft_bytes > 0) {
      REQUIRE(client.store_until_busy(value, 64) > 0);
    }
  }
  CHECK(client.cache.totals().evictions - evictions < used.size());
  const auto lost = std::count_if(used.begin(), used.end(),
                                  [&](const std::string& key) { return !client.find(key, false); });
  CHECK(lost == 0);
  client.cache.check_invariants();
}

TEST_CASE("what a stall has retired comes free a slice at a time, with the lock let go between") {
  Client client(config(64_MiB, 2));
  const std::string value(20, 'x');
  client.fill(value);
  client.cache.begin_turn(1);
  client.store_until_busy(value, 1'000'000);
  client.cache.end_turn(1);
  uint64_t retired = client.cache.totals().retired;
  REQUIRE(retired > 50'000);
  uint64_t most = 0;
  while (client.cache.relieve()) {
    const uint64_t left = client.cache.totals().retired;
    most = std::max(most, retired - left);
    retired = left;
  }
  CHECK(retired == 0);
  CHECK(most <= 128);
  client.cache.check_invariants();
}

TEST_CASE("with a worker held up the turns of the others are not looked at for every set") {
  constexpr uint32_t kWorkers = 64;
  Client client(config(64_MiB, kWorkers));
  const std::string value(1000, 'x');
  client.fill(value);
  client.cache.begin_turn(kWorkers - 1);
  const uint64_t before = client.cache.totals().reader_scans;
  const uint64_t stored = client.store_until_busy(value, 1'000'000);
  REQUIRE(stored > 3'000);
  // Those who only wait look again and again.
  for (int i = 0; i < 1'000; ++i) {
    client.set("waits", value);
    client.cache.relieve();
    client.cache.tend(0, client.now, 0);
  }
  CHECK(client.cache.totals().reader_scans - before <= 4);
  client.cache.end_turn(kWorkers - 1);
  CHECK(client.set("k", value));
}

TEST_CASE("a look at the horizon reads all readers once, and again when the one in the way moves") {
  Epoch epoch(64);
  Epoch::Horizon horizon(epoch);
  epoch.enter(epoch.reader(63));
  epoch.enter(epoch.reader(5));
  const Epoch::Stamp stamp = epoch.now();
  epoch.advance();
  for (int i = 0; i < 100; ++i) {
    CHECK(horizon.look() == stamp);
    epoch.advance();
    epoch.refresh(epoch.reader(0));
  }
  CHECK(horizon.scans() == 1);
  // It was one of two: the other is found by one scan more.
  epoch.leave(epoch.reader(5));
  CHECK(horizon.look() == stamp);
  CHECK(horizon.scans() <= 2);
  epoch.leave(epoch.reader(63));
  epoch.leave(epoch.reader(0));
  CHECK(horizon.look() == epoch.now());
  const uint64_t scans = horizon.scans();
  CHECK(horizon.look() == epoch.now());
  CHECK(horizon.scans() == scans);
  epoch.advance();
  CHECK(horizon.look() == epoch.now());
}

TEST_CASE("a slice of upkeep does one kind of work") {
  Client client(config(64_MiB, 1));
  // All kinds at once: items that expire, flushed ones, a table that grows, chunks to free.
  for (int i = 0; i < 30'000; ++i) {
    REQUIRE(client.set("short" + std::to_string(i), "v", client.now + 5));
  }
  client.tend();
  for (int i = 0; i < 3'400; ++i) REQUIRE(client.set("more" + std::to_string(i), "v"));
  client.now += 6;
  struct Figures {
    uint64_t retired, swept, buckets;
  };
  const auto look = [&] {
    const CacheTotals t = client.cache.totals();
    return Figures{t.retired, t.sweep_checked, t.table_buckets};
  };
  int slices = 0;
  int most_kinds = 0;
  Figures before = look();
  while (client.cache.tend(0, client.now, 0)) {
    const Figures after = look();
    const int kinds = (after.retired < before.retired) + (after.swept > before.swept) +
                      (after.buckets > before.buckets);
    most_kinds = std::max(most_kinds, kinds);
    before = after;
    if (++slices % 2 == 0) client.set("extra" + std::to_string(slices), "v");
    if (slices % 2 == 0) before = look();
    REQUIRE(slices < 100'000);
  }
  CHECK(slices > 100);
  CHECK(most_kinds == 1);
  client.cache.check_invariants();
}

TEST_CASE("sizes are listed in slices, and a long value takes no memory for those between") {
  Client client(config(64_MiB, 1));
  for (int i = 0; i < 10'000; ++i) {
    REQUIRE(client.set("k" + std::to_string(10'000 + i),
                       std::string(static_cast<size_t>(i % 5) * 100, 'x')));
  }
  REQUIRE(client.set("large", std::string(1'000'000, 'x')));
  std::vector<std::pair<uint32_t, uint64_t>> rows;
#if defined(LARDER_DEBUG)
  const uint64_t before = shared_writes.read_modify_writes;
#endif
  client.cache.size_histogram(rows);
#if defined(LARDER_DEBUG)
  // A lock and an unlock for each 2,000 chunks at least.
  CHECK(shared_writes.read_modify_writes - before >= 2 * 5);
#endif
  uint64_t items = 0;
  for (const auto& [bytes, count] : rows) items += count;
  CHECK(items == 10'001);
  REQUIRE(rows.size() == 6);
  CHECK(std::is_sorted(rows.begin(), rows.end()));
  CHECK(rows.back().second == 1);
  CHECK(rows.back().first % 32 == 0);
  CHECK(rows.back().first >= 1'000'000);
}
