#include "proto/binary_parser.h"

#include <catch2/catch.hpp>
#include <string>

#include "proto/binary_protocol.h"
#include "proto/limits.h"
#include "proto/verbs.h"
#include "tests/proto/binary_request.h"
#include "tests/proto/parse_one.h"

using namespace larder::proto;
using larder::test::big_endian;
using larder::test::BinaryRequest;
using Binary = larder::test::ParseOne<BinaryProtocol>;

namespace {

bool invalid(const BinaryRequest& request) {
  Binary binary(request.bytes());
  return binary.refused(ErrorId::BinaryInvalidArguments) && binary.command.wants(Want::kClose) &&
         binary.parsed.consumed == 24;
}

}  // namespace

TEST_CASE("a binary get says opcode, key and opaque") {
  Binary get(BinaryRequest{.opcode = 0x0c, .key = "key"}.bytes());
  REQUIRE(get.complete());
  CHECK(get.whole());
  CHECK(get.command.op == Op::Get);
  CHECK(get.command.dialect == Dialect::Binary);
  CHECK(get.command.opcode == 0x0c);
  CHECK(get.command.key == "key");
  CHECK(get.command.opaque == "\x01\x02\x03\x04");
  CHECK(get.command.want == (Want::kValue | Want::kKey));
}

TEST_CASE("a binary set says flags, time and length, and leaves the value") {
  Binary set(BinaryRequest{.opcode = 0x01,
                           .key = "k",
                           .extras = big_endian(0xdeadbeef, 4) + big_endian(0xffffffff, 4),
                           .value = "value"}
                 .bytes());
  CHECK(set.command.op == Op::Store);
  CHECK(set.command.mode == StoreMode::Set);
  CHECK(set.command.client_flags == 0xdeadbeef);
  CHECK(set.command.exptime == -1);
  CHECK(set.command.value_bytes == 5);
  CHECK(set.command.want == 0);
  CHECK(set.input.substr(set.parsed.consumed) == "value");
}

TEST_CASE("a CAS with any kind of store compares") {
  const std::string extras(8, '\0');
  constexpr StoreMode kModes[] = {StoreMode::Set, StoreMode::Add, StoreMode::Replace};
  for (const int opcode : {0x01, 0x02, 0x03, 0x11, 0x12, 0x13}) {
    Binary store(BinaryRequest{
        .opcode = static_cast<uint8_t>(opcode), .key = "k", .extras = extras, .cas = 99}
                     .bytes());
    CHECK(store.command.mode == kModes[(opcode & 0xf) - 1]);
    CHECK(store.command.wants(Want::kCompareCas));
    CHECK(store.command.cas == 99);
  }
  Binary append(BinaryRequest{.opcode = 0x0e, .key = "k", .value = "v", .cas = 99}.bytes());
  CHECK(append.command.mode == StoreMode::Append);
  CHECK(append.command.wants(Want::kCompareCas));
  CHECK(append.command.value_bytes == 1);
  CHECK(Binary(BinaryRequest{.opcode = 0x04, .key = "k", .cas = 99}.bytes())
            .command.wants(Want::kCompareCas));
  CHECK_FALSE(Binary(BinaryRequest{.opcode = 0x00, .key = "k", .cas = 99}.bytes())
                  .command.wants(Want::kCompareCas));
}

TEST_CASE("a binary incr creates unless its time says not to") {
  const std::string numbers = big_endian(5, 8) + big_endian(100, 8);
  Binary incr(
      BinaryRequest{.opcode = 0x05, .key = "k", .extras = numbers + big_endian(60, 4)}.bytes());
  CHECK(incr.command.op == Op::Arith);
  CHECK(incr.command.delta == 5);
  CHECK(incr.command.initial == 100);
  CHECK(incr.command.vivify_exptime == 60);
  CHECK(incr.command.want == Want::kVivify);
  Binary decr(
      BinaryRequest{.opcode = 0x16, .key = "k", .extras = numbers + big_endian(0xffffffff, 4)}
          .bytes());
  CHECK(decr.command.want == (Want::kDecrement | Want::kQuiet));
}

