#include "tools/client/request_number.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <set>
#include <string>

using namespace larder::client;

TEST_CASE("opaques of one connection differ, those of neighbours in the last digit, too") {
  constexpr size_t kNeighbours = 28;
  constexpr uint32_t kCount = 10'000;
  for (const Dialect dialect : {Dialect::Meta, Dialect::Binary}) {
    for (const uint32_t first : {0u, ~kCount}) {
      std::set<std::string> all;
      std::string last_digits;
      for (uint32_t i = 0; i < kCount; ++i) {
        const RequestNumber number(dialect, first + i);
        all.emplace(number.opaque());
        last_digits += number.opaque().back();
      }
      CHECK(all.size() == kCount);
      size_t same = 0;
      for (size_t i = 1; i < kCount; ++i) {
        const size_t before = last_digits.rfind(last_digits[i], i - 1);
        same += before != std::string::npos && i - before <= kNeighbours ? 1 : 0;
      }
      CHECK(same == 0);
    }
  }
}
