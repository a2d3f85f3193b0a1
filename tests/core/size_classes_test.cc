#include "core/size_classes.h"

#include <catch2/catch.hpp>

using namespace larder::core;

TEST_CASE("every size has the smallest class that holds it") {
  for (const double factor : {1.03, 1.08, 1.25, 2.0}) {
    const SizeClasses sizes(factor, 24);
    for (uint32_t bytes = 1; bytes <= SizeClasses::kMaxChunkBytes; ++bytes) {
      const uint32_t c = sizes.class_for(bytes);
      REQUIRE(sizes.chunk_bytes(c) >= bytes);
      if (c > 0) REQUIRE(sizes.chunk_bytes(c - 1) < bytes);
    }
  }
}

TEST_CASE("classes rise in steps of four bytes and end at the largest chunk") {
  const SizeClasses sizes(1.08, 24);
  CHECK(sizes.chunk_bytes(0) == 24);
  CHECK(sizes.chunk_bytes(sizes.count() - 1) == SizeClasses::kMaxChunkBytes);
  for (uint32_t c = 1; c < sizes.count(); ++c) {
    REQUIRE(sizes.chunk_bytes(c) > sizes.chunk_bytes(c - 1));
    REQUIRE(sizes.chunk_bytes(c) % 4 == 0);
  }
}

TEST_CASE("large chunks leave under 2 per cent of a page unused") {
  const SizeClasses sizes(1.08, 24);
  for (uint32_t c = 0; c < sizes.count(); ++c) {
    const uint32_t used = sizes.chunk_bytes(c) * sizes.chunks_per_page(c);
    INFO("class of " << sizes.chunk_bytes(c));
    REQUIRE(used <= kPageBytes);
    REQUIRE(used >= kPageBytes - kPageBytes / 50);
  }
}
