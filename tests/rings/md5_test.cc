#include "tools/client/md5.h"

#include <openssl/evp.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

using namespace larder::client;

namespace {

std::array<unsigned char, 16> bytes_of(const Md5Words& words) {
  std::array<unsigned char, 16> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(words[i / 4] >> (8 * (i % 4)));
  }
  return bytes;
}

}  // namespace

TEST_CASE("MD5 is OpenSSL's for texts of every length around its blocks") {
  std::string text;
  for (uint32_t length = 0; length < 300; ++length) {
    std::array<unsigned char, 16> expected;
    REQUIRE(EVP_Digest(text.data(), text.size(), expected.data(), nullptr, EVP_md5(), nullptr) ==
            1);
    INFO(length);
    CHECK(bytes_of(md5(text)) == expected);
    text += static_cast<char>(length * 37 + 200);
  }
}
