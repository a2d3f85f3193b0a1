// A cache over a memory file that is stopped and started again.
#include "core/cache.h"

#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/memory_file.h"
#include "core/page_pool.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace larder::core;
using larder::test::TempFolder;

CacheConfig small_config() {
  CacheConfig c;
  c.memory_bytes = 16_MiB;
  c.workers = 2;
  c.shards = 2;
  c.huge_pages = false;
  return c;
}

// A run of a cache over a file, and short ways to use it; every call is a turn of its own.
class Run {
 public:
  explicit Run(const std::string& path, CacheConfig config = small_config()) : file_(path) {
    config.memory_file = &file_;
    cache_ = std::make_unique<Cache>(config);
    why_cold = cache_->restart().why_cold;
  }
  void begin() { cache_->begin_use(); }
  std::string stop(const std::string& state = "") { return cache_->save(state); }
  Cache& cache() { return *cache_; }

  bool set(const std::string& key, const std::string& value, ItemShape shape = {}) {
    Turn turn(cache());
    shape.value_bytes = static_cast<uint32_t>(value.size());
    ItemDraft draft;
    AllocateStatus status = AllocateStatus::Busy;
    for (int i = 0; i < 100 && status == AllocateStatus::Busy; ++i) {
      status = cache().allocate(0, ref(key), shape, now, draft);
      cache().refresh_turn(0);
      // Far above a limit that was lowered only upkeep brings room.
      if (status == AllocateStatus::Busy) cache().tend(0, now, 500);
    }
    if (status != AllocateStatus::Ok) return false;
    while (!draft.complete()) {
      const size_t done = value.size() - draft.remaining();
      if (draft.append(std::string_view(value).substr(done)) || draft.failed()) break;
      cache().refresh_turn(0);
    }
    return draft.complete() &&
           cache().store(0, std::move(draft), {}, now).status == StoreStatus::Stored;
  }
  void remove(const std::string& key) {
    Turn turn(cache());
    cache().remove(0, ref(key), {}, now);
  }
  struct Seen {
    bool hit = false;
    std::string value;
    uint64_t cas = 0;
    uint32_t client_flags = 0;
    Seconds expiry = 0;
    Heat heat;
    bool base64 = false;
  };
  Seen look(const std::string& key, bool bump = false) {
    Turn turn(cache());
    const Probe probe{key, cache().hash(key), bump};
    Found found;
    cache().lookup(0, {&probe, 1}, {&found, 1}, now);
    Seen seen;
    if (found.item == nullptr) return seen;
    seen.hit = true;
    std::vector<std::string_view> parts;
    cache().value_parts(*found.item, parts);
    for (const std::string_view part : parts) seen.value += part;
    seen.cas = cache().cas_of(*found.item);
    seen.client_flags = found.item->client_flags();
    seen.expiry = found.item->expiry();
    seen.heat = found.item->heat();
    seen.base64 = found.item->base64_key();
    return seen;
  }
  void tend() {
    for (uint32_t w = 0; w < cache().config().workers; ++w) {
      for (int i = 0; i < 20 && cache().tend(w, now, 500); ++i) {
      }
    }
  }

  std::string why_cold;
  Seconds now = kFirstSecond;

 private:
  struct Turn {
    explicit Turn(Cache& c) : cache(c) { cache.begin_turn(0); }
    ~Turn() { cache.end_turn(0); }
    Cache& cache;
  };
  KeyRef ref(const std::string& key) const { return {key, cache_->hash(key)}; }

  MemoryFile file_;
  std::unique_ptr<Cache> cache_;
};

std::string key_number(uint64_t n) { return "key-" + std::to_string(n); }
std::string value_of(uint64_t n, size_t bytes) {
  std::string value(bytes, static_cast<char>('a' + n % 26));
  const std::string start = std::to_string(n) + ":";
  for (size_t i = 0; i < start.size() && i < bytes; ++i) value[i] = start[i];
  return value;
}

}  // namespace

