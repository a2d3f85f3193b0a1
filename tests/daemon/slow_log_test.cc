#include "daemon/slow_log.h"

#include <catch2/catch.hpp>
#include <string>

namespace larder::daemon {
namespace {

TEST_CASE("the latest slow requests are kept, the latest first, and all are counted") {
  SlowLog slow;
  const size_t added = SlowLog::kKept + 10;
  for (size_t i = 1; i <= added; ++i) {
    slow.add({100, i, CommandKind::Get, 1, "k" + std::to_string(i)});
  }
  uint64_t total = 0;
  const std::vector<SlowRequest> latest = slow.latest(total);
  CHECK(total == added);
  REQUIRE(latest.size() == SlowLog::kKept);
  CHECK(latest.front().key == "k" + std::to_string(added));
  CHECK(latest.back().microseconds == 11);
  slow.clear();
  CHECK(slow.latest(total).empty());
  CHECK(total == 0);
}

}  // namespace
}  // namespace larder::daemon
