#include "daemon/expiry.h"

#include <catch2/catch.hpp>

namespace larder::daemon {
namespace {

using core::kAlreadyExpired;
using core::kNever;
using proto::Dialect;

constexpr int64_t kUnixZero = 1700000000;
constexpr core::Seconds kNow = 1000;
constexpr int32_t kThirtyDays = 60 * 60 * 24 * 30;

core::Seconds text(int32_t exptime) {
  return expiry_from(exptime, Dialect::Classic, kNow, kUnixZero);
}

core::Seconds binary(uint32_t exptime) {
  return expiry_from(static_cast<int32_t>(exptime), Dialect::Binary, kNow, kUnixZero);
}

TEST_CASE("an exptime is never, relative, a unix time, or over") {
  CHECK(text(0) == kNever);
  CHECK(text(1) == kNow + 1);
  CHECK(text(kThirtyDays) == kNow + kThirtyDays);
  CHECK(text(kThirtyDays + 1) == kAlreadyExpired);  // in 1970
  CHECK(text(static_cast<int32_t>(kUnixZero + kNow + 60)) == kNow + 60);
  CHECK(text(static_cast<int32_t>(kUnixZero + kNow - 60)) == kNow - 60);
  CHECK(text(static_cast<int32_t>(kUnixZero)) == kAlreadyExpired);
  CHECK(text(INT32_MAX) == static_cast<core::Seconds>(INT32_MAX - kUnixZero));
  CHECK(text(-1) == kAlreadyExpired);
  CHECK(text(INT32_MIN) == kAlreadyExpired);
}

TEST_CASE("a binary exptime has no sign") {
  CHECK(binary(0) == kNever);
  CHECK(binary(5) == kNow + 5);
  CHECK(binary(0xffffffff) == static_cast<core::Seconds>(int64_t{0xffffffff} - kUnixZero));
}

TEST_CASE("a time to live is what is left") {
  CHECK(ttl_of(kNever, kNow) == -1);
  CHECK(ttl_of(kNow + 5, kNow) == 5);
  CHECK(ttl_of(kNow, kNow) == 0);
  CHECK(ttl_of(kAlreadyExpired, kNow) == int64_t{4294967295} - 998);
}

TEST_CASE("T, N, t and R act in the order in which they stand") {
  NewExpiries touch;
  touch.touch = true;
  touch.touch_expiry = 60;
  NewExpiries both = touch;
  both.created = true;
  both.vivify_expiry = 30;

  ExpirySteps steps = walk_expiry("v t T60 R30", 10, touch);
  CHECK(steps.at_ttl == 10);
  CHECK(steps.at_recache == 60);
  CHECK(steps.at_end == 60);
  steps = walk_expiry("R30 T60 t", 10, touch);
  CHECK(steps.at_recache == 10);
  CHECK(steps.at_ttl == 60);

  CHECK(walk_expiry("N30 T60", kNever, both).at_end == 60);
  CHECK(walk_expiry("T60 N30", kNever, both).at_end == 30);
  CHECK(walk_expiry("t N30", kNever, both).at_ttl == kNever);
  CHECK(walk_expiry("N30  t ", kNever, both).at_ttl == 30);

  // Only what begins a token is a flag, and without a change nothing changes.
  CHECK(walk_expiry("OT60 kN", 10, both).at_end == 10);
  CHECK(walk_expiry("T60 N30 t", 10, {}).at_end == 10);
  CHECK(walk_expiry("", 10, touch).at_end == 10);
}

}  // namespace
}  // namespace larder::daemon
