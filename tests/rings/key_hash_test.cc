#include "tools/client/key_hash.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

using namespace larder::client;

namespace {

uint32_t murmur3(std::string_view text) {
  Murmur3 hash;
  hash.add(text);
  return hash.result();
}

}  // namespace

TEST_CASE("hashes have the values that others publish for them") {
  CHECK(murmur3("") == 0);
  CHECK(murmur3("hello") == 0x248bfa47);
  CHECK(murmur3("The quick brown fox jumps over the lazy dog") == 0x2e4ff723);
  CHECK(one_at_a_time("a") == 0xca2e9442);
  CHECK(one_at_a_time("The quick brown fox jumps over the lazy dog") == 0x519e91f5);
  CHECK(crc32_of("123456789") == 0xcbf43926);
  CHECK(md5_word("") == 0xd98c1dd4);  // d41d8cd9... with its bytes turned round
  CHECK(xxh3("") == 0x2d06800538d394c2);
}

TEST_CASE("one-at-a-time and FNV-1a count bytes above 0x7f as negative") {
  // One step of each by hand: the byte 0xff is -1.
  CHECK(fnv1a_64_in_32("\xff") == (0x84222325u ^ 0xffffffffu) * 0x1b3u);
  uint32_t hash = 0xffffffffu;
  hash += hash << 10;
  hash ^= hash >> 6;
  hash += hash << 3;
  hash ^= hash >> 11;
  hash += hash << 15;
  CHECK(one_at_a_time("\xff") == hash);
}

TEST_CASE("MurmurHash3 does not care how its text is cut") {
  const std::string text = "127.0.0.1:11211-user:42 \xc3\xb6";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Murmur3 hash;
    hash.add(std::string_view(text).substr(0, cut));
    Murmur3 copy = hash;
    copy.add(std::string_view(text).substr(cut));
    INFO(cut);
    CHECK(copy.result() == murmur3(text));
    CHECK(hash.result() == murmur3(text.substr(0, cut)));
  }
}
