// What a get does to memory that other threads read: nothing, once its item's mark is saturated.
#include "core/atomic.h"

#include <catch2/catch.hpp>

#include <array>
#include <string>

#include "core/cache.h"

using namespace larder::core;

#if defined(LARDER_DEBUG)

namespace {

constexpr size_t kKeys = 64;

struct Fixture {
  Fixture() : cache(config()) {
    for (size_t i = 0; i < kKeys; ++i) keys[i] = "key-" + std::to_string(i);
    cache.begin_turn(0);
    for (const std::string& key : keys) {
      ItemShape shape;
      shape.value_bytes = 5;
      ItemDraft draft;
      REQUIRE(cache.allocate(0, {key, cache.hash(key)}, shape, kFirstSecond, draft) ==
              AllocateStatus::Ok);
      REQUIRE(draft.append("value"));
      REQUIRE(cache.store(0, std::move(draft), {}, kFirstSecond).status == StoreStatus::Stored);
    }
  }
  static CacheConfig config() {
    CacheConfig c;
    c.workers = 1;
    c.huge_pages = false;
    return c;
  }
  // What one batch of gets, hits or misses, has written.
  SharedWrites get_all(const std::string& prefix = "") {
    std::array<std::string, kKeys> asked;
    std::array<Probe, kKeys> probes;
    std::array<Found, kKeys> found;
    for (size_t i = 0; i < kKeys; ++i) {
      asked[i] = prefix + keys[i];
      probes[i] = {asked[i], cache.hash(asked[i]), true};
    }
    const SharedWrites before = shared_writes;
    cache.lookup(0, probes, found, kFirstSecond);
    for (const Found& f : found) CHECK((f.item != nullptr) == prefix.empty());
    return {shared_writes.stores - before.stores,
            shared_writes.read_modify_writes - before.read_modify_writes};
  }
  Cache cache;
  std::array<std::string, kKeys> keys;
};

}  // namespace

TEST_CASE("a get stores at most its item's mark, and nothing once that is saturated") {
  Fixture f;
  const SharedWrites first = f.get_all();
  CHECK(first.stores == kKeys);
  CHECK(first.read_modify_writes == 0);
  for (uint32_t use = 0; use < Heat::kMostUses; ++use) f.get_all();
  const SharedWrites later = f.get_all();
  CHECK(later.stores == 0);
  CHECK(later.read_modify_writes == 0);
}

TEST_CASE("a miss stores nothing") {
  Fixture f;
  const SharedWrites misses = f.get_all("no-");
  CHECK(misses.stores == 0);
  CHECK(misses.read_modify_writes == 0);
}

TEST_CASE("what a store writes is counted: the counts are not just 0") {
  Fixture f;
  CHECK(shared_writes.stores > 0);
  CHECK(shared_writes.read_modify_writes > 0);  // the shard's lock
}

#endif

TEST_CASE("a counter counts") {
  Counter counter;
  counter.add();
  counter.add(41);
  CHECK(counter.get() == 42);
  counter.reset();
  CHECK(counter.get() == 0);
}
