#include "daemon/restart_state.h"

#include <catch2/catch.hpp>

#include <string>

using larder::daemon::RestartState;

TEST_CASE("a restart state reads back as it was written") {
  const RestartState state{100, 1'700'000'000, 120, 90, 1'000'000'007, 12};
  const auto read = RestartState::from_bytes(state.to_bytes());
  REQUIRE(read);
  CHECK(read->now == 100);
  CHECK(read->unix_time == 1'700'000'000);
  CHECK(read->flush_when == 120);
  CHECK(read->flushed_at == 90);
  CHECK(read->incarnation == 1'000'000'007);
  CHECK(read->list_version == 12);
}

TEST_CASE("a restart state that is cut, longer or of another format is none") {
  const std::string whole = RestartState{100, 1, 0, 0, 0, 0}.to_bytes();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    CHECK_FALSE(RestartState::from_bytes(whole.substr(0, bytes)));
  }
  CHECK_FALSE(RestartState::from_bytes(whole + "x"));
  std::string other = whole;
  other[0] = 99;
  CHECK_FALSE(RestartState::from_bytes(other));
  CHECK_FALSE(RestartState::from_bytes(RestartState{0, 1, 0, 0, 0, 0}.to_bytes()));
}

TEST_CASE("a restart state of the format before the last one knows no list") {
  std::string older = RestartState{100, 1, 0, 90, 5, 6}.to_bytes();
  older.resize(older.size() - 2 * sizeof(uint64_t));
  older[0] = 1;
  const auto read = RestartState::from_bytes(older);
  REQUIRE(read);
  CHECK(read->flushed_at == 90);
  CHECK(read->incarnation == 0);
  CHECK(read->list_version == 0);
}
