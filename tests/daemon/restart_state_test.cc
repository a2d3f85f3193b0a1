#include "daemon/restart_state.h"

#include <catch2/catch.hpp>

#include <string>

using larder::daemon::RestartState;

TEST_CASE("a restart state reads back as it was written") {
  const RestartState state{100, 1'700'000'000, 120, 90};
  const auto read = RestartState::from_bytes(state.to_bytes());
  REQUIRE(read);
  CHECK(read->now == 100);
  CHECK(read->unix_time == 1'700'000'000);
  CHECK(read->flush_when == 120);
  CHECK(read->flushed_at == 90);
}

TEST_CASE("a restart state that is cut, longer or of another format is none") {
  const std::string whole = RestartState{100, 1, 0, 0}.to_bytes();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    CHECK_FALSE(RestartState::from_bytes(whole.substr(0, bytes)));
  }
  CHECK_FALSE(RestartState::from_bytes(whole + "x"));
  std::string other = whole;
  other[0] = 99;
  CHECK_FALSE(RestartState::from_bytes(other));
  CHECK_FALSE(RestartState::from_bytes(RestartState{0, 1, 0, 0}.to_bytes()));
}
