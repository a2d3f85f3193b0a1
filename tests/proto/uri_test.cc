#include "proto/uri.h"

#include <catch2/catch.hpp>
#include <string>

using namespace larder::proto;

namespace {

std::string encode(std::string_view bytes) {
  std::string text(kUriBytesPerByte * bytes.size(), '?');
  text.resize(static_cast<size_t>(put_uri(text.data(), bytes) - text.data()));
  return text;
}

}  // namespace

TEST_CASE("letters, digits and four signs stand for themselves, other bytes are escaped") {
  const std::string plain = "azAZ09-._~";
  CHECK(encode(plain) == plain);
  CHECK(encode("a:b/c%d") == "a%3Ab%2Fc%25d");
  CHECK(encode(std::string_view("\0\n\xff", 3)) == "%00%0A%FF");
  CHECK(encode("") == "");
}

TEST_CASE("every byte is either itself or three characters") {
  size_t plain = 0;
  for (int c = 0; c < 256; ++c) {
    const std::string text = encode(std::string(1, static_cast<char>(c)));
    CHECK((text.size() == 1 || (text.size() == 3 && text[0] == '%')));
    plain += text.size() == 1;
  }
  CHECK(plain == 26 + 26 + 10 + 4);
}
