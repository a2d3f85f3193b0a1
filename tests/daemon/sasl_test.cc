#include "daemon/sasl.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/support/sasl_setup.h"

namespace larder::daemon {
namespace {

using Status = SaslExchange::Status;
using test::SaslSetup;

TEST_CASE("the mechanisms of the configuration are listed") {
  const SaslSetup setup;
  const Sasl sasl;
  const auto exchange = SaslExchange::make(sasl);
  REQUIRE(exchange != nullptr);
  std::string_view names;
  REQUIRE(exchange->list_mechanisms(names));
  CHECK((names == "PLAIN CRAM-MD5" || names == "CRAM-MD5 PLAIN"));
}

TEST_CASE("a good password is the end of an exchange, a bad one its failure") {
  const SaslSetup setup;
  const Sasl sasl;
  const auto exchange = SaslExchange::make(sasl);
  CHECK(exchange->start("PLAIN", SaslSetup::plain("foo", "baz")).status == Status::Failed);
  CHECK(exchange->start("PLAIN", SaslSetup::plain("nobody", "bar")).status == Status::Failed);
  CHECK(exchange->start("PLAIN", "nonsense").status == Status::Failed);
  CHECK(exchange->start("NOPE", "").status == Status::Failed);
  CHECK(exchange->start("PLAIN", SaslSetup::plain("foo", "bar")).status == Status::Done);
  // And all over again, with the same object.
  CHECK(exchange->start("PLAIN", SaslSetup::plain("foo", "baz")).status == Status::Failed);
  CHECK(exchange->start("PLAIN", SaslSetup::plain("foo", "bar")).status == Status::Done);
}

TEST_CASE("an exchange goes on in steps, which need a beginning") {
  const SaslSetup setup;
  const Sasl sasl;
  const auto exchange = SaslExchange::make(sasl);
  CHECK(exchange->step(SaslSetup::plain("foo", "bar")).status == Status::Failed);
  CHECK(exchange->start("PLAIN", "").status == Status::Continue);
  CHECK(exchange->step(SaslSetup::plain("foo", "bar")).status == Status::Done);
  CHECK(exchange->step(SaslSetup::plain("foo", "bar")).status == Status::Failed);

  const SaslExchange::Result asked = exchange->start("CRAM-MD5", "");
  CHECK(asked.status == Status::Continue);
  CHECK(asked.challenge.starts_with("<"));
  CHECK(exchange->step("foo 00112233445566778899aabbccddeeff").status == Status::Failed);
}

TEST_CASE("each client's exchange is its own") {
  const SaslSetup setup;
  const Sasl sasl;
  const auto one = SaslExchange::make(sasl);
  const auto other = SaslExchange::make(sasl);
  CHECK(one->start("PLAIN", "").status == Status::Continue);
  CHECK(other->step(SaslSetup::plain("foo", "bar")).status == Status::Failed);
  CHECK(one->step(SaslSetup::plain("foo", "bar")).status == Status::Done);
}

}  // namespace
}  // namespace larder::daemon
