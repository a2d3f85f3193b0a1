// A cache whose allocations fail while a worker is held up: what was unlinked waits in the retire
// queue, which has to grow. Worker 1 is the one that is held up.
#include <catch2/catch.hpp>

#include <map>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "core/cache.h"
#include "core/retire_queue.h"
#include "tests/support/failing_allocations.h"

namespace {

using namespace larder::core;
using larder::test::FailingAllocations;

CacheConfig config(size_t memory_bytes) {
  CacheConfig c;
  c.memory_bytes = memory_bytes;
  c.workers = 2;
  c.shards = 1;
  c.hash_seed = 7;
  c.huge_pages = false;
  return c;
}

enum class Outcome : uint8_t { Done, Refused, NoMemory };

// What the retire queue allocates, and hardly anything else.
constexpr size_t kBlockBytes = RetireQueue::kPreparedEntries * sizeof(RetireQueue::Entry);

// Worker 0, each call in a turn of its own. `memory` false: without memory for so many bytes and
// more.
class Client {
 public:
  Client(const CacheConfig& c, size_t missing_bytes) : cache(c), missing_bytes_(missing_bytes) {}

  // `call` says whether it did something.
  template <class Call>
  Outcome in_turn(bool memory, Call call) {
    cache.begin_turn(0);
    const Outcome outcome = run(memory, call);
    cache.end_turn(0);
    return outcome;
  }

  Outcome set(const std::string& key, const std::string& value, bool memory) {
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    return in_turn(memory, [&] {
      ItemDraft draft;
      return cache.allocate(0, {key, cache.hash(key)}, shape, now, draft) == AllocateStatus::Ok &&
             draft.append(value) &&
             cache.store(0, std::move(draft), {}, now).status == StoreStatus::Stored;
    });
  }
  Outcome put(const std::string& key, const std::string& value, bool memory) {
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    return in_turn(memory, [&] {
      StoreResult result;
      return cache.put(0, {key, cache.hash(key)}, shape, value, {}, now, result) &&
             result.status == StoreStatus::Stored;
    });
  }
  Outcome append(const std::string& key, const std::string& piece, bool memory) {
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(piece.size());
    return in_turn(memory, [&] {
      ItemDraft draft;
      return cache.allocate(0, {key, cache.hash(key)}, shape, now, draft) == AllocateStatus::Ok &&
             draft.append(piece) && cache.concat(0, draft, {}, now).status == StoreStatus::Stored;
    });
  }
  // The item has no room for a time: it is copied, and keeps its value.
  Outcome touch(const std::string& key, bool memory) {
    return in_turn(memory, [&] {
      return cache.touch(0, {key, cache.hash(key)}, now + 1'000'000, now).item != nullptr;
    });
  }
  Outcome remove(const std::string& key, bool memory) {
    return in_turn(memory, [&] {
      return cache.remove(0, {key, cache.hash(key)}, {}, now).status == RemoveStatus::Removed;
    });
  }
  Outcome tend(bool memory) {
    const auto call = [&] { return cache.tend(0, now, 50); };
    return run(memory, call);
  }

  // Empty if there is none.
  std::string get(const std::string& key) {
    cache.begin_turn(0);
    const Probe probe{key, cache.hash(key), false};
    Found found;
    cache.lookup(0, {&probe, 1}, {&found, 1}, now);
    std::string value;
    if (found.item != nullptr) {
      std::vector<std::string_view> parts;
      cache.value_parts(*found.item, parts);
      for (const std::string_view part : parts) value += part;
    }
    cache.end_turn(0);
    return value;
  }
  // Until all that waited for turns is free again.
  void tend_all() {
    for (int quiet = 0; quiet < 20;) {
      for (uint32_t worker = 0; worker < 2; ++worker) {
        quiet = cache.tend(worker, now, 0) ? 0 : quiet + 1;
      }
    }
  }

  Cache cache;
  Seconds now = kFirstSecond;

 private:
  template <class Call>
  Outcome run(bool memory, Call& call) const {
    if (memory) return outcome_of(call);
    const FailingAllocations none(missing_bytes_);
    return outcome_of(call);
  }
  template <class Call>
  static Outcome outcome_of(Call& call) {
    try {
      return call() ? Outcome::Done : Outcome::Refused;
    } catch (const std::bad_alloc&) {
      return Outcome::NoMemory;
    }
  }

  const size_t missing_bytes_;
};

}  // namespace

