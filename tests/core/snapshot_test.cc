#include "core/snapshot.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace larder::core;

TEST_CASE("what was written is read back in the same order") {
  SnapshotWriter out;
  out.add(uint32_t{7});
  out.add_text("name");
  out.add_array(std::vector<uint16_t>{1, 2, 3});
  out.add_array(std::vector<uint16_t>{});
  const double numbers[2] = {0.5, 1.5};
  out.add_array(numbers, 2);

  SnapshotReader in(out.bytes());
  CHECK(in.get<uint32_t>() == 7);
  CHECK(in.get_text() == "name");
  std::vector<uint16_t> values;
  REQUIRE(in.read_array(values));
  CHECK(values == std::vector<uint16_t>{1, 2, 3});
  REQUIRE(in.read_array(values));
  CHECK(values.empty());
  CHECK_FALSE(in.at_end());
  double read[2] = {};
  REQUIRE(in.read_array(read, 2));
  CHECK(read[1] == 1.5);
  CHECK(in.at_end());
}

TEST_CASE("a reader never goes beyond the end, and an impossible number is not believed") {
  // As the number of an array: times 8 it wraps to a number that is large, to 0 and to 8.
  const uint64_t number = GENERATE(UINT64_MAX / 2, uint64_t{1} << 61, (uint64_t{1} << 61) + 1);
  SnapshotWriter out;
  out.add(number);
  out.add(uint32_t{9});
  for (size_t bytes = 0; bytes <= out.bytes().size(); ++bytes) {
    const std::string cut = out.bytes().substr(0, bytes);
    SnapshotReader in(cut);
    std::vector<uint64_t> values{5};
    CHECK_FALSE(in.read_array(values));
    CHECK(values == std::vector<uint64_t>{5});
    CHECK_FALSE(in.ok());
    uint32_t untouched = 3;
    CHECK_FALSE(in.read(untouched));
    CHECK(untouched == 3);
    CHECK_FALSE(in.at_end());
  }
  SnapshotReader in(out.bytes());
  uint32_t two[2] = {};
  CHECK_FALSE(in.read_array(two, 2));
}
