#include "tools/larder/cluster_list.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

TEST_CASE("a list of nodes has a version and the nodes") {
  const auto list = parse_cluster_list(
      "CONFIG cluster 0 34\r\n12\na|10.0.0.1|11211 b|10.0.0.2|11211\n\r\nEND\r\n");
  REQUIRE(list);
  CHECK(list->version == 12);
  CHECK(list->nodes == "a|10.0.0.1|11211 b|10.0.0.2|11211");
}

TEST_CASE("a reply without a list has none") {
  for (const char* const reply :
       {"", "END\r\n", "CONFIG cluster 0 3\r\n", "CONFIG cluster 0 3\r\nx\na|b|1\n\r\nEND\r\n"}) {
    CHECK_FALSE(parse_cluster_list(reply));
  }
}
