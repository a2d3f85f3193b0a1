// Several workers on few keys in little memory: every chunk is reused all the time, the table
// grows, pages move, while readers look on without a lock. Meant for the tsan and asan presets.
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/cache.h"
#include "core/turn_break.h"

namespace {

using namespace larder::core;

// A value says whose it is: key number, a serial, filler made from both, so that a torn or foreign
// value shows.
std::string make_value(uint64_t key, uint64_t serial, size_t bytes) {
  std::string v(std::max<size_t>(bytes, 16), static_cast<char>('a' + (key * 31 + serial) % 26));
  std::memcpy(v.data(), &key, 8);
  std::memcpy(v.data() + 8, &serial, 8);
  return v;
}

bool is_whole(uint64_t key, const std::vector<std::string_view>& parts, size_t total) {
  std::string v;
  for (const std::string_view part : parts) v += part;
  if (v.size() != total || v.size() < 16) return false;
  uint64_t owner;
  uint64_t serial;
  std::memcpy(&owner, v.data(), 8);
  std::memcpy(&serial, v.data() + 8, 8);
  return owner == key && v == make_value(key, serial, v.size());
}

// A run goes on until it has found so many, however slow the machine is.
constexpr uint64_t kLeastHits = 1000;

struct Load {
  size_t memory_bytes;
  uint32_t shards;
  uint64_t keys;
  size_t max_value;
  int milliseconds;
  bool change_limit = false;  // to a quarter and back, all the time
  // The first of the keys are stored before all else and only replaced from then on: nothing
  // removes them, they do not expire, and nobody flushes.
  uint64_t lasting_keys = 0;
};

struct Outcome {
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> stores{0};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> lost{0};  // misses of lasting keys
  CacheTotals totals;
};

void work(Cache& cache, uint32_t worker, const Load& load, const std::atomic<bool>& stop,
          std::atomic<Seconds>& clock, Outcome& outcome) {
  std::mt19937_64 random(worker + 1);
  std::vector<std::string_view> parts;
  std::vector<std::string> keys(kBatchKeys);
  Probe probes[kBatchKeys];
  Found found[kBatchKeys];
  uint64_t numbers[kBatchKeys];
  uint64_t serial = worker;
  while (!stop.load(std::memory_order_relaxed)) {
    const Seconds now = clock.load(std::memory_order_relaxed);
    cache.begin_turn(worker);
    const Item* held = nullptr;
    uint64_t held_key = 0;
    for (size_t i = 0; i < kBatchKeys; ++i) {
      const bool lasting = load.lasting_keys > 0 && i % 2 == 0;
      numbers[i] = random() % (lasting ? load.lasting_keys : load.keys);
      keys[i] = "key-" + std::to_string(numbers[i]);
      probes[i] = {keys[i], cache.hash(keys[i]), true};
      cache.prefetch(probes[i].hash);
    }
    cache.lookup(worker, probes, found, now);
    for (int w = 0; w < 8; ++w) {
      const bool lasting = load.lasting_keys > 0 && w % 4 == 0;
      const uint64_t number = lasting
                                  ? random() % load.lasting_keys
                                  : load.lasting_keys + random() % (load.keys - load.lasting_keys);
      const std::string key = "key-" + std::to_string(number);
      const KeyRef ref{key, cache.hash(key)};
      const uint64_t what = lasting ? 15 : random() % 16;
      if (what == 0) {
        (void)cache.remove(worker, ref, {}, now);
      } else if (what == 1) {
        (void)cache.touch(worker, ref, now + 3, now);
      } else if (what == 2) {
        RemoveRule rule;
        rule.invalidate = true;
        (void)cache.remove(worker, ref, rule, now);
      } else {
        ++serial;
        const std::string value = make_value(number, serial, random() % load.max_value);
        ItemShape shape;
        shape.value_bytes = static_cast<uint32_t>(value.size());
        if (!lasting && random() % 4 == 0)
          shape.expiry = now + 1 + static_cast<Seconds>(random() % 3);
        ItemDraft draft;
        const AllocateStatus status = cache.allocate(worker, ref, shape, now, draft);
        if (status == AllocateStatus::Busy) continue;  // a turn lasts too long, perhaps this one
        if (status != AllocateStatus::Ok) {
          ++outcome.refused;
          continue;
        }
        if (!draft.append(value)) continue;  // a large value, and readers are in the way
        if (cache.store(worker, std::move(draft), {}, now).status == StoreStatus::Stored) {
          ++outcome.stores;
        }
      }
    }
    // What was found before the writes is still whole.
    for (size_t i = 0; i < kBatchKeys; ++i) {
      if (found[i].item == nullptr) {
        if (numbers[i] < load.lasting_keys) ++outcome.lost;
        continue;
      }
      ++outcome.hits;
      parts.clear();
      cache.value_parts(*found[i].item, parts);
      if (found[i].item->key() != keys[i] ||
          !is_whole(numbers[i], parts, found[i].item->value_bytes())) {
        ++outcome.wrong;
      }
      if (held == nullptr && random() % 64 == 0) {
        held = found[i].item;
        held_key = numbers[i];
        cache.hold(held);
      }
    }
    cache.end_turn(worker);
    cache.tend(worker, now, 200);
    if (held != nullptr) {
      // A hold outlives the turn.
      parts.clear();
      cache.value_parts(*held, parts);
      if (!is_whole(held_key, parts, held->value_bytes())) ++outcome.wrong;
      cache.release(held);
    }
  }
}

void run(const Load& load, Outcome& outcome) {
  constexpr uint32_t kWorkers = 3;
  CacheConfig config;
  config.memory_bytes = load.memory_bytes;
  config.shards = load.shards;
  config.workers = kWorkers;
  config.huge_pages = false;
  Cache cache(config);
  cache.begin_turn(0);
  for (uint64_t number = 0; number < load.lasting_keys; ++number) {
    const std::string key = "key-" + std::to_string(number);
    const std::string value = make_value(number, 0, 16);
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    ItemDraft draft;
    REQUIRE(cache.allocate(0, {key, cache.hash(key)}, shape, kFirstSecond, draft) ==
            AllocateStatus::Ok);
    REQUIRE(draft.append(value));
    REQUIRE(cache.store(0, std::move(draft), {}, kFirstSecond).status == StoreStatus::Stored);
  }
  cache.end_turn(0);
  std::atomic<bool> stop{false};
  std::atomic<Seconds> clock{kFirstSecond};
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < kWorkers; ++w) {
    threads.emplace_back([&, w] { work(cache, w, load, stop, clock, outcome); });
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(load.milliseconds);
  while (std::chrono::steady_clock::now() < end || outcome.hits < kLeastHits) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    clock.fetch_add(1);
    if (load.lasting_keys == 0 && clock.load() % 80 == 0) {
      cache.flush(clock.load());
    }
    if (load.change_limit && clock.load() % 10 == 0) {
      const bool lower = clock.load() % 20 == 0;
      if (!cache.set_memory_limit(lower ? load.memory_bytes / 4 : load.memory_bytes))
        ++outcome.wrong;
    }
  }
  stop = true;
  for (std::thread& t : threads) t.join();
  cache.check_invariants();
  outcome.totals = cache.totals();
}