TEST_CASE("while a worker is held up and no memory is found a change is made whole or not at all") {
  const uint32_t seed = GENERATE(1u, 2u, 3u, 4u);
  const size_t missing_bytes = GENERATE(size_t{0}, kBlockBytes);
  CAPTURE(seed, missing_bytes);
  std::mt19937 random(seed);
  Client client(config(64_MiB), missing_bytes);
  constexpr uint32_t kKeys = 1'500;
  std::map<std::string, std::string> expected;
  uint64_t write = 0;
  const auto key_of = [](uint64_t n) { return "key" + std::to_string(n); };
  const auto next_value = [&](const std::string& key) {
    std::string value = key + "/" + std::to_string(++write) + "/";
    // Some of several parts.
    value.append(random() % 16 == 0 ? 9'000 + random() % 9'000 : random() % 400, 'v');
    return value;
  };
  for (uint32_t n = 0; n < kKeys; ++n) {
    const std::string key = key_of(n);
    expected[key] = next_value(key);
    REQUIRE(client.set(key, expected[key], true) == Outcome::Done);
  }

  client.cache.begin_turn(1);
  uint64_t done = 0;
  uint64_t failed = 0;
  const auto step = [&](bool memory) {
    const std::string key = key_of(random() % kKeys);
    const auto old = expected.find(key);
    std::string value = next_value(key);
    Outcome outcome;
    switch (random() % 8) {
      case 0:
        if ((outcome = client.remove(key, memory)) == Outcome::Done) expected.erase(key);
        break;
      case 1:
        outcome = client.touch(key, memory);
        break;
      case 2:
        outcome = client.append(key, "+more", memory);
        if (outcome == Outcome::Done) old->second += "+more";
        break;
      case 3:
        client.tend(memory);
        return;
      case 4:
      case 5:
        if (value.size() > Cache::kPutBytes) value.resize(100);
        if ((outcome = client.put(key, value, memory)) == Outcome::Done) expected[key] = value;
        break;
      default:
        if ((outcome = client.set(key, value, memory)) == Outcome::Done) expected[key] = value;
        break;
    }
    if (outcome == Outcome::Done && failed == 0) ++done;
    if (outcome == Outcome::NoMemory) ++failed;
    // What failed is as it was, also for the client that looks at once.
    const auto now_expected = expected.find(key);
    const std::string got = client.get(key);
    if (got != (now_expected == expected.end() ? "" : now_expected->second)) {
      FAIL("a get of " << key << " shows " << got.substr(0, 40));
    }
  };
  for (int i = 0; i < 5'000; ++i) step(false);
  INFO(done << " changes until memory was missed, " << failed << " that missed it");
  // Without memory for the queue alone the others store on until what it has prepared is used up.
  if (missing_bytes > 0) CHECK(done >= RetireQueue::kPreparedEntries);
  CHECK(failed >= 1'000);
  const auto check_all = [&] {
    for (uint32_t n = 0; n < kKeys; ++n) {
      const auto one = expected.find(key_of(n));
      const std::string got = client.get(key_of(n));
      if (got != (one == expected.end() ? "" : one->second)) {
        FAIL("key" << n << " is " << got.substr(0, 40));
      }
    }
    CHECK(client.cache.totals().items == expected.size());
    client.cache.check_invariants();
  };
  check_all();

  // Memory is there again, the worker still held up.
  failed = 0;
  for (int i = 0; i < 3'000; ++i) step(true);
  CHECK(failed == 0);
  check_all();

  client.cache.end_turn(1);
  client.tend_all();
  CHECK(client.cache.totals().retired == 0);
  check_all();
}

TEST_CASE(
    "where memory is missing amid stores that come together, each is made whole or not at all") {
  Client client(config(64_MiB), kBlockBytes);
  constexpr size_t kKeys = kBatchKeys;  // three groups of the one shard
  std::vector<std::string> keys(kKeys);
  for (size_t i = 0; i < kKeys; ++i) {
    keys[i] = "key" + std::to_string(i);
    REQUIRE(client.set(keys[i], "before", true) == Outcome::Done);
  }
  const uint64_t held_up = GENERATE(range(0, 66, 6));  // where in the batch memory is missing
  client.cache.begin_turn(1);
  for (uint64_t i = 0; i < held_up; ++i) REQUIRE(client.put("other", "o", true) == Outcome::Done);
  std::vector<Put> puts(kKeys);
  std::string last = "before";
  std::string value;
  Outcome outcome = Outcome::Done;
  for (int round = 0; outcome == Outcome::Done; ++round) {
    REQUIRE(round < 1000);
    if (round > 0) last = value;
    value = "round" + std::to_string(round);
    for (size_t i = 0; i < kKeys; ++i) {
      puts[i] = {};
      puts[i].key = {keys[i], client.cache.hash(keys[i])};
      puts[i].shape.value_bytes = static_cast<uint32_t>(value.size());
      puts[i].value = value;
    }
    outcome = client.in_turn(false, [&] { return client.cache.put_many(0, puts, client.now); });
  }
  CHECK(outcome == Outcome::NoMemory);
  client.cache.end_turn(1);
  client.tend_all();
  size_t stored = 0;
  for (const std::string& key : keys) {
    const std::string got = client.get(key);
    if (got != value && got != last) FAIL(key << " is " << got);
    stored += got == value;
  }
  CHECK(stored < kKeys);
  client.cache.check_invariants();
  // The chunks of the others are free, and those of items are not given out again.
  for (int i = 0; i < 1'000; ++i)
    REQUIRE(client.set("new" + std::to_string(i), "n", true) == Outcome::Done);
  for (const std::string& key : keys) {
    const std::string got = client.get(key);
    if (got != value && got != last) FAIL(key << " is " << got);
  }
}

TEST_CASE("however much one store evicts, all of it waits in the retire queue without memory") {
  Client client(config(4_MiB), kBlockBytes);
  const std::string tiny = "t";
  uint64_t next = 0;
  const auto fill = [&](uint64_t count) {
    const uint64_t end = next + count;
    while (next < end && client.set("tiny" + std::to_string(next), tiny, true) == Outcome::Done) {
      ++next;
    }
    REQUIRE(next == end);
  };
  fill(100'000);
  client.tend_all();
  REQUIRE(client.cache.totals().evictions > 0);
  // Each page of it takes the place of some 600 tiny items.
  const std::string large(600'000, 'l');
  uint64_t failed = 0;
  for (int ahead = 0; ahead < 280; ahead += 14) {  // from many places in the queue's last block
    CAPTURE(ahead);
    client.cache.begin_turn(1);
    for (int i = 0; i < ahead; ++i) client.put("other", tiny, false);
    failed += client.set("large", large, false) == Outcome::NoMemory;
    const std::string got = client.get("large");
    CHECK((got.empty() || got == large));
    client.cache.check_invariants();
    client.cache.end_turn(1);
    client.tend_all();
    fill(5'000);
    client.tend_all();
    CHECK(client.cache.totals().retired == 0);
  }
  CHECK(failed > 0);
}
