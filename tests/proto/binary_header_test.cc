#include "proto/binary_header.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/proto/binary_request.h"

using namespace larder::proto;

TEST_CASE("a request's header is read where it stands") {
  const std::string bytes = larder::test::BinaryRequest{.opcode = 0x42,
                                                        .key = std::string(300, 'k'),
                                                        .extras = std::string(200, 'x'),
                                                        .cas = 0x0102030405060708,
                                                        .body_bytes = 0xfffefdfc}
                                .bytes();
  const BinaryRequestHeader header(bytes.data());
  CHECK(header.magic() == kBinaryRequestMagic);
  CHECK(header.opcode() == 0x42);
  CHECK(header.key_bytes() == 300);
  CHECK(header.extras_bytes() == 200);
  CHECK(header.body_bytes() == 0xfffefdfc);
  CHECK(header.opaque() == "\x01\x02\x03\x04");
  CHECK(header.cas() == 0x0102030405060708);
}

TEST_CASE("a reply's header is 24 bytes, big endian") {
  BinaryReplyHeader header;
  header.opcode = 0x0c;
  header.status = BinaryStatus::UnknownCommand;
  header.opaque = "abcd";
  header.extras_bytes = 4;
  header.key_bytes = 0x0203;
  header.body_bytes = 0x04050607;
  header.cas = 0x08090a0b0c0d0e0f;
  std::string out(24, '?');
  CHECK(header.put(out.data()) == out.data() + 24);
  CHECK(out == std::string("\x81\x0c\x02\x03\x04\x00\x00\x81\x04\x05\x06\x07"
                           "abcd\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
                           24));
  header.opaque = {};
  header.put(out.data());
  CHECK(out.substr(12, 4) == std::string(4, '\0'));
}
