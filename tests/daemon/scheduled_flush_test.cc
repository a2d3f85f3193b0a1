#include "daemon/scheduled_flush.h"

#include <catch2/catch.hpp>

#include <string>
#include <utility>

#include "core/cache.h"

namespace {

using namespace larder;
using core::kFirstSecond;

// A cache of several shards, so that a flush has several steps, and keys in all of them.
struct Fixture {
  static core::CacheConfig config() {
    core::CacheConfig c;
    c.workers = 1;
    c.shards = 4;
    c.huge_pages = false;
    return c;
  }
  void store() {
    cache.begin_turn(0);
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = "key-" + std::to_string(i);
      const core::KeyRef ref{key, cache.hash(key)};
      core::ItemDraft draft;
      REQUIRE(cache.allocate(0, ref, {}, now, draft) == core::AllocateStatus::Ok);
      REQUIRE(cache.store(0, std::move(draft), {}, now).status == core::StoreStatus::Stored);
    }
    cache.end_turn(0);
  }
  int hits() {
    int count = 0;
    cache.begin_turn(0);
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = "key-" + std::to_string(i);
      const core::Probe probe{key, cache.hash(key), false};
      core::Found found;
      cache.lookup(0, {&probe, 1}, {&found, 1}, now);
      if (found.item != nullptr) ++count;
    }
    cache.end_turn(0);
    return count;
  }

  static constexpr int kKeys = 64;
  core::Cache cache{config()};
  daemon::ScheduledFlush flush{cache};
  core::Seconds now = kFirstSecond + 10;
};

}  // namespace

TEST_CASE("a scheduled flush is due from its time on, until it is done") {
  Fixture f;
  f.store();
  CHECK(f.flush.due(f.now) == 0);
  f.flush.schedule(f.now + 5);
  CHECK(f.flush.when() == f.now + 5);
  CHECK(f.flush.due(f.now + 4) == 0);
  f.now += 5;
  const uint64_t due = f.flush.due(f.now);
  REQUIRE(due != 0);
  CHECK(f.hits() == Fixture::kKeys);
  f.flush.run(due, f.now);
  CHECK(f.hits() == 0);
  CHECK(f.flush.when() == 0);
  CHECK(f.flush.due(f.now) == 0);
}

TEST_CASE("nothing older is read while a worker that is to flush has not begun") {
  Fixture f;
  f.store();
  f.flush.schedule(f.now);
  const uint64_t stopped = f.flush.due(f.now);  // this worker does not run for a while
  REQUIRE(stopped != 0);
  const uint64_t other = f.flush.due(f.now);
  REQUIRE(other != 0);
  f.flush.run(other, f.now);
  CHECK(f.hits() == 0);
}

TEST_CASE("a worker that flushes late takes nothing that was stored after the flush") {
  Fixture f;
  f.flush.schedule(f.now);
  const uint64_t stopped = f.flush.due(f.now);
  f.flush.run(f.flush.due(f.now), f.now);
  f.store();
  f.flush.run(stopped, f.now);
  CHECK(f.hits() == Fixture::kKeys);
}

TEST_CASE("a flush that was replaced or canceled takes nothing, however late it begins") {
  Fixture f;
  f.flush.schedule(f.now);
  const uint64_t first = f.flush.due(f.now);
  f.flush.schedule(f.now + 10);
  const uint64_t second = f.flush.due(f.now + 10);
  f.store();
  f.flush.run(first, f.now);
  CHECK(f.hits() == Fixture::kKeys);
  CHECK(f.flush.when() == f.now + 10);
  f.flush.cancel();
  CHECK(f.flush.when() == 0);
  f.flush.run(second, f.now + 10);
  CHECK(f.hits() == Fixture::kKeys);
}
