#include "tools/larder/shown_text.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

TEST_CASE("text without control characters stays as it is") {
  for (const char* const text : {"", "plain, 100%", "\xc3\xa9 \xed\x95\x9c\xea\xb8\x80", "\xc2\xa0",
                                 "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(shown(text) == text);
  }
}

TEST_CASE("control characters become codes") {
  CHECK(shown("\x1b]0;PWNED\x07red") == "%1B]0;PWNED%07red");
  CHECK(shown(std::string_view("\0\x7f\r", 3)) == "%00%7F%0D");
  CHECK(shown("\xc2\x9b"
              "31m") == "%C2%9B31m");  // CSI, as UTF-8
  CHECK(shown("\x9b"
              "31m\xc2\x80\xc2\x9f") == "%9B31m%C2%80%C2%9F");  // and as one byte
  for (int byte = 0; byte < 0x20; ++byte) {
    CHECK(shown(std::string(1, static_cast<char>(byte))).size() == 3);
  }
}

TEST_CASE("bytes that are no UTF-8 become codes") {
  CHECK(shown("\xff"
              "a\xc3") == "%FFa%C3");
  CHECK(shown("\xc0\x9b") == "%C0%9B");                // overlong
  CHECK(shown("\xe0\x82\x9b") == "%E0%82%9B");         // likewise
  CHECK(shown("\xed\xa0\x80") == "%ED%A0%80");         // a surrogate
  CHECK(shown("\xf4\x90\x80\x80") == "%F4%90%80%80");  // above U+10FFFF
  CHECK(shown("\xe2\x82"
              "a") == "%E2%82a");
}

TEST_CASE("lines keep their ends and their tabs, and nothing else") {
  CHECK(shown("a\tb\n") == "a%09b%0A");
  CHECK(shown_lines("a\tb\r\n\x1b") == "a\tb%0D\n%1B");
}