TEST_CASE("all that is known of items is there again after a stop") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  uint64_t cas_before = 0;
  {
    Run run(path);
    CHECK(run.why_cold == "'" + path + "' is new");
    run.begin();
    ItemShape shape;
    shape.client_flags = 77;
    shape.expiry = 100;
    REQUIRE(run.set("flags-and-expiry", "one", shape));
    shape = {};
    shape.has_explicit_cas = true;
    shape.explicit_cas = 1ull << 50;
    shape.base64_key = true;
    REQUIRE(run.set("cas", "two", shape));
    REQUIRE(run.set("large", value_of(5, 300'000)));
    REQUIRE(run.set("expires", "soon", ItemShape{.expiry = 20}));
    REQUIRE(run.set("plain", "three"));
    run.look("plain", true);
    cas_before = run.look("plain").cas;
    CHECK(run.stop("what the owner says").empty());
  }
  // Elsewhere in memory, and with other workers.
  void* const in_the_way = mmap(nullptr, 64_MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CacheConfig config = small_config();
  config.workers = 7;
  config.shards = 0;
  Run run(path, config);
  munmap(in_the_way, 64_MiB);
  REQUIRE(run.why_cold == "");
  CHECK(run.cache().restart().warm);
  CHECK(run.cache().restart().owner_state == "what the owner says");
  CHECK(run.cache().shard_count() == 2);
  run.begin();
  run.now = 30;
  run.cache().check_invariants();
  CHECK(run.cache().totals().items == 5);
  const Run::Seen one = run.look("flags-and-expiry");
  CHECK(one.value == "one");
  CHECK(one.client_flags == 77);
  CHECK(one.expiry == 100);
  const Run::Seen two = run.look("cas");
  CHECK(two.cas == 1ull << 50);
  CHECK(two.base64);
  CHECK(run.look("large").value == value_of(5, 300'000));
  CHECK_FALSE(run.look("expires").hit);
  const Run::Seen three = run.look("plain");
  CHECK(three.cas == cas_before);
  CHECK(three.heat.fetched());
  CHECK_FALSE(run.look("flags-and-expiry").heat.fetched());
  REQUIRE(run.set("plain", "four"));
  CHECK(run.look("plain").cas > cas_before);
  run.tend();
  CHECK(run.cache().totals().items == 4);  // the expired one was found by its block
  run.now = 100;
  CHECK_FALSE(run.look("flags-and-expiry").hit);
}

TEST_CASE("a cache that is stopped again and again serves what it was told, full and growing") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  std::map<std::string, std::string> stored;
  std::minstd_rand random(1);
  Seconds now = kFirstSecond;
  size_t hits = 0;
  const auto hits_of = [&](Run& run) {
    size_t count = 0;
    for (const auto& [key, value] : stored) {
      const Run::Seen seen = run.look(key);
      if (!seen.hit) continue;
      ++count;
      if (seen.value != value) FAIL(key << " has another value");
    }
    return count;
  };
  for (int round = 0; round < 6; ++round) {
    CacheConfig config = small_config();
    config.workers = 1 + static_cast<uint32_t>(round);
    config.order = round == 4 ? EvictionOrder::Lru : EvictionOrder::Density;
    config.evict = round != 3;
    Run run(path, config);
    REQUIRE((run.why_cold == "") == (round > 0));
    run.begin();
    run.now = now;
    run.cache().check_invariants();
    REQUIRE(hits_of(run) == hits);
    for (int i = 0; i < 20'000; ++i) {
      const uint64_t n = random() % 60'000;
      const std::string key = key_number(n);
      if (n % 17 == 0) {
        run.remove(key);
        stored.erase(key);
        continue;
      }
      const size_t bytes = n % 500 == 1 ? 20'000 + random() % 200'000 : 20 + random() % 600;
      const std::string value = value_of(random(), bytes);
      ItemShape shape;
      if (n % 3 == 0) shape.expiry = run.now + 5 + static_cast<Seconds>(random() % 300);
      if (run.set(key, value, shape)) {
        stored[key] = value;
      } else {
        stored.erase(key);
        run.remove(key);
      }
      if (i % 16 == 0) run.look(key_number(random() % 60'000), true);
      if (i % 1000 == 0) {
        ++run.now;
        run.tend();
      }
    }
    run.cache().check_invariants();
    now = run.now += 20;
    hits = hits_of(run);
    REQUIRE(hits > 5000);
    REQUIRE(run.stop() == "");
  }
}

TEST_CASE("a table that is growing when the cache stops goes on growing") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  uint64_t count = 0;
  {
    Run run(path);
    run.begin();
    // Without upkeep a growth takes hundreds of inserts.
    while (count < 5000 || !run.cache().totals().table_growing) {
      REQUIRE(count < 60'000);
      REQUIRE(run.set(key_number(count++), "v"));
    }
    REQUIRE(run.stop() == "");
  }
  Run run(path);
  REQUIRE(run.why_cold == "");
  run.begin();
  CHECK(run.cache().totals().table_growing);
  run.cache().check_invariants();
  run.tend();
  CHECK_FALSE(run.cache().totals().table_growing);
  run.cache().check_invariants();
  for (uint64_t i = 0; i < count; ++i) {
    if (!run.look(key_number(i)).hit) FAIL(i);
  }
}

TEST_CASE("chunks that only large items begin in are gone round after the order has changed") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  CacheConfig config = small_config();
  config.shards = 1;
  {
    Run run(path, config);
    run.begin();
    // The first parts fill pages: 4 to a page, 5, and so on.
    for (uint64_t size = 100'000; size < 108'000; size += 250) {
      for (uint64_t i = 0; i < 4; ++i) REQUIRE(run.set(key_number(size + i), value_of(i, size)));
    }
    REQUIRE(run.stop() == "");
  }
  config.order = EvictionOrder::Lru;
  Run run(path, config);
  REQUIRE(run.why_cold == "");
  run.cache().check_invariants();
}

TEST_CASE("a flush holds over a stop, before and after its sweep") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  {
    Run run(path);
    run.begin();
    for (int i = 0; i < 1000; ++i) REQUIRE(run.set(key_number(i), "old"));
    run.cache().flush(run.now);
    REQUIRE(run.set("new", "v"));
    REQUIRE(run.stop() == "");
  }
  Run run(path);
  run.begin();
  run.now = kFirstSecond;
  CHECK(run.look("new").hit);
  CHECK_FALSE(run.look(key_number(7)).hit);
  run.now += 10;
  run.tend();
  CHECK(run.cache().totals().items == 1);
  CHECK(run.look("new").hit);
}

TEST_CASE("what was being received at the stop leaves nothing behind") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  {
    Run run(path);
    run.begin();
    REQUIRE(run.set("k", "v"));
    ItemDraft draft;
    ItemShape shape;
    shape.value_bytes = 500'000;
    const KeyRef key{"half", run.cache().hash("half")};
    REQUIRE(run.cache().allocate(0, key, shape, run.now, draft) == AllocateStatus::Ok);
    REQUIRE(draft.append(std::string(200'000, 'x')));
    CHECK(run.stop() == "something is still in use");
    draft.drop();
    REQUIRE(run.stop() == "");
  }
  Run run(path);
  run.begin();
  run.cache().check_invariants();
  run.remove("k");
  run.tend();
  // Only the tables are left.
  const CacheTotals totals = run.cache().totals();
  CHECK(totals.pages_total - totals.pages_free == totals.table_bytes / kPageBytes);
}

TEST_CASE("what does not fit the last run is a cold start that says what differs") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  const auto cold = [&](const CacheConfig& config) {
    {
      Run run(path);
      run.begin();
      REQUIRE(run.set("k", "v"));
      REQUIRE(run.stop() == "");
    }
    Run run(path, config);
    run.begin();
    CHECK_FALSE(run.look("k").hit);
    CHECK(run.set("k", "w"));
    run.cache().check_invariants();
    return run.why_cold;
  };
  CacheConfig config = small_config();
  config.memory_bytes = 32_MiB;
  CHECK(cold(config) == "the memory limit (-m) was 16 and is 32 MiB");
  config = small_config();
  config.item_size_max = 2_MiB;
  CHECK(cold(config) == "the largest item (-I) was 1048576 and is 2097152 bytes");
  config = small_config();
  config.cas = false;
  CHECK(cold(config) == "CAS was on and is off (-C)");
  config = small_config();
  config.growth_factor = 1.5;
  CHECK(cold(config) == "the sizes of chunks (-f, -n) are others");
  config = small_config();
  config.shards = 1;
  CHECK(cold(config) == "the number of shards was 2 and is 1");
}

TEST_CASE("a start that comes to nothing costs nothing; a killed run is a cold start") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  {
    Run run(path);
    run.begin();
    REQUIRE(run.set("k", "v"));
    REQUIRE(run.stop() == "");
  }
  { const Run never_begun(path); }
  {
    Run run(path);
    REQUIRE(run.why_cold == "");
    run.begin();
    CHECK(run.look("k").hit);
  }
  Run run(path);
  CHECK_THAT(run.why_cold, Catch::Contains("was not stopped gracefully"));
  run.begin();
  CHECK_FALSE(run.look("k").hit);
}

TEST_CASE("a limit that was changed while it ran does not keep a cache from coming back") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  const size_t changed_to = GENERATE(size_t{8_MiB}, size_t{32_MiB});
  {
    Run run(path);
    run.begin();
    REQUIRE(run.cache().set_memory_limit(changed_to));
    for (int i = 0; i < 40'000; ++i) {
      REQUIRE(run.set(key_number(i), value_of(i, 500)));
      if (i % 100 == 0) run.tend();
    }
    REQUIRE(run.stop() == "");
  }
  Run run(path);
  REQUIRE(run.why_cold == "");
  run.begin();
  run.cache().check_invariants();
  CHECK(run.cache().memory_limit() == 16_MiB);
  for (int i = 0; i < 40'000; ++i) {
    const Run::Seen seen = run.look(key_number(i));
    if (seen.hit && seen.value != value_of(i, 500)) FAIL(i);
  }
  for (int i = 0; i < 40'000; ++i) {
    REQUIRE(run.set(key_number(i), value_of(i, 500)));
    if (i % 100 == 0) run.tend();
  }
  for (int i = 0; i < 50; ++i) run.tend();
  run.cache().check_invariants();
  // What was given back has left the file, too.
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK(static_cast<size_t>(status.st_blocks) * 512 <= 16_MiB + 1_MiB);
}

TEST_CASE("numbers that contradict each other are a cold start, and never more than that") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  {
    Run run(path);
    run.begin();
    for (int i = 0; i < 3000; ++i) REQUIRE(run.set(key_number(i), value_of(i, 100)));
    REQUIRE(run.set("large", value_of(1, 100'000)));
    REQUIRE(run.stop() == "");
  }
  std::string snapshot = MemoryFile(path).read().snapshot;
  REQUIRE_FALSE(snapshot.empty());
  // As if the checksum were right: what is not noticed is a number that means nothing else.
  size_t noticed = 0;
  size_t tried = 0;
  std::minstd_rand random(7);
  for (size_t at = 0; at < snapshot.size(); at += 1 + random() % 97) {
    std::string bad = snapshot;
    bad[at] = static_cast<char>(bad[at] ^ (1u << random() % 8));
    {
      MemoryFile file(path);
      REQUIRE(file.finish(bad));
    }
    const Run run(path);
    ++tried;
    if (run.why_cold != "") ++noticed;
  }
  CHECK(tried > 100);
  CHECK(noticed > tried / 10);
}
