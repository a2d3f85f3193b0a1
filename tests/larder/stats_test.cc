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

TEST_CASE("of rows of one name the first counts") {
  const Stats stats = Stats::parse("STAT a 1\r\nSTAT b 2\r\nSTAT a 3\r\nEND\r\n");
  CHECK(stats.rows().size() == 2);
  CHECK(stats.number("a") == uint64_t{1});
}

TEST_CASE("more rows than are taken are cut, and that is told") {
  std::string text;
  for (size_t i = 0; i <= Stats::kMostRows; ++i) text += "STAT n" + std::to_string(i) + " 1\r\n";
  const Stats stats = Stats::parse(text);
  CHECK(stats.rows().size() == Stats::kMostRows);
  CHECK(stats.is_cut());
  CHECK(stats.number("n" + std::to_string(Stats::kMostRows - 1)) == uint64_t{1});
  CHECK_FALSE(Stats::parse("STAT a 1\r\n").is_cut());
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
