#include "proto/text_writer.h"

#include <catch2/catch.hpp>
#include <string>

#include "proto/error_lines.h"
#include "proto/text_protocol.h"
#include "tests/proto/written.h"

using namespace larder::proto;
using larder::test::written;

namespace {

std::string text(const Command& command, const Reply& reply) {
  return written<TextProtocol>(command, reply);
}

Command asked(Op op, uint32_t want = 0) {
  Command command;
  command.op = op;
  command.want = want;
  command.key = "key";
  return command;
}

Reply with(Status status, ErrorId error = ErrorId::None) {
  Reply reply;
  reply.status = status;
  reply.error = error;
  return reply;
}

Reply hit(std::string_view value) {
  Reply reply = with(Status::Hit);
  reply.key = "key";
  reply.value = value;
  reply.value_bytes = static_cast<uint32_t>(value.size());
  reply.client_flags = 4294967295u;
  reply.cas = 18446744073709551615u;
  return reply;
}

}  // namespace

TEST_CASE("VALUE lines say key, flags and length, and the CAS if asked") {
  CHECK(text(asked(Op::Get, Want::kValue), hit("abc")) == "VALUE key 4294967295 3\r\nabc\r\n");
  CHECK(text(asked(Op::Get, Want::kValue | Want::kCas), hit("")) ==
        "VALUE key 4294967295 0 18446744073709551615\r\n\r\n");
  const std::string longest(250, 'k');
  Command command = asked(Op::Get, Want::kValue | Want::kCas);
  command.key = longest;
  const std::string value(100000, 'v');
  CHECK(text(command, hit(value)) ==
        "VALUE " + longest + " 4294967295 100000 18446744073709551615\r\n" + value + "\r\n");
}

