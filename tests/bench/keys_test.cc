#include "tools/bench/keys.h"

#include <catch2/catch.hpp>
#include <set>
#include <stdexcept>
#include <string>

using namespace larder::bench;

TEST_CASE("a key is a word, zeros and its number") {
  const Keys keys("key-", Distribution(20), 10'000);
  CHECK(keys.text(4711) == "key-0000000000004711");
  CHECK(keys.text(4'294'967'295) == "key-0000004294967295");
  CHECK(Keys("key-", Distribution(12), 100).text(42) == "ke0000000042");
  CHECK(Keys("key-", Distribution(250), 100).text(42).size() == 250);
}

TEST_CASE("short keys have as many digits as they hold") {
  CHECK(Keys("key-", Distribution(3), 100).text(42) == "k42");
  CHECK(Keys("key-", Distribution(10), 100).text(42) == "k000000042");
  CHECK_THROWS_AS(Keys("key-", Distribution(2), 100), std::invalid_argument);
  CHECK_THROWS_AS(Keys("key-", Distribution(251), 100), std::invalid_argument);
}

TEST_CASE("keys of any lengths differ") {
  for (const char* lengths : {"uniform:1:60", "5", "lognormal:30:0.5"}) {
    const Keys keys("key-", Distribution::parse(lengths), 10'000);
    std::set<std::string> seen;
    for (uint32_t n = 0; n < 10'000; ++n) {
      const std::string key = keys.text(n);
      REQUIRE(key.size() == keys.bytes(n));
      seen.insert(key);
    }
    CHECK(seen.size() == 10'000);
  }
}

TEST_CASE("digits are those of printf") {
  Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    const auto n = static_cast<uint32_t>(random.next() >> (random.next() % 64));
    char expected[32];
    std::snprintf(expected, sizeof expected, "%010u", n);
    char ten[10];
    write_ten_digits(ten, n);
    REQUIRE(std::string(ten, 10) == expected);
    char out[20];
    REQUIRE(std::string(out, write_decimal(out, n)) == std::to_string(n));
  }
  char out[20];
  CHECK(std::string(out, write_decimal(out, UINT64_MAX)) == "18446744073709551615");
}
