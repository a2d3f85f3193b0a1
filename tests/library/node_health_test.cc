// NodeHealth: its steps, with the test's own clock and chance.
#include "tools/client/node_health.h"

#include <catch2/catch.hpp>

using larder::client::HealthOptions;
using larder::client::NodeHealth;
using larder::client::TimePoint;
using std::chrono::milliseconds;
using Admission = NodeHealth::Admission;

namespace {

constexpr HealthOptions kOptions{.failures_to_eject = 3,
                                 .first_ejection = milliseconds(100),
                                 .longest_ejection = milliseconds(350)};
const TimePoint kStart{std::chrono::hours(1)};

// Ejected at kStart without a jitter: until 100 ms later.
NodeHealth ejected() {
  NodeHealth health(kOptions);
  CHECK_FALSE(health.failed(kStart - milliseconds(7), 0));
  CHECK_FALSE(health.failed(kStart, 0));
  CHECK(health.failed(kStart, 0));
  return health;
}

}  // namespace

TEST_CASE("a node is ejected by failures in a row, and a success begins anew") {
  NodeHealth health(kOptions);
  for (int round = 0; round < 5; ++round) {
    CHECK_FALSE(health.failed(kStart, 0));
    CHECK_FALSE(health.failed(kStart, 0));
    CHECK(health.admit(kStart) == Admission::Use);
    health.succeeded();
  }
  CHECK_FALSE(health.failed(kStart, 0));
  CHECK_FALSE(health.failed(kStart, 0));
  CHECK(health.failed(kStart, 0));
  CHECK_FALSE(health.healthy());
  CHECK(health.admit(kStart) == Admission::Refuse);
}

TEST_CASE("an ejected node is refused until its time is up, and then one may try it") {
  NodeHealth health = ejected();
  CHECK(health.ejected_until() == kStart + milliseconds(100));
  CHECK(health.admit(kStart + milliseconds(99)) == Admission::Refuse);
  CHECK(health.admit(kStart + milliseconds(100)) == Admission::Probe);
  CHECK(health.admit(kStart + milliseconds(101)) == Admission::Refuse);
  CHECK(health.admit(kStart + milliseconds(9999)) == Admission::Refuse);
  health.probe_succeeded();
  CHECK(health.healthy());
  CHECK(health.admit(kStart + milliseconds(102)) == Admission::Use);
}

TEST_CASE("a probe that was not made leaves the node as it was, to be probed by the next caller") {
  NodeHealth health = ejected();
  REQUIRE(health.admit(kStart + milliseconds(100)) == Admission::Probe);
  health.probe_was_not_made();
  CHECK_FALSE(health.healthy());
  CHECK(health.ejected_until() == kStart + milliseconds(100));
  CHECK(health.admit(kStart + milliseconds(101)) == Admission::Probe);
}

TEST_CASE("a node is failing from its first failure until a success") {
  NodeHealth health(kOptions);
  CHECK_FALSE(health.is_failing());
  CHECK_FALSE(health.failed(kStart, 0));
  CHECK(health.is_failing());
  health.succeeded();
  CHECK_FALSE(health.is_failing());
  CHECK(ejected().is_failing());
}

TEST_CASE("what was under way when a node was ejected does not bring it back") {
  NodeHealth health = ejected();
  health.succeeded();
  CHECK(health.admit(kStart) == Admission::Refuse);
  CHECK_FALSE(health.failed(kStart + milliseconds(50), 0));
  CHECK(health.ejected_until() == kStart + milliseconds(100));
}

TEST_CASE("each failed probe ejects for twice as long, up to a bound") {
  NodeHealth health = ejected();
  TimePoint now = kStart;
  for (const int expected : {200, 350, 350, 350}) {
    now = health.ejected_until();
    REQUIRE(health.admit(now) == Admission::Probe);
    health.probe_failed(now, 0);
    CHECK(health.ejected_until() - now == milliseconds(expected));
  }
  REQUIRE(health.admit(health.ejected_until()) == Admission::Probe);
  health.probe_succeeded();
  for (int i = 0; i < 3; ++i) health.failed(now, 0);
  CHECK(health.ejected_until() - now == milliseconds(100));
}

TEST_CASE("chance shortens an ejection by up to a half") {
  NodeHealth health(kOptions);
  for (int i = 0; i < 3; ++i) health.failed(kStart, 0.5);
  CHECK(health.ejected_until() - kStart == milliseconds(75));
}

TEST_CASE("a node is away since the first failure after its last success") {
  CHECK(ejected().away_since() == kStart - milliseconds(7));
  NodeHealth health(kOptions);
  health.failed(kStart, 0);
  health.succeeded();
  for (int i = 0; i < 3; ++i) health.failed(kStart + milliseconds(i), 0);
  CHECK(health.away_since() == kStart);
  health.admit(health.ejected_until());
  health.probe_failed(health.ejected_until(), 0);
  CHECK(health.away_since() == kStart);
}