TEST_CASE("a get answers a miss with nothing and its line with END") {
  CHECK(text(asked(Op::Get, Want::kValue), with(Status::Miss)) == "");
  CHECK(text(asked(Op::EndOfKeys), with(Status::None)) == "END\r\n");
  CHECK(text(asked(Op::EndOfKeys), with(Status::Ok)) == "END\r\n");
  constexpr uint32_t kLast = Want::kValue | Want::kLastKey;
  CHECK(text(asked(Op::Get, kLast), with(Status::Miss)) == "END\r\n");
  for (const size_t bytes : {0, 3, 1024, 1025, 100'000}) {
    const std::string value(bytes, 'v');
    CHECK(text(asked(Op::Get, kLast), hit(value)) ==
          text(asked(Op::Get, Want::kValue), hit(value)) + "END\r\n");
  }
  for (const uint32_t want : {uint32_t{Want::kValue}, kLast}) {
    CHECK(text(asked(Op::Get, want), with(Status::Error, ErrorId::OutOfMemoryResponse)) ==
          "SERVER_ERROR out of memory writing get response\r\n");
  }
}

TEST_CASE("each classic command has its words") {
  struct Row {
    Op op;
    Status status;
    const char* line;
  };
  const Row rows[] = {
      {Op::Store, Status::Ok, "STORED\r\n"},
      {Op::Store, Status::NotStored, "NOT_STORED\r\n"},
      {Op::Store, Status::Exists, "EXISTS\r\n"},
      {Op::Store, Status::NotFound, "NOT_FOUND\r\n"},
      {Op::Remove, Status::Ok, "DELETED\r\n"},
      {Op::Remove, Status::Miss, "NOT_FOUND\r\n"},
      {Op::Touch, Status::Ok, "TOUCHED\r\n"},
      {Op::Touch, Status::Hit, "TOUCHED\r\n"},
      {Op::Touch, Status::Miss, "NOT_FOUND\r\n"},
      {Op::Arith, Status::Miss, "NOT_FOUND\r\n"},
      {Op::Flush, Status::Ok, "OK\r\n"},
      {Op::Verbosity, Status::Ok, "OK\r\n"},
      {Op::MemoryLimit, Status::Ok, "OK\r\n"},
      {Op::DebugTime, Status::Ok, "OK\r\n"},
      {Op::RefreshCerts, Status::Ok, "OK\r\n"},
      {Op::ConfigSet, Status::Ok, "STORED\r\n"},
      {Op::ConfigDelete, Status::Ok, "DELETED\r\n"},
      {Op::ConfigDelete, Status::Miss, "NOT_FOUND\r\n"},
      {Op::ConfigGet, Status::Miss, "END\r\n"},
      {Op::Quit, Status::Ok, ""},
      {Op::Shutdown, Status::Ok, ""},
  };
  for (const auto& [op, status, line] : rows) {
    INFO(line);
    CHECK(text(asked(op), with(status)) == line);
    CHECK(text(asked(op, Want::kQuiet), with(status)) == "");
    CHECK(text(asked(op), with(Status::None)) == "");
  }
  Reply number = with(Status::Hit);
  number.number = 18446744073709551615u;
  CHECK(text(asked(Op::Arith), number) == "18446744073709551615\r\n");
  Reply bad_certificate = with(Status::Ok);
  bad_certificate.text = "Error loading";
  CHECK(text(asked(Op::RefreshCerts), bad_certificate) == "Error loading\r\n");
  CHECK(text(asked(Op::RefreshCerts, Want::kQuiet), bad_certificate) == "Error loading\r\n");
  Reply version = with(Status::Ok);
  version.text = "1.6.45";
  CHECK(text(asked(Op::Version), version) == "VERSION 1.6.45\r\n");
}

TEST_CASE("CONFIG lines say name, flags and length, and END follows the block") {
  Reply reply = hit("12\nhost|127.0.0.1|11211\n");
  reply.client_flags = 0;
  Command command = asked(Op::ConfigGet);
  command.key = "cluster";
  CHECK(text(command, reply) == "CONFIG cluster 0 24\r\n12\nhost|127.0.0.1|11211\n\r\nEND\r\n");
  const std::string longest(250, 'k');
  const std::string block(32 * 1024, 'b');
  command.key = longest;
  reply.value = block;
  reply.client_flags = 4294967295u;
  CHECK(text(command, reply) ==
        "CONFIG " + longest + " 4294967295 32768\r\n" + block + "\r\nEND\r\n");

  Reply refused = with(Status::Error, ErrorId::ConfigBadBlock);
  refused.text = "there is no node in it";
  CHECK(text(asked(Op::ConfigSet), refused) ==
        "CLIENT_ERROR bad configuration: there is no node in it\r\n");
}

TEST_CASE("every error has its line, and noreply keeps them all back") {
  for (const ErrorLine& line : kErrorLines) {
    if (line.id == ErrorId::None) continue;
    const std::string expected = std::string(line.text) + "\r\n";
    CHECK(text(asked(Op::Store), with(Status::Error, line.id)) == expected);
    CHECK(text(asked(Op::Store, Want::kQuiet), with(Status::Error, line.id)) == "");
    Command refused = asked(Op::Error);
    refused.error = line.id;
    CHECK(text(refused, with(Status::None)) == expected);
    CHECK(text(refused, with(Status::Error, ErrorId::TooLarge)) ==
          "SERVER_ERROR object too large for cache\r\n");
    refused.want = Want::kQuiet;
    CHECK(text(refused, with(Status::Error, line.id)) == "");
  }
}

TEST_CASE("stats are rows and an END, or a line") {
  Reply reply = with(Status::Ok);
  CHECK(text(asked(Op::Watch), reply).empty());
  CHECK(text(asked(Op::Stats), reply) == "END\r\n");
  const StatList rows{
      {"pid", "42"}, {"a_rather_long_name_of_a_row", std::string(300, 'x')}, {"e", ""}};
  reply.stats = &rows;
  CHECK(text(asked(Op::Stats), reply) == "STAT pid 42\r\nSTAT a_rather_long_name_of_a_row " +
                                             std::string(300, 'x') + "\r\nSTAT e \r\nEND\r\n");
  reply.stats = nullptr;
  reply.text = "RESET";
  CHECK(text(asked(Op::Stats), reply) == "RESET\r\n");
}