TEST_CASE("the other binary requests") {
  const auto op_of = [](const BinaryRequest& request) {
    return Binary(request.bytes()).command.op;
  };
  CHECK(op_of({.opcode = 0x04, .key = "k"}) == Op::Remove);
  CHECK(op_of({.opcode = 0x07}) == Op::Quit);
  CHECK(op_of({.opcode = 0x0a}) == Op::Noop);
  CHECK(op_of({.opcode = 0x0b}) == Op::Version);
  Binary touch(BinaryRequest{.opcode = 0x1c, .key = "k", .extras = big_endian(30, 4)}.bytes());
  CHECK(touch.command.op == Op::Touch);
  CHECK(touch.command.exptime == 30);
  Binary gatkq(BinaryRequest{.opcode = 0x24, .key = "k", .extras = big_endian(30, 4)}.bytes());
  CHECK(gatkq.command.op == Op::Get);
  CHECK(gatkq.command.want == (Want::kValue | Want::kKey | Want::kTouch | Want::kQuiet));
  Binary stats(BinaryRequest{.opcode = 0x10, .key = "settings"}.bytes());
  CHECK(stats.command.op == Op::Stats);
  CHECK(stats.command.args == "settings");
  Binary flush(BinaryRequest{.opcode = 0x08}.bytes());
  CHECK(flush.command.op == Op::Flush);
  CHECK(flush.command.want == 0);
  Binary later(BinaryRequest{.opcode = 0x18, .extras = big_endian(10, 4)}.bytes());
  CHECK(later.command.want == (Want::kDelay | Want::kQuiet));
  CHECK(later.command.exptime == 10);
}

TEST_CASE("an unknown opcode is answered and exactly its body skipped") {
  for (const int opcode : {0x1b, 0x30, 0x3f, 0x61, 0x21}) {
    Binary binary(
        BinaryRequest{.opcode = static_cast<uint8_t>(opcode), .key = "kk", .value = "vv"}.bytes());
    INFO(opcode);
    CHECK(binary.refused(ErrorId::UnknownCommand));
    CHECK(binary.parsed.consumed == 24);
    CHECK(binary.command.swallow_bytes == 4);
    CHECK(binary.command.opcode == opcode);
    CHECK_FALSE(binary.command.wants(Want::kClose));
  }
  CHECK(Binary(BinaryRequest{.opcode = 0x20}.bytes()).refused(ErrorId::UnknownCommand));
  CHECK(Binary(BinaryRequest{.opcode = 0x61, .body_bytes = kMaxBinaryBodyBytes}.bytes())
            .command.swallow_bytes == kMaxBinaryBodyBytes);
}

TEST_CASE("wrong extras, keys and bodies are invalid arguments and the end") {
  const std::string eight(8, '\0');
  CHECK(invalid({.opcode = 0x00}));  // get without a key
  CHECK(invalid({.opcode = 0x00, .key = "k", .extras = "1234"}));
  CHECK(invalid({.opcode = 0x00, .key = "k", .value = "v"}));
  CHECK(invalid({.opcode = 0x00, .key = std::string(251, 'k')}));
  CHECK(invalid({.opcode = 0x3f, .key = std::string(251, 'k')}));  // also where unknown
  CHECK(invalid({.opcode = 0x01, .key = "k", .extras = "1234"}));
  CHECK(invalid({.opcode = 0x01, .extras = eight}));
  CHECK(invalid({.opcode = 0x04, .key = "k", .value = "v"}));
  CHECK(invalid({.opcode = 0x05, .key = "k", .extras = eight}));
  CHECK(invalid({.opcode = 0x07, .key = "k"}));
  CHECK(invalid({.opcode = 0x08, .extras = "12345"}));
  CHECK(invalid({.opcode = 0x08, .key = "k"}));
  CHECK(invalid({.opcode = 0x0a, .value = "v"}));
  CHECK(invalid({.opcode = 0x0b, .key = "k"}));
  CHECK(invalid({.opcode = 0x0e, .key = "k", .extras = "1234", .value = "v"}));
  CHECK(invalid({.opcode = 0x0e, .value = "v"}));
  CHECK(invalid({.opcode = 0x10, .extras = "1234"}));
  CHECK(invalid({.opcode = 0x1c, .key = "k"}));
  CHECK(invalid({.opcode = 0x1d, .extras = "1234"}));
  CHECK(invalid({.opcode = 0x20, .key = "k"}));
  CHECK(invalid({.opcode = 0x21}));
}

TEST_CASE("bodies that are declared enormous are never waited for") {
  const std::string eight(8, '\0');
  Binary set(
      BinaryRequest{.opcode = 0x01, .key = "k", .extras = eight, .body_bytes = kMaxBinaryBodyBytes}
          .bytes());
  CHECK(set.command.op == Op::Store);
  CHECK(set.command.value_bytes == kMaxBinaryBodyBytes - 9);
  CHECK(invalid({.opcode = 0x01, .key = "k", .extras = eight, .body_bytes = 0xffffffff}));
  CHECK(invalid({.opcode = 0x0a, .body_bytes = 0xffffffff}));
  CHECK(invalid({.opcode = 0x61, .body_bytes = kMaxBinaryBodyBytes + 1}));
}

TEST_CASE("lengths that contradict each other are unknown, and the end") {
  for (const BinaryRequest& request :
       {BinaryRequest{.opcode = 0x00, .key = "abc", .body_bytes = 2},
        BinaryRequest{.opcode = 0x00, .key = "abc", .extras = "1234", .body_bytes = 5},
        BinaryRequest{.opcode = 0x0a, .key_bytes = 65535},
        BinaryRequest{.opcode = 0x0a, .extras_bytes = 255}}) {
    Binary binary(request.bytes());
    CHECK(binary.refused(ErrorId::UnknownCommand));
    CHECK(binary.command.wants(Want::kClose));
  }
}