// What changes one key by a copy of its item, once.
struct Change {
  const char* what;
  size_t value_bytes;  // of the item before the change
  bool (*apply)(Cache& cache, const KeyRef& key, Seconds now);
};

bool append_byte(Cache& cache, const KeyRef& key, Seconds now) {
  ItemShape shape;
  shape.value_bytes = 1;
  ItemDraft piece;
  return cache.allocate(0, key, shape, now, piece) == AllocateStatus::Ok && piece.append("z") &&
         cache.concat(0, piece, {}, now).status == StoreStatus::Stored;
}

bool increment(Cache& cache, const KeyRef& key, Seconds now) {
  return cache.arith(0, key, {}, now).status == ArithStatus::Done;
}

bool touch_copy(Cache& cache, const KeyRef& key, Seconds now) {
  return cache.touch(0, key, now + 1000, now).item != nullptr;
}

bool invalidate(Cache& cache, const KeyRef& key, Seconds now) {
  RemoveRule rule;
  rule.invalidate = true;
  return cache.remove(0, key, rule, now).status == RemoveStatus::Removed;
}

// One round: an item is stored, then one worker changes it while another flushes; returns whether
// it can be read when both have returned. `flusher_waits`: pauses of the flush, so that rounds
// differ in what it meets.
class ChangeAndFlush {
 public:
  ChangeAndFlush() : cache_(config()), flusher_([this] { flush_when_told(); }) {}
  ~ChangeAndFlush() {
    round_ = kEnd;
    flusher_.join();
  }
  bool outlives(const Change& change, uint32_t flusher_waits) {
    const KeyRef key{"k", cache_.hash("k")};
    cache_.begin_turn(0);
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(change.value_bytes);
    ItemDraft draft;
    REQUIRE(cache_.allocate(0, key, shape, now_, draft) == AllocateStatus::Ok);
    REQUIRE(draft.append(std::string(change.value_bytes, '7')));
    REQUIRE(cache_.store(0, std::move(draft), {}, now_).status == StoreStatus::Stored);
    cache_.refresh_turn(0);
    waits_ = flusher_waits;
    const uint32_t round = ++round_;
    changed_ += change.apply(cache_, key, now_) ? 1 : 0;
    while (done_ != round) std::this_thread::yield();
    const Probe probe{key.key, key.hash, false};
    Found found;
    cache_.lookup(0, {&probe, 1}, {&found, 1}, now_);
    cache_.end_turn(0);
    const bool at_once = found.item != nullptr;
    // And when the sweep is over, which tells flushed items by nothing but their place in time.
    now_ += 2;
    while (cache_.tend(0, now_, 1000)) {
    }
    return at_once || cache_.totals().items != 0;
  }
  int changed() const { return changed_; }

