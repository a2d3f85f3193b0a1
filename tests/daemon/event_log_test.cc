#include "daemon/event_log.h"

#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "core/cache.h"

using namespace larder;
using namespace larder::daemon;

namespace {

constexpr size_t kRingBytes = 64 << 10;

// Fills a small cache until something has to go; returns how much was evicted.
uint64_t fill(EventLog& log, int items) {
  core::CacheConfig config;
  config.memory_bytes = 8 << 20;
  config.workers = 1;
  config.huge_pages = false;
  config.hash_seed = 1;
  config.observer = &log;
  core::Cache cache(config);
  const std::string value(8000, 'v');
  for (int i = 0; i < items; ++i) {
    const std::string key = "key" + std::to_string(i);
    cache.begin_turn(0);
    core::ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = 5000;
    core::ItemDraft draft;
    const core::KeyRef ref{key, cache.hash(key)};
    if (cache.allocate(0, ref, shape, 1000, draft) == core::AllocateStatus::Ok) {
      REQUIRE(draft.append(value));
      (void)cache.store(0, std::move(draft), {}, 1000);
    }
    cache.end_turn(0);
    cache.tend(0, 1000, 1000);
  }
  return cache.totals().evictions;
}

}  // namespace

TEST_CASE("nothing is wanted until somebody watches, and then only that") {
  EventLog log(1, kRingBytes);
  CHECK_FALSE(log.wants(~0u));
  log.want(Streams::kFetchers | Streams::kEvictions);
  CHECK(log.wants(Streams::kFetchers));
  CHECK_FALSE(log.wants(Streams::kMutations));
  CHECK(static_cast<core::Observer&>(log).wants(core::Observer::kEvictions));
  CHECK_FALSE(static_cast<core::Observer&>(log).wants(core::Observer::kPageMoves));
  log.want(Streams::kSysEvents);
  CHECK_FALSE(static_cast<core::Observer&>(log).wants(core::Observer::kEvictions));
  CHECK(static_cast<core::Observer&>(log).wants(core::Observer::kPageMoves));
  log.want(0);
  CHECK_FALSE(log.wants(~0u));
}

TEST_CASE("each thread writes into its own ring, and events are numbered across them") {
  EventLog log(2, kRingBytes);
  const auto write = [&](uint32_t writer, const char* key) {
    std::thread([&] {
      log.become_writer(writer);
      log.write(Event{}, key);
    }).join();
  };
  write(1, "first");
  write(0, "second");
  const EventRing::Record first = log.rings()[1]->front();
  const EventRing::Record second = log.rings()[0]->front();
  REQUIRE(first.event != nullptr);
  REQUIRE(second.event != nullptr);
  CHECK(first.text == "first");
  CHECK(second.text == "second");
  CHECK(first.event->gid == 1);
  CHECK(second.event->gid == 2);
  CHECK(first.event->unix_us > 1'600'000'000'000'000);

  std::thread([&] { log.write(Event{}, "of nobody"); }).join();
  CHECK(log.rings()[0]->written().get() + log.rings()[1]->written().get() == 2);
}

TEST_CASE("every eviction of a cache is told while evictions are wanted, and none else") {
  std::thread([] {
    EventLog log(1, 16 << 20);
    log.become_writer(0);
    CHECK(fill(log, 2000) > 100);
    CHECK(log.rings()[0]->written().get() == 0);

    log.want(Streams::kEvictions);
    const uint64_t evictions = fill(log, 2000);
    CHECK(evictions > 100);
    CHECK(log.rings()[0]->written().get() == evictions);
    const EventRing::Record record = log.rings()[0]->front();
    REQUIRE(record.event != nullptr);
    CHECK(record.event->kind == EventKind::Eviction);
    CHECK(record.text.starts_with("key"));
    CHECK(record.event->value_bytes == 8000);
    CHECK(record.event->ttl_seconds == 4000);
    CHECK(record.event->what == 0);
    CHECK(record.event->size_class > 0);
  }).join();
}
