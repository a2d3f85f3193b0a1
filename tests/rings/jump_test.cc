#include "tools/client/jump.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

#include "tools/client/key_hash.h"

using namespace larder::client;

TEST_CASE("one bucket more takes its keys from all others and moves no other key") {
  uint32_t taken = 0;
  for (uint32_t i = 0; i < 10'000; ++i) {
    const uint64_t hash = xxh3(std::to_string(i));
    for (uint32_t buckets = 1; buckets < 20; ++buckets) {
      const uint32_t before = jump_bucket(hash, buckets);
      const uint32_t after = jump_bucket(hash, buckets + 1);
      REQUIRE(before < buckets);
      REQUIRE((after == before || after == buckets));
      if (buckets == 10) taken += after == buckets;
    }
  }
  CHECK(taken == Approx(10'000 / 11.0).epsilon(0.1));
}

TEST_CASE("the extremes of a hash have a bucket, too") {
  for (const uint64_t hash : {uint64_t{0}, UINT64_MAX, uint64_t{1} << 63}) {
    for (const uint32_t buckets : {1u, 2u, 4096u}) CHECK(jump_bucket(hash, buckets) < buckets);
  }
}
