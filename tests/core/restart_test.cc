// A cache over a memory file that is stopped and started again.
#include "core/cache.h"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/memory_file.h"
#include "core/page_pool.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_mount.h"

namespace {

using namespace larder::core;
using larder::test::TempFolder;
using larder::test::TestMount;

CacheConfig small_config() {
  CacheConfig c;
  c.memory_bytes = 16_MiB;
  c.workers = 2;
  c.shards = 2;
  c.huge_pages = false;
  return c;
}

// Bytes of a file that are not in holes. Its blocks are more: the file system counts those among
// them that name where the others are, and they grow as the file gets fragmented.
size_t data_bytes(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  size_t bytes = 0;
  off_t hole = 0;
  for (off_t data; (data = lseek(file, hole, SEEK_DATA)) >= 0; bytes += size_t(hole - data)) {
    hole = lseek(file, data, SEEK_HOLE);
    REQUIRE(hole > data);
  }
  CHECK(errno == ENXIO);  // the end
  close(file);
  return bytes;
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
  CHECK((run.look("large").value == value_of(5, 300'000)));
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

TEST_CASE("after a start with another order of eviction the oldest go first, as with the same") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  CacheConfig config = small_config();
  config.shards = 1;
  const std::string value(1000, 'x');
  uint64_t last = 0;
  {
    Run run(path, config);
    run.begin();
    while (run.cache().totals().evictions < 800) REQUIRE(run.set(key_number(last++), value));
    REQUIRE(run.stop() == "");
  }
  config.order = GENERATE(EvictionOrder::Lru, EvictionOrder::Density);
  Run run(path, config);
  REQUIRE(run.why_cold == "");
  run.begin();
  constexpr uint64_t kNewest = 700;
  for (uint64_t i = 0; i < kNewest; ++i) REQUIRE(run.set("new" + std::to_string(i), value));
  uint64_t there = 0;
  for (uint64_t i = last - kNewest; i < last; ++i) there += run.look(key_number(i)).hit ? 1 : 0;
  CHECK(there == kNewest);
}

TEST_CASE("a start over an empty cache's file that comes to nothing costs nothing") {
  const TempFolder folder;
  {
    Run run(folder.file("cache"));
    run.begin();
    REQUIRE(run.stop() == "");
  }
  for (int i = 0; i < 3; ++i) CHECK(Run(folder.file("cache")).why_cold == "");
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
  // A copy may lack blocks where there are zeros. They are given back, and that is no change.
  const int file = open(path.c_str(), O_RDWR);
  struct stat before {};
  REQUIRE(fstat(file, &before) == 0);
  REQUIRE(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPageBytes * 3 - 4096,
                    4096) == 0);
  const timespec times[2] = {before.st_atim, before.st_mtim};
  REQUIRE(futimens(file, times) == 0);
  close(file);
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
  CHECK(data_bytes(path) <= 16_MiB + 1_MiB);
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

namespace {

// What a stopped run left, to be put back as often as a test has damaged it.
class Remains {
 public:
  explicit Remains(const std::string& path) : path_(path) {
    file_ = read(path);
    snapshot_ = read(path + ".meta");
    REQUIRE(stat(path.c_str(), &status_) == 0);
    for (size_t at = 0; at < file_.size(); at += 4096) {
      const std::string_view block = std::string_view(file_).substr(at, 4096);
      if (std::memcmp(block.data(), kZeros.data(), block.size()) != 0) used_.push_back(at);
    }
  }
  // A random byte that the run used.
  size_t any_byte(std::minstd_rand& random) const {
    return used_[random() % used_.size()] + random() % 4096;
  }
  const std::string& file() const { return file_; }
  // Puts it there with these bytes changed; the file's time of change is what it was.
  void put_back(const std::vector<std::pair<size_t, char>>& changes) const {
    write(path_ + ".meta", snapshot_);
    std::string damaged = file_;
    for (const auto& [at, byte] : changes) damaged[at] = byte;
    write(path_, damaged);
    const timespec times[2] = {status_.st_atim, status_.st_mtim};
    REQUIRE(utimensat(AT_FDCWD, path_.c_str(), times, 0) == 0);
  }

 private:
  static std::string read(const std::string& path) {
    std::string bytes(std::filesystem::file_size(path), '\0');
    std::ifstream in(path, std::ios::binary);
    REQUIRE(in.read(bytes.data(), static_cast<std::streamsize>(bytes.size())));
    return bytes;
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    std::filesystem::permissions(path, std::filesystem::perms(0600));
  }

  static constexpr std::array<char, 4096> kZeros{};

  const std::string path_;
  std::string file_;
  std::string snapshot_;
  struct stat status_ {};
  std::vector<size_t> used_;
};

CacheConfig tiny_config() {
  CacheConfig config = small_config();
  config.memory_bytes = 4_MiB;
  return config;
}

uint64_t size_of(uint64_t n) { return n % 100 == 7 ? 9'000 + n * 5 : 10 + n * 7 % 90; }

// A run with items of all kinds; and so many free chunks, parts and pages.
void leave_items(const std::string& path, uint64_t items) {
  Run run(path, tiny_config());
  run.begin();
  for (uint64_t n = 0; n < items + items / 8; ++n) {
    ItemShape shape;
    if (n % 3 == 0) shape.expiry = 1000 + static_cast<Seconds>(n);
    if (n % 5 == 0) shape.client_flags = static_cast<uint32_t>(n);
    shape.base64_key = n % 11 == 0;
    REQUIRE(run.set(key_number(n), value_of(n, size_of(n)), shape));
  }
  for (uint64_t n = items; n < items + items / 8; ++n) run.remove(key_number(n));
  run.tend();
  REQUIRE(run.stop() == "");
}

}  // namespace

TEST_CASE("bytes that changed in the file are a cold start, a miss or themselves, never a crash") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  constexpr uint64_t kItems = 6000;
  leave_items(path, kItems);
  const Remains remains(path);
  std::minstd_rand random(11);
  int cold = 0;
  int warm = 0;
#ifdef __SANITIZE_THREAD__
  constexpr int kRounds = 30;  // only the check at the start has threads
#else
  constexpr int kRounds = 150;
#endif
  for (int round = 0; round < kRounds; ++round) {
    const size_t flips = 1 + random() % 10;
    std::vector<std::pair<size_t, char>> changes;
    for (size_t i = 0; i < flips; ++i) {
      const size_t at = remains.any_byte(random);
      changes.emplace_back(at, static_cast<char>(remains.file()[at] ^ (1 << random() % 8)));
    }
    remains.put_back(changes);
    Run run(path, tiny_config());
    if (run.why_cold != "") {
      ++cold;
      CHECK_THAT(run.why_cold, Catch::Contains("' is damaged: "));
    } else {
      ++warm;
      run.cache().check_invariants();
    }
    run.begin();
    // What nobody uses as a length or a reference can be wrong: a byte of a value.
    size_t wrong_bytes = 0;
    for (uint64_t n = 0; n < kItems; ++n) {
      const Run::Seen seen = run.look(key_number(n), n % 2 == 0);
      if (!seen.hit) continue;
      const std::string value = value_of(n, size_of(n));
      if (seen.value == value) continue;
      if (seen.value.size() != value.size()) FAIL("key " << n << " has another length");
      for (size_t i = 0; i < value.size(); ++i) wrong_bytes += seen.value[i] != value[i];
    }
    CHECK(wrong_bytes <= flips);
    // Everything is evicted, moved, removed and found by upkeep once.
    for (uint64_t n = 0; n < kItems; n += 7) run.remove(key_number(n));
    for (uint64_t n = 0; n < 4000; ++n) {
      run.set(key_number(10'000 + n), value_of(n, 1 + n * 31 % 3000));
      if (n % 200 == 0) {
        run.now += 200;
        run.tend();
      }
    }
    run.cache().check_invariants();
  }
  CHECK(cold > kRounds / 10);
  CHECK(warm > kRounds * 2 / 15);
}

TEST_CASE("slots that name what is no item are a cold start that says so") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  leave_items(path, 1000);
  const Remains remains(path);
  // Every word that could be a slot of some page of the table: far beyond what there is.
  std::vector<std::pair<size_t, char>> changes;
  for (size_t page = kPageBytes; page < remains.file().size(); page += kPageBytes) {
    size_t words = 0;
    size_t slots = 0;
    for (size_t at = page; at < page + kPageBytes; at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, &remains.file()[at], sizeof word);
      if (word == 0) continue;
      ++words;
      slots += PagePool::page_of(word & ((1ull << kRefBits) - 1)) < 300;
    }
    if (words < 100 || slots != words) continue;
    for (size_t at = page; at < page + kPageBytes; at += 8) {
      if (remains.file()[at] != 0)
        changes.emplace_back(at + 4, char(remains.file()[at + 4] | 0x3f));
    }
  }
  REQUIRE(changes.size() > 500);
  remains.put_back(changes);
  const Run run(path, tiny_config());
  CHECK(run.why_cold ==
        "'" + path + "' is damaged: its table does not name the items that are there");
}

TEST_CASE("a stop soon after a stall leaves no more in the file than the limit allows") {
  const TempFolder folder;
  CacheConfig config = small_config();
  config.workers = 2;
  Run run(folder.file("cache"), config);
  run.begin();
  uint64_t next = 0;
  const auto store = [&] { return run.set(key_number(next), value_of(next, 800)) && ++next; };
  while (run.cache().totals().evictions == 0) REQUIRE(store());
  run.cache().begin_turn(1);
  while (store()) {
  }
  run.cache().end_turn(1);
  while (run.cache().totals().overdraft_bytes > 0) REQUIRE(store());
  run.tend();
  const size_t before = data_bytes(folder.file("cache"));
  REQUIRE(run.cache().totals().overdraft_peak_bytes >= 3_MiB);
  REQUIRE(run.stop() == "");
  CHECK(data_bytes(folder.file("cache")) + 3_MiB <= before);
}

TEST_CASE("a file system with room for a cold start has room for the warm one") {
  const auto starts = [](const TestMount& mount) {
    try {
      Run run(mount.file("cache"));
      return true;
    } catch (const std::runtime_error&) {
      return false;
    }
  };
  const auto size = [](int kib) { return "size=" + std::to_string(kib) + "k"; };
  constexpr int kPageOfSystem = 4;  // KiB
  int too_small = 8 * 1024, enough = 32 * 1024;
  while (enough - too_small > kPageOfSystem) {
    const int middle = (too_small + enough) / 2 / kPageOfSystem * kPageOfSystem;
    const TestMount mount("tmpfs", size(middle));
    if (!mount.mounted()) {
      WARN("skipped: tmpfs cannot be mounted here: " << mount.why_not());
      return;
    }
    (starts(mount) ? enough : too_small) = middle;
  }
  const TestMount mount("tmpfs", size(enough));
  {
    Run run(mount.file("cache"));
    run.begin();
    REQUIRE(run.set("key", "value"));
    REQUIRE(run.stop() == "");
  }
  Run run(mount.file("cache"));
  CHECK(run.why_cold == "");
  run.begin();
  CHECK(run.look("key").value == "value");
}

TEST_CASE(
    "a cache over a file system that others fill evicts, and grows again when there is room") {
  const TestMount small("tmpfs", "size=40m");
  if (!small.mounted()) {
    WARN("skipped: tmpfs cannot be mounted here: " << small.why_not());
    return;
  }
  auto running = std::make_unique<Run>(small.file("cache"));
  Run& run = *running;
  run.begin();
  const auto store = [&](uint64_t from, uint64_t count) {
    uint64_t stored = 0;
    for (uint64_t n = from; n < from + count; ++n) {
      stored += run.set(key_number(n), value_of(n, n % 50 == 0 ? 20'000 : 800));
      if (n % 64 == 0) {
        run.now += n % 1024 == 0;
        run.tend();
      }
    }
    return stored;
  };
  CHECK(store(0, 3000) == 3000);
  small.fill();
  CHECK(store(3000, 20'000) == 20'000);
  const CacheTotals full = run.cache().totals();
  CHECK(full.evictions > 0);
  CHECK(full.items > 2500);
  CHECK(run.cache().memory_limit() == 16_MiB);
  run.cache().check_invariants();
  for (uint64_t n = 0; n < 23'000; ++n) {
    const Run::Seen seen = run.look(key_number(n));
    if (seen.hit && seen.value != value_of(n, seen.value.size())) FAIL(n);
  }
  small.make_room();
  run.now += 2;
  run.tend();
  CHECK(store(30'000, 20'000) == 20'000);
  CHECK(run.cache().totals().items > 2 * full.items);
  run.cache().check_invariants();
  REQUIRE(run.stop() == "");
  running.reset();
  const Run next(small.file("cache"));
  CHECK(next.why_cold == "");
}