TEST_CASE("what is closed anyway is skipped up to its value") {
  Binary binary(
      BinaryRequest{.opcode = 0x01, .key = "key", .extras = "1234", .value = "v"}.bytes());
  CHECK(binary.refused(ErrorId::BinaryInvalidArguments));
  CHECK(binary.command.swallow_bytes == 7);
}

TEST_CASE("a body behind a touch, a gat or a stat is taken for the next request") {
  Binary touch(BinaryRequest{.opcode = 0x1c, .key = "k", .extras = "1234", .value = "x"}.bytes());
  CHECK(touch.command.op == Op::Touch);
  CHECK(touch.parsed.consumed == 29);
  touch.again();
  CHECK(touch.needs_more());
  Binary stats(BinaryRequest{.opcode = 0x10, .key = "k", .value = std::string(24, 'x')}.bytes());
  CHECK(stats.command.op == Op::Stats);
  stats.again();
  CHECK(stats.closes());
}

TEST_CASE("a wrong magic closes without a word") {
  CHECK(Binary(BinaryRequest{.opcode = 0x0a, .magic = 0x81}.bytes()).closes());
  CHECK(Binary("get foo\r\nget bar\r\nget baz\r\n").closes());
}

TEST_CASE("nothing is consumed until header, extras and key are there") {
  const std::string bytes =
      BinaryRequest{.opcode = 0x01, .key = "key", .extras = std::string(8, '\0'), .value = "value"}
          .bytes();
  for (size_t size = 0; size < 24 + 8 + 3; ++size) {
    Binary binary(bytes.substr(0, size));
    CHECK(binary.needs_more());
    CHECK(binary.parsed.consumed == 0);
  }
  CHECK(Binary(bytes.substr(0, 24 + 8 + 3)).complete());
}

TEST_CASE("a binary config names one configuration, and set waits for its block") {
  Binary get(BinaryRequest{.opcode = 0x60, .key = "cluster"}.bytes());
  CHECK(get.command.op == Op::ConfigGet);
  CHECK(get.command.key == "cluster");
  CHECK(get.whole());
  Binary remove(BinaryRequest{.opcode = 0x66, .key = "cluster"}.bytes());
  CHECK(remove.command.op == Op::ConfigDelete);
  CHECK(remove.whole());

  const BinaryRequest request{
      .opcode = 0x64, .key = "cluster", .extras = big_endian(7, 4), .value = "block"};
  Binary set(request.bytes() + "more");
  REQUIRE(set.complete());
  CHECK(set.command.op == Op::ConfigSet);
  CHECK(set.command.key == "cluster");
  CHECK(set.command.client_flags == 7);
  CHECK(set.command.args == "block");
  CHECK(set.parsed.consumed == request.bytes().size());
  Binary part(request.bytes().substr(0, request.bytes().size() - 1));
  CHECK(part.needs_more());
  CHECK(part.parsed.consumed == 0);
}

TEST_CASE("a binary config of the wrong shape is as unknown as to memcached, and skipped") {
  const std::string flags(4, '\0');
  for (const BinaryRequest& request : {
           BinaryRequest{.opcode = 0x60},
           BinaryRequest{.opcode = 0x60, .key = "k", .value = "x"},
           BinaryRequest{.opcode = 0x60, .key = "k", .extras = flags},
           BinaryRequest{.opcode = 0x64, .key = "k", .value = "x"},
           BinaryRequest{.opcode = 0x64, .key = "k", .extras = flags + flags, .value = "x"},
           BinaryRequest{.opcode = 0x64, .extras = flags, .value = "x"},
           BinaryRequest{.opcode = 0x66, .key = "k", .value = "x"},
       }) {
    Binary binary(request.bytes());
    CHECK(binary.refused(ErrorId::UnknownCommand));
    CHECK_FALSE(binary.command.wants(Want::kClose));
    CHECK(binary.parsed.consumed + binary.command.swallow_bytes == request.bytes().size());
  }
}

TEST_CASE("a binary config set is refused by its header if it is too long") {
  const uint32_t head = 4 + 1;
  const auto claims = [&](uint32_t block_bytes) {
    return BinaryRequest{.opcode = 0x64,
                         .key = "k",
                         .extras = "1234",
                         .body_bytes = static_cast<uint32_t>(head + block_bytes)}
        .bytes();
  };
  CHECK(Binary(claims(kMaxConfigBytes)).needs_more());
  Binary large(claims(kMaxConfigBytes + 1));
  CHECK(large.refused(ErrorId::TooLarge));
  CHECK_FALSE(large.command.wants(Want::kClose));
  CHECK(large.command.swallow_bytes == head + kMaxConfigBytes + 1);
}
