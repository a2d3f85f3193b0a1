// What may be tried again, and the pauses.
#include "tools/client/retry.h"

#include <catch2/catch.hpp>

using namespace larder::client;
using std::chrono::milliseconds;

namespace {

const Verb kChanging[] = {Verb::Set,     Verb::Add,     Verb::Replace,   Verb::Append,
                          Verb::Prepend, Verb::Delete,  Verb::Increment, Verb::Decrement,
                          Verb::Touch,   Verb::FlushAll};
const Verb kReading[] = {Verb::Get, Verb::Version, Verb::Noop};

Error of(ErrorKind kind) { return {kind, "a reason"}; }

}  // namespace

TEST_CASE("what was sent is repeated only if it changes nothing") {
  for (const ErrorKind kind : {ErrorKind::Timeout, ErrorKind::Closed}) {
    for (const Verb verb : kChanging) CHECK_FALSE(may_repeat({.verb = verb}, of(kind), true));
    for (const Verb verb : kReading) CHECK(may_repeat({.verb = verb}, of(kind), true));
  }
}

TEST_CASE("a get that touches, makes an item or may win is not repeated as a read is") {
  for (const Operation& get : {Operation{.touch = true}, Operation{.vivify_seconds = 10},
                               Operation{.recache_seconds = 1}}) {
    CHECK(changes_something(get));
    CHECK_FALSE(may_repeat(get, of(ErrorKind::Closed), true));
    CHECK(may_repeat(get, of(ErrorKind::Closed), false));
  }
}

TEST_CASE("what a server has turned away is repeated, whatever it is") {
  for (const Verb verb : kChanging) {
    CHECK(may_repeat({.verb = verb}, of(ErrorKind::Unreachable), true));
  }
}

TEST_CASE("what was not sent is repeated") {
  for (const Verb verb : kChanging) {
    CHECK(may_repeat({.verb = verb}, of(ErrorKind::Unreachable), false));
    CHECK(may_repeat({.verb = verb}, of(ErrorKind::Closed), false));
  }
}

TEST_CASE("what would fail again is not repeated") {
  for (const ErrorKind kind : {ErrorKind::BadRequest, ErrorKind::Denied, ErrorKind::Refused,
                               ErrorKind::TooLarge, ErrorKind::Protocol, ErrorKind::Ejected}) {
    CHECK_FALSE(may_repeat({.verb = Verb::Get}, of(kind), true));
    CHECK_FALSE(may_repeat({.verb = Verb::Get}, of(kind), false));
  }
}

TEST_CASE("pauses double, and chance takes up to a half") {
  CHECK(retry_pause(milliseconds(10), 1, 0) == milliseconds(10));
  CHECK(retry_pause(milliseconds(10), 2, 0) == milliseconds(20));
  CHECK(retry_pause(milliseconds(10), 3, 0) == milliseconds(40));
  CHECK(retry_pause(milliseconds(10), 3, 0.5) == milliseconds(30));
  CHECK(retry_pause(milliseconds(1), 4'000'000'000, 0) == milliseconds(1 << 16));
  for (int i = 0; i < 1000; ++i) {
    const double chance = any_chance();
    CHECK(chance >= 0);
    CHECK(chance < 1);
  }
}
