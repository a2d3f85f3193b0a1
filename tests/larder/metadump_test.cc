#include "tools/larder/metadump.h"

#include <catch2/catch.hpp>

using namespace larder::operate;

TEST_CASE("a line of a metadump has key, expiry, last use and size") {
  const auto key = parse_metadump(
      "key=user%3A42 exp=1795718825 la=1795718725 cas=2 fetch=no cls=2 size=28 flags=5 ");
  REQUIRE(key);
  CHECK(key->key == "user:42");
  CHECK(key->expires == 1795718825);
  CHECK(key->last_used == 1795718725);
  CHECK(key->size == 28);
  const auto endless = parse_metadump("key=a exp=-1 la=1 cas=1 fetch=yes cls=1 size=67");
  REQUIRE(endless);
  CHECK(endless->expires == -1);
}

TEST_CASE("a key comes out with every byte that it had") {
  std::string bytes;
  std::string text = "key=";
  for (int byte = 0; byte < 256; ++byte) {
    bytes += static_cast<char>(byte);
    char code[4];
    std::snprintf(code, sizeof(code), byte % 2 == 0 ? "%%%02X" : "%%%02x", byte);
    text += code;
  }
  const auto key = parse_metadump(text + " exp=0 la=0 size=1");
  REQUIRE(key);
  CHECK(key->key == bytes);
}

TEST_CASE("what is no line of a metadump is none, wherever it ends") {
  for (const char* const line :
       {"", "END", "key=", "key= size=1", "key=a%", "key=a%4", "key=a%4x", "key=%g0 exp=1",
        "key=a exp=x", "key=a exp=", "key=a exp=99999999999999999999", "key=a la=1y",
        "key=a size=-1", "exp=1 la=1 size=1", "BUSY currently processing crawler request"}) {
    CAPTURE(line);
    CHECK_FALSE(parse_metadump(line));
  }
  CHECK(parse_metadump("key=a exp=1 new=thing word la=2 size=3"));
}
