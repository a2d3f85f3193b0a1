#include "tools/bench/rows.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace larder::bench;

TEST_CASE("a server is warmed up over its keys several times, within bounds") {
  Workload workload;
  CHECK(warmup_operations(workload) == 50'000);
  workload.keys = kManyItems;
  CHECK(warmup_operations(workload) == 200'000);
  workload.keys = uint64_t{1} << 32;
  CHECK(warmup_operations(workload) == 200'000);
  workload.keys = 40;
  workload.value_bytes = Distribution(1'000'000);
  CHECK(warmup_operations(workload) == 200);
  workload.keys = 10'000;
  CHECK(warmup_operations(workload) == 268);
  workload.keys = 1;
  workload.pipeline = 32;
  CHECK(warmup_operations(workload) == 32);
}

TEST_CASE("the rows of 10 M items are those with many items") {
  const auto rows = comparison_rows();
  CHECK(std::count_if(rows.begin(), rows.end(), [](const Row& row) { return row.many_items(); }) ==
        2);
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CHECK(row.many_items() == row.name.ends_with("10 M items"));
  }
}
