#include "proto/meta_writer.h"

#include <catch2/catch.hpp>
#include <string>

#include "proto/error_lines.h"
#include "proto/limits.h"
#include "proto/text_protocol.h"
#include "tests/proto/written.h"

using namespace larder::proto;
using larder::test::written;

namespace {

std::string text(const Command& command, const Reply& reply) {
  return written<TextProtocol>(command, reply);
}

Command asked(Op op, std::string_view flags = {}, uint32_t want = 0) {
  Command command;
  command.op = op;
  command.dialect = Dialect::Meta;
  command.want = want;
  command.key = "key";
  command.return_flags = flags;
  command.value_bytes = 7;  // Store: what was sent
  return command;
}

Reply with(Status status) {
  Reply reply;
  reply.status = status;
  reply.key = "key";
  reply.value = "abc";
  reply.value_bytes = 3;
  reply.client_flags = 5;
  reply.cas = 29;
  reply.ttl_seconds = 100;
  reply.last_access_seconds = 8;
  reply.number = 24;
  return reply;
}

constexpr uint32_t kValue = Want::kValue;
constexpr uint32_t kQuiet = Want::kQuiet;

}  // namespace

TEST_CASE("mg answers flags in the order asked") {
  CHECK(text(asked(Op::Get), with(Status::Hit)) == "HD\r\n");
  CHECK(text(asked(Op::Get, "v", kValue), with(Status::Hit)) == "VA 3\r\nabc\r\n");
  CHECK(text(asked(Op::Get, "t f v  c s k O9 h l u ", kValue), with(Status::Hit)) ==
        "VA 3 t100 f5 c29 s3 kkey O9 h0 l8\r\nabc\r\n");
  CHECK(text(asked(Op::Get, "l h O k s c f t"), with(Status::Hit)) ==
        "HD l8 h0 O kkey s3 c29 f5 t100\r\n");
  CHECK(text(asked(Op::Get, "b q N30 T5 R6 Px Ly M E1"), with(Status::Hit)) == "HD\r\n");
  Reply reply = with(Status::Hit);
  reply.ttl_seconds = -1;
  reply.fetched = true;
  CHECK(text(asked(Op::Get, "t h"), reply) == "HD t-1 h1\r\n");
}

TEST_CASE("mg puts Z, X and W behind the flags") {
  Reply reply = with(Status::Hit);
  reply.won = true;
  CHECK(text(asked(Op::Get, "t"), reply) == "HD t100 W\r\n");
  reply.stale = true;
  CHECK(text(asked(Op::Get, "v c", kValue), reply) == "VA 3 c29 X W\r\nabc\r\n");
  reply.won = false;
  reply.win_sent = true;
  CHECK(text(asked(Op::Get, "v", kValue), reply) == "VA 3 Z X\r\nabc\r\n");
}

TEST_CASE("a miss of mg echoes key and opaque, unless quiet") {
  CHECK(text(asked(Op::Get, "t O9 v k"), with(Status::Miss)) == "EN O9 kkey\r\n");
  CHECK(text(asked(Op::Get, "t O9 v k", kQuiet), with(Status::Miss)) == "");
  CHECK(text(asked(Op::Get, "q", kQuiet), with(Status::Hit)) == "HD\r\n");
}

TEST_CASE("a conditional mg that matched leaves the value out but not the flags") {
  Reply reply = with(Status::Hit);
  reply.value_dropped = true;
  CHECK(text(asked(Op::Get, "v f C29", kValue | Want::kConditional), reply) == "HD f5\r\n");
}

TEST_CASE("binary keys go out as base64 with a b behind: the item's on a hit, the asked one else") {
  Reply reply = with(Status::Hit);
  reply.key = std::string_view("\0\1\2", 3);
  reply.base64_key = true;
  CHECK(text(asked(Op::Get, "k f"), reply) == "HD kAAEC b f5\r\n");
  reply.base64_key = false;
  reply.key = "foo";
  Command command = asked(Op::Get, "k", Want::kBase64Key);
  command.key = "foo";
  CHECK(text(command, reply) == "HD kfoo\r\n");
  CHECK(text(command, with(Status::Miss)) == "EN kZm9v b\r\n");
  command.op = Op::Store;
  CHECK(text(command, with(Status::Ok)) == "HD kZm9v b\r\n");
  command.op = Op::Remove;
  CHECK(text(command, with(Status::Miss)) == "NF kZm9v b\r\n");
  command.op = Op::Arith;
  CHECK(text(command, with(Status::Hit)) == "HD kZm9v b\r\n");
}

TEST_CASE("ms answers key, opaque, size and CAS") {
  CHECK(text(asked(Op::Store, "c k O55 s T3 b"), with(Status::Ok)) == "HD c29 kkey O55 s3\r\n");
  // Of what was not stored there is no CAS, and its size is what was sent.
  CHECK(text(asked(Op::Store, "c s k O1"), with(Status::Exists)) == "EX c0 s7 kkey O1\r\n");
  CHECK(text(asked(Op::Store, "c s"), with(Status::NotFound)) == "NF c0 s7\r\n");
  CHECK(text(asked(Op::Store, "s c"), with(Status::NotStored)) == "NS s7 c0\r\n");
  CHECK(text(asked(Op::Store, "c", kQuiet), with(Status::Ok)) == "");
  CHECK(text(asked(Op::Store, "", kQuiet), with(Status::Exists)) == "EX\r\n");
  CHECK(text(asked(Op::Store, "", kQuiet), with(Status::NotStored)) == "NS\r\n");
  CHECK(text(asked(Op::Store, "", kQuiet), with(Status::NotFound)) == "NF\r\n");
}

