#include "tools/bench/server.h"

#include <catch2/catch.hpp>

using namespace larder::bench;

TEST_CASE("huge pages are read from smaps_rollup") {
  CHECK(parse_huge_pages_mib("00400000-7ffe r--p 00000000 00:00 0 [rollup]\n"
                             "Rss:              524288 kB\n"
                             "AnonHugePages:    432128 kB\n"
                             "ShmemPmdMapped:        0 kB\n") == 422);
  CHECK(parse_huge_pages_mib("Rss: 1 kB\nAnonHugePages:         0 kB\n") == 0);
  for (const char* text :
       {"", "Rss: 1 kB\n", "Rss: 1 kB\nAnonHugePages:", "\nAnonHugePages: x kB"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_huge_pages_mib(text));
  }
}
