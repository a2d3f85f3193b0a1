#include "tools/larder/text_table.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

TEST_CASE("columns are as wide as their widest word, and lines end without blanks") {
  TextTable table;
  table.columns = {{"node", true}, {"n"}, {"word", true}};
  table.rows = {{"a", "100", "x"}, {"longer", "1", ""}};
  CHECK(table.text() ==
        "node      n  word\n"
        "a       100  x\n"
        "longer    1\n");
}

TEST_CASE("short figures have five characters or fewer, and are near the figure") {
  CHECK(short_figure(0) == "0");
  CHECK(short_figure(9999.4) == "9999");
  CHECK(short_figure(9999.6) == "10.0k");
  CHECK(short_figure(12'345) == "12.3k");
  CHECK(short_figure(99'960) == "100k");
  CHECK(short_figure(999'499) == "999k");
  CHECK(short_figure(999'500) == "1.00M");
  CHECK(short_figure(4'560'000) == "4.56M");
  CHECK(short_figure(123e9) == "123G");
  CHECK(short_figure(1e30) == ">999P");
  for (double figure = 1; figure < 1e21; figure *= 1.37) {
    CAPTURE(figure);
    CHECK(short_figure(figure).size() <= 5);
  }
}

TEST_CASE("bytes and ages have the unit that is of use") {
  CHECK(bytes_text(0) == "0 B");
  CHECK(bytes_text(1023) == "1023 B");
  CHECK(bytes_text(1536) == "1.5 KiB");
  CHECK(bytes_text(64u << 20) == "64.0 MiB");
  CHECK(bytes_text(UINT64_MAX) == "16777216.0 TiB");
  CHECK(age_text(119) == "119 s");
  CHECK(age_text(120) == "2 min");
  CHECK(age_text(7200) == "2 h");
  CHECK(age_text(172'800) == "2 d");
}

TEST_CASE("words of a table have nothing that a terminal obeys, and keep their columns") {
  TextTable table;
  table.columns = {{"name", true}, {"n"}};
  table.rows = {{"a\x1b[31m", "1"}, {"b\n", "22"}};
  CHECK(table.text() ==
        "name       n\n"
        "a%1B[31m   1\n"
        "b%0A      22\n");
}
