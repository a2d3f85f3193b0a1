#include "proto/put.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "proto/limits.h"

using namespace larder::proto;

TEST_CASE("numbers are spelled in decimal") {
  const auto spell = [](uint64_t value) {
    char digits[kDigits64];
    return std::string(digits, static_cast<size_t>(put_number(digits, value) - digits));
  };
  CHECK(spell(0) == "0");
  for (uint64_t power = 1;; power *= 10) {
    for (const uint64_t value : {power - 1, power, power + 1, power * 7 / 3}) {
      CHECK(spell(value) == std::to_string(value));
    }
    if (power == 10000000000000000000u) break;
  }
  CHECK(spell(UINT64_MAX) == "18446744073709551615");
}

TEST_CASE("short pieces of every length are copied whole and nothing beyond") {
  for (size_t size = 0; size <= 260; ++size) {
    const auto in = std::make_unique<char[]>(size);  // exact: a sanitizer sees what is read
    for (size_t i = 0; i < size; ++i) in[i] = static_cast<char>('a' + i % 26);
    std::string out(size + 8, '.');
    CHECK(put_short(out.data(), {in.get(), size}) == out.data() + size);
    CHECK(out == std::string(in.get(), size) + "........");
  }
}

TEST_CASE("constants are put without their NUL") {
  std::string out(8, '.');
  CHECK(put(put(out.data(), "VA "), 'x') == out.data() + 4);
  CHECK(out == "VA x....");
}
