#include "core/decimal.h"

#include <catch2/catch.hpp>

#include <optional>
#include <string>

using namespace larder::core;

namespace {

std::optional<uint64_t> parse(std::string_view text) {
  uint64_t n = 0;
  return parse_number(text, n) ? std::optional<uint64_t>(n) : std::nullopt;
}

}  // namespace

TEST_CASE("numbers are read as memcached reads them") {
  CHECK(parse("0") == 0);
  CHECK(parse("18446744073709551615") == UINT64_MAX);
  CHECK(parse(" 5") == 5);
  CHECK(parse("5 6") == 5);
  CHECK(parse("+7") == 7);
  CHECK(parse(std::string_view("5\0x", 3)) == 5);
  CHECK(parse("-0") == 0);
}

TEST_CASE("what is not a number is refused") {
  CHECK_FALSE(parse(""));
  CHECK_FALSE(parse(" "));
  CHECK_FALSE(parse("\tX"));
  CHECK_FALSE(parse(" -"));
  CHECK_FALSE(parse("abc"));
  CHECK_FALSE(parse("5x"));
  CHECK_FALSE(parse("-1"));
  CHECK_FALSE(parse("18446744073709551616"));
  CHECK_FALSE(parse("99999999999999999999999"));
}

TEST_CASE("what is written reads the same") {
  for (const uint64_t n : {uint64_t{0}, uint64_t{9}, uint64_t{10}, uint64_t{12345}, UINT64_MAX}) {
    char digits[20];
    const uint32_t count = write_decimal(n, digits);
    CHECK(std::string(digits, count) == std::to_string(n));
  }
}
