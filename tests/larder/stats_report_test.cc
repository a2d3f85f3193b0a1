#include "tools/larder/stats_report.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace larder::operate;

namespace {

std::vector<NodeStats> two_nodes() {
  return {{"a:1", Stats::parse("STAT pid 7\r\nSTAT cmd_get 10\r\nSTAT only_a 1\r\nEND\r\n")},
          {"b:22222", Stats::parse("STAT pid 8\r\nSTAT version 2\r\nSTAT cmd_get 5\r\nEND\r\n")}};
}

}  // namespace

TEST_CASE("the table has a column for each node and the sum of what can be added up") {
  CHECK(stats_text(two_nodes(), "") ==
        "         a:1  b:22222  sum\n"
        "pid        7        8\n"
        "cmd_get   10        5   15\n"
        "only_a     1        -    1\n"
        "version    -        2    2\n");
  CHECK(stats_text({two_nodes()[0]}, "").find("sum") == std::string::npos);
  CHECK(stats_text(two_nodes(), "items").find("sum") == std::string::npos);
}

TEST_CASE("stats as JSON have numbers where they are numbers") {
  const Json json = stats_json(two_nodes(), "");
  CHECK(json["nodes"][0]["node"] == "a:1");
  CHECK(json["nodes"][1]["stats"]["cmd_get"] == 5);
  CHECK(json["sum"]["cmd_get"] == 15);
  CHECK_FALSE(json["sum"].contains("pid"));
  CHECK_FALSE(stats_json(two_nodes(), "slabs").contains("sum"));
  const Json text = stats_json({{"a:1", Stats::parse("STAT version 1.6.45\r\n")}}, "");
  CHECK(text["nodes"][0]["stats"]["version"] == "1.6.45");
  CHECK(text["sum"].empty());
}

TEST_CASE("slab classes have their figures of both groups, by id") {
  const auto classes = slab_classes(
      Stats::parse("STAT 10:chunk_size 384\r\nSTAT 10:total_pages 1\r\nSTAT 10:total_chunks 100\r\n"
                   "STAT 10:free_chunks 25\r\nSTAT 2:chunk_size 96\r\nSTAT 2:total_pages 3\r\n"
                   "STAT 3:chunk_size 120\r\nSTAT 3:total_pages 0\r\n"
                   "STAT active_slabs 2\r\nSTAT total_malloced 1\r\nSTAT x:y 3\r\nEND\r\n"),
      Stats::parse("STAT items:10:number 75\r\nSTAT items:10:age 300\r\nSTAT items:10:evicted 4\r\n"
                   "STAT items:10:evicted_time 60\r\nSTAT items:10:outofmemory 5\r\nEND\r\n"));
  REQUIRE(classes.size() == 2);
  CHECK(classes[0].id == 2);
  CHECK(classes[0].pages == 3);
  CHECK(classes[1].id == 10);
  CHECK(classes[1].chunk_bytes == 384);
  CHECK(classes[1].items == 75);
  CHECK(classes[1].oldest_seconds == 300);
  CHECK(classes[1].evicted == 4);
  CHECK(classes[1].evicted_seconds == 60);
  CHECK(classes[1].out_of_memory == 5);
  const std::string text = slabs_text(classes);
  CHECK(text.find("\n   10  384 B      1     75  75.0%  5 min    25        4") !=
        std::string::npos);
  CHECK(slabs_json(classes)[1]["free_chunks"] == 25);
}
