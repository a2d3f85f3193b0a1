// What is written as an answer to a request carries the request's own words back.
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "proto/binary_protocol.h"
#include "proto/text_protocol.h"
#include "tests/proto/binary_request.h"
#include "tests/proto/parse_one.h"
#include "tests/proto/written.h"

using namespace larder::proto;
using larder::test::BinaryRequest;
using larder::test::ParseOne;
using larder::test::written;

namespace {

std::string random_key(std::mt19937& random) {
  std::string key(1 + random() % 250, '\0');
  for (char& c : key) {
    do {
      c = static_cast<char>(random());
    } while (c == ' ' || c == '\n' || c == '\r');
  }
  return key;
}

}  // namespace

TEST_CASE("keys and opaques of meta requests come back as they were sent") {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    const std::string key = random_key(random);
    const std::string opaque = random_key(random).substr(0, random() % 32);
    const ParseOne<TextProtocol> mg("mg " + key + " k O" + opaque + "\r\n");
    REQUIRE(mg.complete());
    Reply reply;
    reply.status = Status::Miss;
    CHECK(written<TextProtocol>(mg.command, reply) == "EN k" + key + " O" + opaque + "\r\n");
  }
}

TEST_CASE("an answered value can be stored again as it stands") {
  std::mt19937 random(4);
  for (int i = 0; i < 500; ++i) {
    const std::string key = random_key(random);
    const std::string value(random() % 3000, 'v');
    const ParseOne<TextProtocol> get("get " + key + "\r\n");
    Reply reply;
    reply.status = Status::Hit;
    reply.value = value;
    reply.client_flags = static_cast<uint32_t>(random());
    const std::string answer = written<TextProtocol>(get.command, reply);
    // VALUE <key> <flags> <bytes> against set <key> <flags> <time> <bytes>
    const size_t line_end = answer.find("\r\n", 6 + key.size());
    const size_t last_blank = answer.rfind(' ', line_end);
    const ParseOne<TextProtocol> set("set" + answer.substr(5, last_blank - 5) + " 0" +
                                     answer.substr(last_blank));
    REQUIRE(set.complete());
    CHECK(set.command.op == Op::Store);
    CHECK(set.command.key == key);
    CHECK(set.command.client_flags == reply.client_flags);
    CHECK(set.command.value_bytes == value.size());
    CHECK(set.input.substr(set.parsed.consumed) == value + "\r\nEND\r\n");
  }
}

TEST_CASE("binary replies echo opcode and opaque") {
  for (int opcode = 0; opcode < 256; ++opcode) {
    for (const char* opaque : {"abcd", "\xff\x80 \n"}) {
      const ParseOne<BinaryProtocol> request(
          BinaryRequest{.opcode = static_cast<uint8_t>(opcode), .key = "k", .opaque = opaque}
              .bytes());
      REQUIRE(request.complete());
      Reply reply;
      reply.status = Status::Error;
      reply.error = ErrorId::TooLarge;
      Command command = request.command;
      if (command.op == Op::Quit || command.op == Op::Noop) continue;
      const std::string answer = written<BinaryProtocol>(command, reply);
      REQUIRE(answer.size() >= 24);
      CHECK(answer[0] == '\x81');
      CHECK(static_cast<unsigned char>(answer[1]) == opcode);
      CHECK(answer.substr(12, 4) == opaque);
    }
  }
}
