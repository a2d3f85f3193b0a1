// What a shard owes to a reader that comes between two steps of its own: between the table and the
// item.
#include <catch2/catch.hpp>

#include "core/epoch.h"
#include "core/page_pool.h"
#include "core/shard.h"
#include "core/size_classes.h"
#include "core/use_counts.h"

namespace {

using namespace larder::core;

constexpr Seconds kNow = kFirstSecond;
constexpr Seconds kAfterRest = kNow + 3;  // the sweep of a flush has begun

CacheConfig one_shard() {
  CacheConfig config;
  config.memory_bytes = 8_MiB;
  config.huge_pages = false;
  return config;
}

// A shard with readers 0 and 1.
struct Parts {
  CacheConfig config = one_shard();
  SizeClasses sizes{1.25, config.min_chunk_bytes};
  Epoch epoch{2};
  UseCounts uses{2};
  PagePool pool{config.memory_bytes, config.memory_bytes, config.huge_pages};
  Shard shard{config, sizes, pool, epoch, uses, 0, 0, 1};

  void tend(Seconds now) {
    while (shard.tend_slice(now, true)) {
    }
  }
};

}  // namespace

TEST_CASE("a reader that found an item before the sweep of a flush still learns of the flush") {
  Parts parts;
  const KeyRef key{"k", hash_key("k", 0)};
  const auto store = [&] {
    ItemShape shape;
    shape.value_bytes = 1;
    ItemDraft draft;
    REQUIRE(parts.shard.allocate(key, shape, kNow, draft) == AllocateStatus::Ok);
    REQUIRE(draft.append("v"));
    REQUIRE(parts.shard.store(std::move(draft), {}, kNow).status == StoreStatus::Stored);
  };
  store();
  parts.shard.flush(kNow);
  // It begins after the flush, and is not scheduled between its two steps.
  Epoch::Reader& reader = parts.epoch.reader(1);
  parts.epoch.enter(reader);
  const Item* found = parts.shard.table().find(key.key, key.hash);
  REQUIRE(found != nullptr);
  parts.tend(kAfterRest);
  REQUIRE(parts.shard.table().find(key.key, key.hash) == nullptr);
  CHECK(parts.shard.gone(*found, kAfterRest) == MissReason::Flushed);
  parts.epoch.leave(reader);

  // What is stored after the flush is not gone, before its mark is forgotten and after.
  store();
  parts.tend(kAfterRest);
  parts.tend(kAfterRest);
  found = parts.shard.table().find(key.key, key.hash);
  REQUIRE(found != nullptr);
  CHECK(parts.shard.gone(*found, kAfterRest) == MissReason::None);
}
