#include "daemon/prefix_stats.h"

#include <catch2/catch.hpp>
#include <string>

namespace larder::daemon {
namespace {

TEST_CASE("counts are kept by what stands before the delimiter") {
  PrefixStats stats('/', true);
  stats.count_get("user/1", true);
  stats.count_get("user/2", false);
  stats.count_set("user/a/b");
  stats.count_delete("user/");
  stats.count_get("user:1", true);  // no delimiter: not counted
  CHECK(stats.dump() == "PREFIX user get 2 hit 1 set 1 del 1\r\nEND");
  stats.clear();
  CHECK(stats.dump() == "END");
  stats.count_set("/rooted");  // an empty prefix is one
  CHECK(stats.dump() == "PREFIX  get 0 hit 0 set 1 del 0\r\nEND");
}

TEST_CASE("the number of prefixes is bounded, those that are known go on counting") {
  PrefixStats stats(':', true);
  for (size_t i = 0; i < PrefixStats::kMaxPrefixes + 10; ++i) {
    stats.count_set(std::to_string(i) + ":k");
  }
  stats.count_set("0:k");
  const std::string dump = stats.dump();
  CHECK(dump.find("PREFIX 0 get 0 hit 0 set 2 del 0\r\n") != std::string::npos);
  CHECK(dump.find("PREFIX " + std::to_string(PrefixStats::kMaxPrefixes) + " ") ==
        std::string::npos);
}

}  // namespace
}  // namespace larder::daemon
