#include "tools/bench/values.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace larder::bench;

TEST_CASE("a value is its own at every part of it") {
  for (const uint32_t bytes : {0u, 1u, 7u, 8u, 9u, 100u}) {
    const Values values{Distribution(bytes)};
    const std::string text = values.text(5);
    REQUIRE(text.size() == bytes);
    for (size_t from = 0; from <= bytes; ++from) {
      for (size_t length = 0; from + length <= bytes; ++length) {
        REQUIRE(values.matches(5, from, text.data() + from, length));
      }
    }
  }
}

TEST_CASE("a value with any byte changed is not") {
  const Values values{Distribution(200)};
  std::string text = values.text(5);
  for (char& c : text) {
    c ^= 1;
    CHECK(!values.matches(5, 0, text.data(), text.size()));
    c ^= 1;
  }
}

TEST_CASE("values of different keys differ") {
  const Values values{Distribution(12)};
  std::set<std::string> seen;
  for (uint32_t n = 0; n < 100'000; ++n) seen.insert(values.text(n));
  CHECK(seen.size() == 100'000);
}

TEST_CASE("a large value whose parts have changed places is not itself") {
  constexpr size_t kPart = 64 * 1024;
  const Values values{Distribution(1'000'000)};
  std::string text = values.text(5);
  CHECK(values.matches(5, 0, text.data(), text.size()));
  CHECK(values.matches(5, 777'777, text.data() + 777'777, 222'223));
  for (size_t i = 0; i < kPart; ++i) std::swap(text[kPart + i], text[3 * kPart + i]);
  CHECK(!values.matches(5, 0, text.data(), text.size()));
}

TEST_CASE("a length line is the length of the value") {
  const Values values{Distribution::parse("uniform:0:1000000")};
  for (uint32_t n = 0; n < 1000; ++n) {
    REQUIRE(values.length_line(n) == std::to_string(values.bytes(n)) + "\r\n");
  }
}
