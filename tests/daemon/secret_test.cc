#include "daemon/secret.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "tests/support/mapping.h"

namespace larder::daemon {
namespace {

using test::flags_of_mapping;

TEST_CASE("secret memory begins as zeros and is left out of core files") {
  SecretBytes secret(10'000);
  REQUIRE(secret.bytes().size() == 10'000);
  CHECK(std::all_of(secret.bytes().begin(), secret.bytes().end(), [](char c) { return c == 0; }));
  CHECK(flags_of_mapping(secret.bytes().data()).find(" dd ") != std::string::npos);
  const std::string ordinary(10'000, 'x');
  CHECK(flags_of_mapping(ordinary.data()).find(" dd ") == std::string::npos);
}

TEST_CASE("secret memory moves with its owner and goes with it") {
  SecretBytes first(100);
  first.bytes()[0] = 'a';
  const char* const at = first.bytes().data();
  SecretBytes second(std::move(first));
  CHECK(first.bytes().empty());
  CHECK(second.bytes().data() == at);
  SecretBytes third(5000);
  third = std::move(second);
  CHECK(third.bytes().data() == at);
  CHECK(third.bytes()[0] == 'a');
  CHECK(SecretBytes(0).bytes().empty());
  {
    const SecretBytes gone = std::move(third);
    CHECK(flags_of_mapping(at).find(" dd ") != std::string::npos);
  }
  CHECK(flags_of_mapping(at).find(" dd ") == std::string::npos);
}

TEST_CASE("what is wiped reads as zeros, and nothing beside it") {
  std::string text = "keep secret keep";
  wipe(std::span(text).subspan(5, 6));
  const std::string_view wiped("keep \0\0\0\0\0\0 keep", 16);
  CHECK(text == wiped);
}

}  // namespace
}  // namespace larder::daemon
