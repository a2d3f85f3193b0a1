#include "core/draft.h"

#include <catch2/catch.hpp>

#include <string>

#include "core/cache.h"

using namespace larder::core;

namespace {

struct Fixture {
  Fixture() : cache(config()) {}
  static CacheConfig config() {
    CacheConfig c;
    c.workers = 1;
    c.huge_pages = false;
    c.item_size_max = 32_MiB;
    return c;
  }
  ItemDraft make(uint32_t value_bytes) {
    ItemShape shape;
    shape.value_bytes = value_bytes;
    ItemDraft draft;
    REQUIRE(cache.allocate(0, {"key", cache.hash("key")}, shape, kFirstSecond, draft) ==
            AllocateStatus::Ok);
    return draft;
  }
  Cache cache;
};

}  // namespace

TEST_CASE("a draft takes its value in any pieces, whatever its size") {
  Fixture f;
  for (const uint32_t bytes : {0u, 1u, 100u, 16'000u, 16'384u, 20'000u, 65'524u, 65'525u, 81'896u,
                               200'000u, 1'048'576u, 3'000'000u}) {
    std::string value(bytes, '\0');
    for (uint32_t i = 0; i < bytes; ++i) value[i] = static_cast<char>(i * 7 + i / 251);
    ItemDraft draft = f.make(bytes);
    CHECK(draft.key() == "key");
    size_t at = 0;
    for (size_t step = 1; at < bytes; step = step * 3 + 1) {
      const size_t n = std::min(step, bytes - at);
      REQUIRE(draft.append(std::string_view(value).substr(at, n)));
      at += n;
    }
    REQUIRE(draft.complete());
    REQUIRE(draft.window().empty());
    f.cache.begin_turn(0);
    const StoreResult stored = f.cache.store(0, std::move(draft), {}, kFirstSecond);
    REQUIRE(stored.status == StoreStatus::Stored);
    std::vector<std::string_view> parts;
    f.cache.value_parts(*stored.item, parts);
    std::string back;
    for (const auto part : parts) back += part;
    CHECK(stored.item->value_bytes() == bytes);
    REQUIRE(back == value);
    f.cache.end_turn(0);
  }
  f.cache.check_invariants();
}

TEST_CASE("a dropped draft leaves nothing behind") {
  Fixture f;
  {
    ItemDraft draft = f.make(25'000'000);
    REQUIRE(draft.append(std::string(24'800'000, 'x')));
    ItemDraft moved = std::move(draft);
    CHECK_FALSE(static_cast<bool>(draft));
    CHECK(moved.remaining() == 200'000);
    CHECK(f.cache.draft_bytes() > 0);
  }
  CHECK(f.cache.draft_bytes() == 0);
  // Its 757 parts are freed in slices.
  while (f.cache.tend(0, kFirstSecond, 0)) {
  }
  const CacheTotals totals = f.cache.totals();
  CHECK(totals.items == 0);
  // The one page left is the table's.
  CHECK(totals.pages_total - totals.pages_free == 1);
  f.cache.check_invariants();
}
