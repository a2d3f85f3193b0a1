#include "core/observer.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/cache.h"

using namespace larder::core;

namespace {

class Counting final : public Observer {
 public:
  void evicted(const Item& item, uint32_t, Seconds) noexcept override {
    ++evictions;
    bytes += item.value_bytes();
  }
  void page_moved(uint32_t) noexcept override { ++moves; }
  uint64_t evictions = 0;
  uint64_t bytes = 0;
  uint64_t moves = 0;
};

// Small values, then large ones in their place, so that pages move.
CacheTotals fill(Observer& observer) {
  CacheConfig config;
  config.memory_bytes = 8_MiB;
  config.workers = 1;
  config.huge_pages = false;
  config.hash_seed = 1;
  config.observer = &observer;
  Cache cache(config);
  for (int i = 0; i < 60'000; ++i) {
    const std::string key = "key" + std::to_string(i);
    const std::string value(i < 50'000 ? 200 : 1500, 'v');
    cache.begin_turn(0);
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    ItemDraft draft;
    if (cache.allocate(0, {key, cache.hash(key)}, shape, 1000, draft) == AllocateStatus::Ok) {
      REQUIRE(draft.append(value));
      (void)cache.store(0, std::move(draft), {}, 1000);
    }
    cache.end_turn(0);
    cache.tend(0, 1000, 1000);
  }
  return cache.totals();
}

}  // namespace

TEST_CASE("an observer is told of each eviction and each page that moves, if it wants to be") {
  Counting observer;
  CHECK(fill(observer).evictions > 0);
  CHECK(observer.evictions == 0);
  CHECK(observer.moves == 0);

  observer.want(Observer::kEvictions);
  CHECK(fill(observer).evictions == observer.evictions);
  CHECK(observer.bytes >= 200 * observer.evictions);
  CHECK(observer.moves == 0);

  observer.evictions = 0;
  observer.want(Observer::kPageMoves);
  const CacheTotals totals = fill(observer);
  CHECK(totals.pages_moved > 0);
  CHECK(observer.moves == totals.pages_moved);
  CHECK(observer.evictions == 0);
}
