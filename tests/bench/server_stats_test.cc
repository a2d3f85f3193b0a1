#include "tools/bench/server_stats.h"

#include <catch2/catch.hpp>

using namespace larder::bench;

TEST_CASE("a number is read from Redis's INFO by its whole name") {
  const char* const info =
      "$90\r\n# Memory\r\nmaxmemory_human:16.00M\r\nmaxmemory:16777216\r\n"
      "maxmemory_policy:allkeys-lru\r\nempty:\r\n\r\n+OK\r\n";
  CHECK(parse_info(info, "maxmemory") == 16777216);
  for (const char* name : {"memory", "maxmemory_policy", "maxmemory_human", "maxmem", "empty"}) {
    CAPTURE(name);
    CHECK_FALSE(parse_info(info, name));
  }
  CHECK_FALSE(parse_info("", "maxmemory"));
  CHECK_FALSE(parse_info("maxmemory:1", "maxmemory"));
  CHECK_FALSE(parse_info("maxmemory", "maxmemory"));
}
