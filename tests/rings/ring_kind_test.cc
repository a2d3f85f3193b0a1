#include "tools/client/ring_kind.h"

#include <catch2/catch.hpp>
#include <string>

using namespace larder::client;

TEST_CASE("the name of every ring is parsed back to it") {
  for (const RingKindRow& row : ring_kinds()) {
    CHECK(parse_ring_kind(row.name) == row.kind);
    CHECK(name_of(row.kind) == row.name);
    CHECK(ring_kind_names().find(row.name) != std::string::npos);
  }
  CHECK(ring_kind_names().starts_with("libmemcached-ketama-weighted, libmemcached-ketama, "));
}

TEST_CASE("what is no ring's name is none") {
  for (const char* name : {"", "ketama", "Dalli", "dalli ", "libmemcached-ketama-weighted,"}) {
    CHECK_FALSE(parse_ring_kind(name));
  }
}
