// get_or_compute: one computes, the others get its value, the old one, or an answer in time.
#include <atomic>
#include <catch2/catch.hpp>
#include <stdexcept>
#include <thread>

#include "tests/library/fleet_support.h"
#include "tests/library/gate.h"
#include "tests/library/misbehaving_server.h"
#include "tests/support/temp_server.h"
#include "tools/client/client.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;
using From = Computed::From;

namespace {

Compute giving(const std::string& value) {
  return [value]() -> Result<std::string> { return value; };
}

Result<std::string> fails() { return Error{ErrorKind::Refused, "the database is away"}; }

// Fails the test if it is called.
Result<std::string> never() { throw std::logic_error("it was computed"); }

const ComputeOptions kPatient{.wait = std::chrono::seconds(60), .look = milliseconds(1)};

}  // namespace

TEST_CASE("eight threads want a value and one computes it") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  std::atomic<int> computed = 0;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int key = 0; key < 20; ++key) {
        const std::string name = "k" + std::to_string(key);
        const auto got = cache->get_or_compute(
            name, 100,
            [&]() -> Result<std::string> {
              ++computed;
              std::this_thread::sleep_for(milliseconds(5));  // so that the others have to wait
              return name + "!";
            },
            kPatient);
        if (got.ok() && got->value == name + "!" && !got->not_stored) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(computed == 20);
  CHECK(right == 8 * 20);
}

TEST_CASE("a value says where it is from") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  auto got = cache->get_or_compute("k", 100, giving("v"), {.client_flags = 5});
  REQUIRE(got.ok());
  CHECK(got->from == From::Anew);
  CHECK_FALSE(got->not_stored);
  got = cache->get_or_compute("k", 100, never);
  REQUIRE(got.ok());
  CHECK(got->from == From::Cache);
  CHECK(got->value == "v");
  CHECK((*cache->get("k"))->client_flags == 5);
  server.advance(101);
  got = cache->get_or_compute("k", 100, giving("w"));
  REQUIRE(got.ok());
  CHECK(got->from == From::Anew);
}

TEST_CASE("a compute that fails, or throws, lets the next one win") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  const auto failed = cache->get_or_compute("k", 100, fails);
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().text == "the database is away");
  CHECK_THROWS_AS(static_cast<void>(cache->get_or_compute("k", 100, never)), std::logic_error);
  const auto got = cache->get_or_compute("k", 100, giving("v"), {.wait = milliseconds(0)});
  REQUIRE(got.ok());
  CHECK(got->from == From::Anew);
}

TEST_CASE("who waits for somebody else's value waits with a bound") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  std::optional<Result<Computed>> other;
  const auto got = cache->get_or_compute("k", 100, [&]() -> Result<std::string> {
    other =
        cache->get_or_compute("k", 100, never, {.wait = milliseconds(20), .look = milliseconds(1)});
    return std::string("v");
  });
  REQUIRE(got.ok());
  REQUIRE(other);
  REQUIRE_FALSE(other->ok());
  CHECK(other->error().kind == ErrorKind::Timeout);
}

TEST_CASE("a win that gets lost with its reply is waited for by nobody") {
  TempServer server;
  MisbehavingServer between(server.port(), Dialect::Meta);
  ClientOptions options = options_for({between.port()});
  options.request_timeout = milliseconds(100);
  const auto cache = make_client(options);
  between.spoil(Fault::Lose, 0);
  auto got = cache->get_or_compute("k", 100, giving("alone"), kPatient);
  REQUIRE(got.ok());
  CHECK(got->value == "alone");
  CHECK(got->not_stored);
  // The empty item of the lost win is deleted first.
  got = cache->get_or_compute("k", 100, giving("v"), {.wait = milliseconds(0)});
  REQUIRE(got.ok());
  CHECK(got->value == "v");
  CHECK_FALSE(got->not_stored);
}

TEST_CASE("without versions nothing is stored over something newer") {
  larder::daemon::Settings settings = loopback_settings();
  settings.cas = false;
  TempServer server(settings);
  const auto cache = make_client(options_for({server.port()}));
  const auto got = cache->get_or_compute("k", 100, [&]() -> Result<std::string> {
    REQUIRE(cache->set("k", "newer").ok());
    return std::string("old");
  });
  REQUIRE(got.ok());
  CHECK(got->value == "old");
  REQUIRE(got->not_stored);
  CHECK(got->not_stored->kind == ErrorKind::BadRequest);
  CHECK(value_of(cache->get("k")) != "old");
}

TEST_CASE("a value that no server would take leaves no empty item") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  const auto got = cache->get_or_compute(
      "k", 100, [] { return Result<std::string>(std::string(size_t{1} << 31, 'x')); });
  REQUIRE(got.ok());
  REQUIRE(got->not_stored);
  CHECK(is_miss(cache->get("k")));
}

TEST_CASE("who waits does so for longer than a winner may take, if not told otherwise") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  const Operation win{.verb = Verb::Get, .key = "k", .vivify_seconds = 1};
  Answer won;
  cache->run({&win, 1}, {&won, 1});
  REQUIRE(won.won);
  const auto got = cache->get_or_compute("k", 100, giving("v"), {.compute_seconds = 1});
  REQUIRE(got.ok());
  CHECK(got->value == "v");
}

