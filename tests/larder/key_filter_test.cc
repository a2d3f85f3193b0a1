#include "tools/larder/key_filter.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

namespace {

constexpr int64_t kNow = 1'800'000'000;

DumpedKey key(uint64_t size, int64_t ttl) { return {"user:1", ttl < 0 ? -1 : kNow + ttl, 0, size}; }

}  // namespace

TEST_CASE("a filter that was told nothing wants every key") {
  CHECK(KeyFilter().wants(key(0, -1), kNow));
  CHECK(KeyFilter().wants(key(1'000'000, 0), kNow));
}

TEST_CASE("a prefix is compared byte by byte") {
  KeyFilter filter;
  filter.prefix = "user:";
  CHECK(filter.wants(key(1, -1), kNow));
  filter.prefix = "user:1";
  CHECK(filter.wants(key(1, -1), kNow));
  filter.prefix = "user:12";
  CHECK_FALSE(filter.wants(key(1, -1), kNow));
  filter.prefix = "User";
  CHECK_FALSE(filter.wants(key(1, -1), kNow));
}

TEST_CASE("bounds of size and lifetime are themselves inside") {
  KeyFilter filter;
  filter.min_size = 10;
  filter.max_size = 20;
  for (const auto& [size, wanted] : {std::pair{9, false}, {10, true}, {20, true}, {21, false}}) {
    CHECK(filter.wants(key(static_cast<uint64_t>(size), -1), kNow) == wanted);
  }
  filter = {};
  filter.min_ttl = 10;
  filter.max_ttl = 20;
  for (const auto& [ttl, wanted] : {std::pair{9, false}, {10, true}, {20, true}, {21, false}}) {
    CHECK(filter.wants(key(1, ttl), kNow) == wanted);
  }
}

TEST_CASE("what never expires lives longer than any lifetime") {
  KeyFilter filter;
  filter.min_ttl = INT64_MAX;
  CHECK(filter.wants(key(1, -1), kNow));
  filter.max_ttl = INT64_MAX;
  CHECK_FALSE(filter.wants(key(1, -1), kNow));
}

TEST_CASE("an item whose time is over has no seconds left") {
  KeyFilter filter;
  filter.max_ttl = 0;
  CHECK(filter.wants({"a", kNow - 100, 0, 1}, kNow));
  filter.min_ttl = 1;
  CHECK_FALSE(filter.wants({"a", kNow - 100, 0, 1}, kNow));
}
