#include "proto/binary_writer.h"

#include <catch2/catch.hpp>
#include <string>

#include "proto/binary_protocol.h"
#include "proto/error_lines.h"
#include "proto/verbs.h"
#include "tests/proto/binary_request.h"
#include "tests/proto/written.h"

using namespace larder::proto;
using larder::test::big_endian;

namespace {

std::string binary(const Command& command, const Reply& reply) {
  return larder::test::written<BinaryProtocol>(command, reply);
}

// A reply as it should be.
struct Packet {
  uint8_t opcode;
  int status = 0;
  std::string key = {};
  std::string extras = {};
  std::string value = {};
  uint64_t cas = 0;

  std::string bytes() const {
    return "\x81" + big_endian(opcode, 1) + big_endian(key.size(), 2) +
           big_endian(extras.size(), 1) + big_endian(0, 1) +
           big_endian(static_cast<uint64_t>(status), 2) +
           big_endian(extras.size() + key.size() + value.size(), 4) + "abcd" + big_endian(cas, 8) +
           extras + key + value;
  }
};

Command asked(uint8_t opcode) {
  const BinaryVerb& verb = binary_verb(opcode);
  Command command;
  command.op = verb.op;
  command.mode = verb.mode;
  command.want = verb.want;
  command.dialect = Dialect::Binary;
  command.opcode = opcode;
  command.opaque = "abcd";
  command.key = "key";
  return command;
}

Reply with(Status status) {
  Reply reply;
  reply.status = status;
  reply.value = "abc";
  reply.value_bytes = 3;
  reply.client_flags = 0xdeadbeef;
  reply.cas = 29;
  reply.number = 5;
  return reply;
}

const std::string kFlags = "\xde\xad\xbe\xef";

}  // namespace

TEST_CASE("binary hits carry flags, CAS and value, and the key if asked") {
  const auto hit = [](uint8_t opcode) { return binary(asked(opcode), with(Status::Hit)); };
  for (const uint8_t opcode : {0x00, 0x09, 0x1d, 0x1e}) {
    CHECK(hit(opcode) ==
          Packet{.opcode = opcode, .extras = kFlags, .value = "abc", .cas = 29}.bytes());
  }
  for (const uint8_t opcode : {0x0c, 0x0d, 0x23, 0x24}) {
    CHECK(hit(opcode) ==
          Packet{.opcode = opcode, .key = "key", .extras = kFlags, .value = "abc", .cas = 29}
              .bytes());
  }
  CHECK(hit(0x1c) == Packet{.opcode = 0x1c, .extras = kFlags, .cas = 29}.bytes());
  CHECK(binary(asked(0x1c), with(Status::Ok)) == hit(0x1c));
}

TEST_CASE("long binary values follow their header without a copy") {
  const std::string value(5000, 'v');
  Reply reply = with(Status::Hit);
  reply.value = value;
  ReplyBuffer out;
  BinaryProtocol::write(asked(0x00), reply, out);
  CHECK(larder::test::joined(out) ==
        Packet{.opcode = 0x00, .extras = kFlags, .value = value, .cas = 29}.bytes());
  CHECK(out.pieces().size() == 2);
}

TEST_CASE("a loud miss says so, or echoes the key; a quiet one says nothing") {
  const auto miss = [](uint8_t opcode) { return binary(asked(opcode), with(Status::Miss)); };
  for (const uint8_t opcode : {0x00, 0x1c, 0x1d, 0x04, 0x05}) {
    CHECK(miss(opcode) == Packet{.opcode = opcode, .status = 1, .value = "Not found"}.bytes());
  }
  for (const uint8_t opcode : {0x0c, 0x23}) {
    CHECK(miss(opcode) == Packet{.opcode = opcode, .status = 1, .key = "key"}.bytes());
  }
  for (const uint8_t opcode : {0x09, 0x0d, 0x1e, 0x24}) CHECK(miss(opcode) == "");
  // Quiet is only about gets: a delete that found nothing is an error.
  CHECK(miss(0x14) == Packet{.opcode = 0x14, .status = 1, .value = "Not found"}.bytes());
}

TEST_CASE("success of the other commands is a header, or silence where quiet") {
  const auto done = [](uint8_t opcode) { return binary(asked(opcode), with(Status::Ok)); };
  for (const uint8_t opcode : {0x01, 0x02, 0x03, 0x0e, 0x0f}) {
    CHECK(done(opcode) == Packet{.opcode = opcode, .cas = 29}.bytes());
  }
  for (const uint8_t opcode : {0x04, 0x07, 0x08, 0x0a}) {
    CHECK(done(opcode) == Packet{.opcode = opcode}.bytes());
  }
  for (const uint8_t opcode : {0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a}) {
    CHECK(done(opcode) == "");
  }
  CHECK(binary(asked(0x0a), Reply{}) == Packet{.opcode = 0x0a}.bytes());
  CHECK(binary(asked(0x05), with(Status::Hit)) ==
        Packet{.opcode = 0x05, .value = std::string("\0\0\0\0\0\0\0\5", 8), .cas = 29}.bytes());
  CHECK(binary(asked(0x01), with(Status::None)) == "");
}

