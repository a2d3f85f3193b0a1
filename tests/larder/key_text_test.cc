#include "tools/larder/key_text.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

TEST_CASE("a key comes back from its text with every byte") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const std::string& key : {all, std::string("a b"), std::string("a%20b"), std::string("%"),
                                 std::string("-x"), std::string("\xc3\xa9\xc2\x9b\xff")}) {
    CHECK(decoded_key(encoded_key(key)) == key);
  }
}

TEST_CASE("keys that differ have texts that differ") {
  CHECK(encoded_key("a b") == "a%20b");
  CHECK(encoded_key("a%20b") == "a%2520b");
}

TEST_CASE("a key's text is a word that neither shells, xargs nor terminals change") {
  CHECK(encoded_key("user:42/{x}\xc3\xa9") == "user:42/{x}\xc3\xa9");
  CHECK(encoded_key(std::string_view("a b\n\0\x7f", 6)) == "a%20b%0A%00%7F");
  CHECK(encoded_key("-a-b") == "%2Da-b");
  CHECK(encoded_key("'\"\\") == "%27%22%5C");
  CHECK(encoded_key("\xc2\x9b"
                    "31m") == "%C2%9B31m");
}

TEST_CASE("a % without two digits is no text of a key") {
  for (const char* const text : {"%", "a%2", "%2g", "%g2", "a%%20"}) {
    CAPTURE(text);
    CHECK_FALSE(decoded_key(text));
  }
  CHECK(decoded_key("%c3%A9") == "\xc3\xa9");
  CHECK(decoded_key("") == "");
}