 private:
  static constexpr uint32_t kEnd = UINT32_MAX;
  static CacheConfig config() {
    CacheConfig c;
    c.workers = 2;
    c.shards = 1;
    c.huge_pages = false;
    return c;
  }
  void flush_when_told() {
    for (uint32_t seen = 0;;) {
      const uint32_t round = round_;
      if (round == kEnd) return;
      if (round == seen) {
        std::this_thread::yield();
        continue;
      }
      seen = round;
      for (std::atomic<uint32_t> i{0}; i < waits_; ++i) {
      }
      cache_.flush(now_);
      done_ = round;
    }
  }

  Cache cache_;
  Seconds now_ = kFirstSecond;
  int changed_ = 0;
  std::atomic<uint32_t> round_{0};
  std::atomic<uint32_t> done_{0};
  std::atomic<uint32_t> waits_{0};
  std::thread flusher_;
};

}  // namespace

TEST_CASE("what changes an item by a copy does not bring it through a flush") {
  const Change change = GENERATE(Change{"append", 256'000, append_byte},
                                 Change{"incr", 2, increment}, Change{"touch", 20, touch_copy},
                                 Change{"touch of a large value", 256'000, touch_copy},
                                 Change{"invalidate", 256'000, invalidate});
  constexpr int kRounds = 1000;
  ChangeAndFlush both;
  std::mt19937 random(7);
  const uint32_t most_waits = change.value_bytes > 1000 ? 20'000 : 100;
  int outlived = 0;
  for (int i = 0; i < kRounds; ++i)
    outlived += both.outlives(change, random() % most_waits) ? 1 : 0;
  INFO(change.what << ": " << both.changed() << " of " << kRounds << " were made");
  CHECK(outlived == 0);
}

TEST_CASE("few keys, all the time replaced") {
  Outcome outcome;
  run({8_MiB, 1, 64, 200, 4000}, outcome);
  CHECK(outcome.wrong == 0);
  CHECK(outcome.refused == 0);
}

TEST_CASE("keys that nobody removes are hit at every look") {
  // Four tables of one segment, four fifths full: one home of six has items in its second bucket.
  Outcome outcome;
  run({64_MiB, 4, 14'500, 200, 4000, false, 64}, outcome);
  CHECK(outcome.lost == 0);
  CHECK(outcome.wrong == 0);
  CHECK(outcome.refused == 0);
  CHECK(outcome.totals.evictions == 0);
}

TEST_CASE("two workers that count on one key lose no count") {
  CacheConfig config;
  config.workers = 2;
  config.huge_pages = false;
  Cache cache(config);
  constexpr uint64_t kCounts = 50'000;
  const KeyRef key{"n", cache.hash("n")};
  const auto draft_of = [&](uint32_t worker, std::string_view value) {
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    ItemDraft draft;
    if (cache.allocate(worker, key, shape, kFirstSecond, draft) != AllocateStatus::Ok ||
        !draft.append(value)) {
      std::abort();
    }
    return draft;
  };
  cache.begin_turn(0);
  REQUIRE(cache.store(0, draft_of(0, "0"), {}, kFirstSecond).status == StoreStatus::Stored);
  cache.end_turn(0);
  std::atomic<uint64_t> not_done{0};
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < 2; ++w) {
    threads.emplace_back([&, w] {
      for (uint64_t i = 0; i < kCounts; ++i) {
        cache.begin_turn(w);
        if (cache.arith(w, key, {}, kFirstSecond).status != ArithStatus::Done) ++not_done;
        cache.end_turn(w);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(not_done == 0);
  cache.begin_turn(0);
  ArithRule add_nothing;
  add_nothing.delta = 0;
  CHECK(cache.arith(0, key, add_nothing, kFirstSecond).value == 2 * kCounts);
  cache.end_turn(0);
}

TEST_CASE("five workers that copy a 32nd of the memory each all find room") {
  constexpr uint32_t kWorkers = 5;
  constexpr int kCopies = 20;
  CacheConfig config;
  config.memory_bytes = 64_MiB;
  config.item_size_max = 8_MiB;
  config.workers = kWorkers;
  config.huge_pages = false;
  Cache cache(config);
  struct OwnTurn : TurnBreak {
    OwnTurn(Cache& c, uint32_t w) : cache(c), worker(w) {}
    bool break_turn() override {
      cache.refresh_turn(worker);
      if (!cache.relieve()) std::this_thread::sleep_for(std::chrono::microseconds(100));
      return true;
    }
    Cache& cache;
    const uint32_t worker;
  };
  const std::string value(64_MiB / 32 - 1, 'v');
  const auto store = [&](OwnTurn& turn, const KeyRef& key) {
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    ItemDraft draft;
    while (cache.allocate(turn.worker, key, shape, kFirstSecond, draft) != AllocateStatus::Ok) {
      turn.break_turn();
    }
    while (!draft.append(std::string_view(value).substr(value.size() - draft.remaining()))) {
      turn.break_turn();
    }
    (void)cache.store(turn.worker, std::move(draft), {}, kFirstSecond);
  };
  std::atomic<int> copied{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < kWorkers; ++w) {
    threads.emplace_back([&, w] {
      OwnTurn turn(cache, w);
      for (int i = 0; i < kCopies; ++i) {
        // Ten of them fill the cache.
        const std::string name = std::to_string(w) + "-" + std::to_string(i % 10);
        const KeyRef key{name, cache.hash(name)};
        cache.begin_turn(w);
        store(turn, key);
        RemoveRule rule;
        rule.invalidate = true;
        const RemoveStatus status = cache.remove(w, key, rule, kFirstSecond, &turn).status;
        if (status == RemoveStatus::Removed) ++copied;
        if (status == RemoveStatus::OutOfMemory || status == RemoveStatus::Busy) ++refused;
        cache.end_turn(w);
        cache.tend(w, kFirstSecond, 200);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(refused == 0);
  CHECK(copied > 0);
  cache.check_invariants();
}

TEST_CASE("a growing table") {
  Outcome outcome;
  run({64_MiB, 1, 400'000, 40, 4000}, outcome);
  CHECK(outcome.wrong == 0);
  CHECK(outcome.refused == 0);
  CHECK(outcome.totals.table_buckets > 512);
}

TEST_CASE("little memory, pages moving between sizes") {
  Outcome outcome;
  run({4_MiB, 1, 20'000, 4000, 5000}, outcome);
  CHECK(outcome.wrong == 0);
  CHECK(outcome.refused == 0);
  CHECK(outcome.totals.evictions > 100);
}

TEST_CASE("a limit that falls and rises") {
  Outcome outcome;
  run({16_MiB, 2, 50'000, 1000, 4000, true}, outcome);
  CHECK(outcome.wrong == 0);
  CHECK(outcome.refused == 0);
  CHECK(outcome.totals.evictions > 100);
}

TEST_CASE("large values in parts") {
  Outcome outcome;
  run({16_MiB, 2, 100, 300'000, 4000}, outcome);
  CHECK(outcome.wrong == 0);
}