TEST_CASE("a winner that never stores is followed by another one in time") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  const auto got = cache->get_or_compute("k", 100,
                                         [&]() -> Result<std::string> {
                                           server.advance(11);
                                           const auto second =
                                               cache->get_or_compute("k", 100, giving("second"));
                                           REQUIRE(second.ok());
                                           CHECK(second->from == From::Anew);
                                           return std::string("first");
                                         },
                                         {.compute_seconds = 10});
  REQUIRE(got.ok());
  CHECK(got->value == "first");
  // The version that the first was given is gone: the second's value stays.
  CHECK(value_of(cache->get("k")) == "second");
}

TEST_CASE("what was deleted while it was computed is not stored") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  const auto got = cache->get_or_compute("k", 100, [&]() -> Result<std::string> {
    CHECK(says(cache->remove("k"), Outcome::Done));
    return std::string("old");
  });
  REQUIRE(got.ok());
  CHECK(got->value == "old");
  CHECK_FALSE(got->not_stored);
  CHECK(is_miss(cache->get("k")));
}

TEST_CASE("a value that is about to expire is refreshed by one, and the others go on with it") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  REQUIRE(says(cache->set("k", "v", {.exptime = 100}), Outcome::Done));
  const ComputeOptions options{.refresh_seconds = 30};
  CHECK(cache->get_or_compute("k", 100, never, options)->from == From::Cache);
  server.advance(80);
  const auto got = cache->get_or_compute(
      "k", 100,
      [&]() -> Result<std::string> {
        const auto other = cache->get_or_compute("k", 100, never, options);
        REQUIRE(other.ok());
        CHECK(other->value == "v");
        return std::string("w");
      },
      options);
  REQUIRE(got.ok());
  CHECK(got->value == "w");
  CHECK(value_of(cache->get("k")) == "w");
}

TEST_CASE("a refresh that fails leaves the old value to the others and the win to the next") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  REQUIRE(says(cache->set("k", "v", {.exptime = 20}), Outcome::Done));
  const ComputeOptions options{.refresh_seconds = 30};
  CHECK_FALSE(cache->get_or_compute("k", 100, fails, options).ok());
  const auto got = cache->get_or_compute(
      "k", 100,
      [&]() -> Result<std::string> {
        const auto other = cache->get_or_compute("k", 100, never, options);
        REQUIRE(other.ok());
        CHECK(other->from == From::Stale);
        CHECK(other->value == "v");
        return std::string("w");
      },
      options);
  REQUIRE(got.ok());
  CHECK(got->from == From::Anew);
}

TEST_CASE("an invalidated value is served to the others while one computes, if they take it") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  const auto invalidate = [&] {
    const Operation operation{.verb = Verb::Delete, .key = "k", .exptime = 50, .invalidate = true};
    Answer answer;
    cache->run({&operation, 1}, {&answer, 1});
    REQUIRE(answer.outcome == Outcome::Done);
  };
  REQUIRE(says(cache->set("k", "v"), Outcome::Done));
  invalidate();
  const auto got = cache->get_or_compute("k", 100, [&]() -> Result<std::string> {
    const auto other = cache->get_or_compute("k", 100, never);
    REQUIRE(other.ok());
    CHECK(other->from == From::Stale);
    CHECK(other->value == "v");
    const auto strict =
        cache->get_or_compute("k", 100, never, {.accept_stale = false, .wait = milliseconds(5)});
    CHECK_FALSE(strict.ok());
    return std::string("w");
  });
  CHECK(got.ok());
  CHECK(value_of(cache->get("k")) == "w");

  // Failures do not prolong what is stale.
  invalidate();
  CHECK_FALSE(cache->get_or_compute("k", 100, fails).ok());
  CHECK(is_miss(cache->get("k")));
}

TEST_CASE("without its node a value is computed alone, or not at all") {
  TempServer server;
  Gate gate(server.port());
  const auto cache = make_client(quick(options_for({gate.port()})));
  gate.shut();
  const auto got = cache->get_or_compute("k", 100, giving("v"));
  REQUIRE(got.ok());
  CHECK(got->value == "v");
  CHECK(got->not_stored);
  CHECK_FALSE(cache->get_or_compute("k", 100, never, {.compute_without_cache = false}).ok());
}

TEST_CASE("an empty value is a value") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  CHECK(cache->get_or_compute("k", 100, giving("")).ok());
  const auto got = cache->get_or_compute("k", 100, never);
  REQUIRE(got.ok());
  CHECK(got->from == From::Cache);
  CHECK(got->value.empty());
}

TEST_CASE("get_or_compute needs the dialect meta") {
  TempServer server;
  ClientOptions options = options_for({server.port()});
  options.connection.dialect = Dialect::Classic;
  const auto cache = make_client(options);
  const auto got = cache->get_or_compute("k", 100, never);
  REQUIRE_FALSE(got.ok());
  CHECK(fails_with(got, ErrorKind::BadRequest));
}
