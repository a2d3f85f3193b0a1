#include "proto/base64.h"

#include <catch2/catch.hpp>
#include <string>

using namespace larder::proto;

namespace {

std::string encode(std::string_view bytes) {
  std::string text(base64_encoded_bytes(bytes.size()), '?');
  char* const end = base64_encode(bytes, text.data());
  CHECK(end == text.data() + text.size());
  return text;
}

// Empty for what is refused; nothing decodes to that.
std::string decode(std::string text) {
  const size_t bytes = base64_decode_in_place(text.data(), text.size());
  return text.substr(0, bytes);
}

}  // namespace

TEST_CASE("base64 follows the examples of RFC 4648") {
  CHECK(encode("f") == "Zg==");
  CHECK(encode("fo") == "Zm8=");
  CHECK(encode("foo") == "Zm9v");
  CHECK(encode("foob") == "Zm9vYg==");
  CHECK(encode("fooba") == "Zm9vYmE=");
  CHECK(encode("foobar") == "Zm9vYmFy");
  CHECK(encode("") == "");
}

TEST_CASE("what is encoded decodes to itself, in place") {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    CHECK(decode(encode(bytes)) == bytes);
    bytes += static_cast<char>(i * 37 + 11);
  }
}

TEST_CASE("base64 that does not come in fours, or is padding, is refused") {
  CHECK(decode("") == "");
  CHECK(decode("Z") == "");
  CHECK(decode("Zm8") == "");
  CHECK(decode("!!!!") == "");
  CHECK(decode("====") == "");
  CHECK(decode("Z===") == "");
}

TEST_CASE("strange characters are skipped and the first padding ends the key") {
  CHECK(decode("Z!m 9\nv") == "foo");
  CHECK(decode("Zg==Zm9v") == "f");
  CHECK(decode("Z=9v") == std::string("d\x0f", 2));
}
