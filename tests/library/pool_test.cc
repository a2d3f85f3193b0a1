// ConnectionPool: which connection is taken, and which are kept.
#include "tools/client/pool.h"

#include <catch2/catch.hpp>

#include "tests/library/gate.h"
#include "tests/support/temp_server.h"

using namespace larder::client;
using namespace larder::test;

namespace {

constexpr std::chrono::milliseconds kLookAlways{0};
constexpr std::chrono::milliseconds kKept = std::chrono::hours(1);

Deadline soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(30); }

std::unique_ptr<Connection> taken_from(ConnectionPool& pool) {
  auto taken = pool.take(soon());
  REQUIRE(taken.ok());
  return std::move(*taken);
}

}  // namespace

TEST_CASE("the connection that was used last is taken first, and no more are kept than wanted") {
  TempServer server;
  ConnectionPool pool({"127.0.0.1", static_cast<uint16_t>(server.port()), {}}, {}, 2, kLookAlways,
                      kKept);
  CHECK(pool.take_idle() == nullptr);
  auto first = taken_from(pool);
  auto second = taken_from(pool);
  auto third = taken_from(pool);
  const Connection* last = second.get();
  pool.give_back(std::move(first));
  pool.give_back(std::move(second));
  pool.give_back(std::move(third));
  CHECK(pool.idle() == 2);
  CHECK(taken_from(pool).get() == last);
  pool.clear();
  CHECK(pool.idle() == 0);
}

TEST_CASE("a connection that failed or waits for an answer is not kept") {
  TempServer server;
  Gate gate(server.port());
  ConnectionPool pool({"127.0.0.1", static_cast<uint16_t>(gate.port()), {}}, {}, 8, kLookAlways,
                      kKept);
  auto failed = taken_from(pool);
  failed->fail({ErrorKind::Timeout, "by the test"});
  pool.give_back(std::move(failed));
  CHECK(pool.idle() == 0);

  gate.hold();
  auto waiting = taken_from(pool);
  const Operation noop{.verb = Verb::Noop};
  Answer answer;
  waiting->submit({&noop, 1}, {&answer, 1});
  waiting->advance(soon());
  pool.give_back(std::move(waiting));
  CHECK(pool.idle() == 0);
}

TEST_CASE("connections that went stale are passed over") {
  TempServer server;
  Gate gate(server.port());
  ConnectionPool pool({"127.0.0.1", static_cast<uint16_t>(gate.port()), {}}, {}, 8, kLookAlways,
                      kKept);
  auto first = taken_from(pool);
  auto second = taken_from(pool);
  pool.give_back(std::move(first));
  pool.give_back(std::move(second));
  gate.shut();
  CHECK(pool.take_idle() == nullptr);
  CHECK(pool.idle() == 0);
  const auto refused = pool.take(soon());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().kind == ErrorKind::Unreachable);
}

TEST_CASE("one that was in use a moment ago is not looked at") {
  TempServer server;
  Gate gate(server.port());
  ConnectionPool pool({"127.0.0.1", static_cast<uint16_t>(gate.port()), {}}, {}, 8,
                      std::chrono::hours(1), kKept);
  pool.give_back(taken_from(pool));
  gate.shut();
  CHECK(pool.take_idle() != nullptr);
}