TEST_CASE("md answers key and opaque; q hides success only") {
  CHECK(text(asked(Op::Remove, "q k O1 t c"), with(Status::Ok)) == "HD kkey O1\r\n");
  CHECK(text(asked(Op::Remove), with(Status::Miss)) == "NF\r\n");
  CHECK(text(asked(Op::Remove), with(Status::Exists)) == "EX\r\n");
  CHECK(text(asked(Op::Remove, "k", kQuiet), with(Status::Ok)) == "");
  CHECK(text(asked(Op::Remove, "k", kQuiet), with(Status::Miss)) == "NF kkey\r\n");
  CHECK(text(asked(Op::Remove, "", kQuiet), with(Status::Exists)) == "EX\r\n");
}

TEST_CASE("ma answers the number as a value if asked; q hides success only") {
  CHECK(text(asked(Op::Arith), with(Status::Hit)) == "HD\r\n");
  CHECK(text(asked(Op::Arith, "v c t k O1", kValue), with(Status::Hit)) ==
        "VA 2 c29 t100 kkey O1\r\n24\r\n");
  CHECK(text(asked(Op::Arith, "s f v", kValue), with(Status::Hit)) == "VA 2\r\n24\r\n");
  CHECK(text(asked(Op::Arith, "c"), with(Status::Ok)) == "HD c29\r\n");
  CHECK(text(asked(Op::Arith, "c k O1"), with(Status::Miss)) == "NF kkey O1\r\n");
  CHECK(text(asked(Op::Arith), with(Status::Exists)) == "EX\r\n");
  CHECK(text(asked(Op::Arith), with(Status::NotStored)) == "NS\r\n");
  CHECK(text(asked(Op::Arith, "v", kValue | kQuiet), with(Status::Hit)) == "");
  CHECK(text(asked(Op::Arith, "", kQuiet), with(Status::Miss)) == "NF\r\n");
  Reply largest = with(Status::Hit);
  largest.number = UINT64_MAX;
  CHECK(text(asked(Op::Arith, "v", kValue), largest) == "VA 20\r\n18446744073709551615\r\n");
}

TEST_CASE("me describes an item by name") {
  Reply reply = with(Status::Hit);
  reply.size_class = 1;
  reply.item_bytes = 63;
  CHECK(text(asked(Op::Describe), reply) ==
        "ME key exp=100 la=8 cas=29 fetch=no cls=1 size=63\r\n");
  reply.ttl_seconds = -1;
  reply.fetched = true;
  reply.base64_key = true;
  CHECK(text(asked(Op::Describe), reply) ==
        "ME a2V5 exp=-1 la=8 cas=29 fetch=yes cls=1 size=63\r\n");
  CHECK(text(asked(Op::Describe), with(Status::Miss)) == "EN\r\n");
}

TEST_CASE("mn is answered, and nothing where there is nothing to say") {
  CHECK(text(asked(Op::Noop), with(Status::None)) == "MN\r\n");
  CHECK(text(asked(Op::Noop), with(Status::Ok)) == "MN\r\n");
  CHECK(text(asked(Op::Get, "v", kValue), with(Status::None)) == "");
}

TEST_CASE("meta errors are answered however quiet the command") {
  for (const ErrorLine& line : kErrorLines) {
    if (line.id == ErrorId::None) continue;
    const std::string expected = std::string(line.text) + "\r\n";
    Reply reply = with(Status::Error);
    reply.error = line.id;
    CHECK(text(asked(Op::Store, "q", kQuiet), reply) == expected);
    CHECK(text(asked(Op::Get, "q", kQuiet), reply) == expected);
    Command refused = asked(Op::Error, "", kQuiet);
    refused.error = line.id;
    CHECK(text(refused, Reply{}) == expected);
  }
}

TEST_CASE("the longest reply fits") {
  const std::string key(kMaxKeyBytes, '\xff');
  const std::string opaque = "O" + std::string(kMaxOpaqueTokenBytes - 1, 'x');
  Reply reply = with(Status::Hit);
  reply.key = key;
  reply.base64_key = reply.won = reply.stale = reply.win_sent = true;
  reply.client_flags = UINT32_MAX;
  reply.last_access_seconds = UINT32_MAX;
  reply.cas = UINT64_MAX;
  reply.ttl_seconds = INT64_MAX;
  const std::string value(1024, 'v');
  reply.value = value;
  const std::string flags = "c f h k l s t v " + opaque;
  const std::string line = text(asked(Op::Get, flags, kValue), reply);
  CHECK(line.starts_with("VA 1024 c18446744073709551615 f4294967295 h0 k/////"));
  CHECK(line.ends_with(" t9223372036854775807 " + opaque + " Z X W\r\n" + value + "\r\n"));
}
