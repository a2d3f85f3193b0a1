#include "tools/larder/stats.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

TEST_CASE("stats are names and values, in their order, and the last line is none") {
  const Stats stats =
      Stats::parse("STAT pid 12\r\nSTAT version 1.6.45 x\r\nSTAT empty \r\nEND\r\n");
  REQUIRE(stats.rows().size() == 3);
  CHECK(stats.rows()[0] == std::pair<std::string, std::string>("pid", "12"));
  CHECK(*stats.find("version") == "1.6.45 x");
  CHECK(*stats.find("empty") == "");
  CHECK(stats.find("END") == nullptr);
  CHECK(stats.number("pid") == uint64_t{12});
  CHECK_FALSE(stats.number("version"));
  CHECK_FALSE(stats.number("nothing"));
  CHECK(stats.number_or_zero("nothing") == 0);
}

TEST_CASE("other rows than STAT are rows, and replies without any have none") {
  CHECK(*Stats::parse("PREFIX user get 2 hit 1\r\nEND\r\n").find("user") == "get 2 hit 1");
  for (const char* const reply : {"", "END\r\n", "RESET\r\n", "OK\r\n", "\r\n", "STAT"}) {
    CHECK(Stats::parse(reply).rows().empty());
  }
}

TEST_CASE("a whole number is digits and nothing else") {
  CHECK(whole_number("0") == uint64_t{0});
  CHECK(whole_number("18446744073709551615") == UINT64_MAX);
  for (const char* const text : {"", "-1", "+1", " 1", "1 ", "1.5", "18446744073709551616"}) {
    CHECK_FALSE(whole_number(text));
  }
}

TEST_CASE("there is no hit ratio where nothing was asked for") {
  CHECK_FALSE(hit_ratio(0, 0));
  CHECK(*hit_ratio(3, 1) == 0.75);
  CHECK(*hit_ratio(0, 1) == 0);
}