TEST_CASE("what was not stored is told by what was asked, quiet or not") {
  const auto not_stored = [](uint8_t opcode) {
    return binary(asked(opcode), with(Status::NotStored));
  };
  for (const uint8_t opcode : {0x02, 0x12}) {
    CHECK(not_stored(opcode) ==
          Packet{.opcode = opcode, .status = 2, .value = "Data exists for key."}.bytes());
  }
  for (const uint8_t opcode : {0x03, 0x13}) {
    CHECK(not_stored(opcode) ==
          Packet{.opcode = opcode, .status = 1, .value = "Not found"}.bytes());
  }
  for (const uint8_t opcode : {0x0e, 0x0f, 0x19, 0x1a}) {
    CHECK(not_stored(opcode) ==
          Packet{.opcode = opcode, .status = 5, .value = "Not stored."}.bytes());
  }
  CHECK(binary(asked(0x11), with(Status::Exists)) ==
        Packet{.opcode = 0x11, .status = 2, .value = "Data exists for key."}.bytes());
  CHECK(binary(asked(0x01), with(Status::NotFound)) ==
        Packet{.opcode = 0x01, .status = 1, .value = "Not found"}.bytes());
}

TEST_CASE("binary errors carry status and text, quiet or not") {
  for (const ErrorLine& line : kErrorLines) {
    if (line.id == ErrorId::None) continue;
    Reply reply = with(Status::Error);
    reply.error = line.id;
    const auto packet = [&](uint8_t opcode) {
      return Packet{.opcode = opcode,
                    .status = static_cast<int>(line.status),
                    .value = std::string(line.binary_text)}
          .bytes();
    };
    CHECK(binary(asked(0x11), reply) == packet(0x11));
    Command refused = asked(0x61);
    refused.error = line.id;
    CHECK(binary(refused, Reply{}) == packet(0x61));
  }
}

TEST_CASE("binary stats are a packet per row and an empty one") {
  const std::string end = Packet{.opcode = 0x10}.bytes();
  const StatList rows{{"pid", "42"}, {"threads", "4"}};
  Reply reply;
  reply.status = Status::Ok;
  reply.stats = &rows;
  CHECK(binary(asked(0x10), reply) ==
        Packet{.opcode = 0x10, .key = "pid", .value = "42"}.bytes() +
            Packet{.opcode = 0x10, .key = "threads", .value = "4"}.bytes() + end);
  reply.stats = nullptr;
  CHECK(binary(asked(0x10), reply) == end);
  reply.text = "RESET";
  CHECK(binary(asked(0x10), reply) == end);
  // Stats that do not exist are a thing not found.
  const std::string not_found = Packet{.opcode = 0x10, .status = 1, .value = "Not found"}.bytes();
  CHECK(binary(asked(0x10), with(Status::Miss)) == not_found);
  reply = with(Status::Error);
  reply.error = ErrorId::UnknownCommand;
  CHECK(binary(asked(0x10), reply) == not_found);
}

TEST_CASE("a binary version is its bare text") {
  Reply reply;
  reply.status = Status::Ok;
  reply.text = "1.6.45";
  CHECK(binary(asked(0x0b), reply) == Packet{.opcode = 0x0b, .value = "1.6.45"}.bytes());
}

TEST_CASE("a binary config get answers flags and block, however long, and no key") {
  for (const size_t bytes : {size_t{5}, size_t{32} * 1024}) {
    const std::string block(bytes, 'b');
    Reply reply;
    reply.status = Status::Hit;
    reply.client_flags = 3;
    reply.value = block;
    const Packet packet{.opcode = 0x60, .extras = big_endian(3, 4), .value = block};
    CHECK(binary(asked(0x60), reply) == packet.bytes());
  }
  Reply missed;
  missed.status = Status::Miss;
  for (const uint8_t opcode : {uint8_t{0x60}, uint8_t{0x66}}) {
    const Packet packet{.opcode = opcode, .status = 1, .value = "Not found"};
    CHECK(binary(asked(opcode), missed) == packet.bytes());
  }
  Reply done;
  done.status = Status::Ok;
  for (const uint8_t opcode : {uint8_t{0x64}, uint8_t{0x66}}) {
    CHECK(binary(asked(opcode), done) == Packet{.opcode = opcode}.bytes());
  }
  Reply refused;
  refused.status = Status::Error;
  refused.error = ErrorId::ConfigBadBlock;
  refused.text = "there is no node in it";
  const Packet packet{.opcode = 0x64, .status = 4, .value = "there is no node in it"};
  CHECK(binary(asked(0x64), refused) == packet.bytes());
}
