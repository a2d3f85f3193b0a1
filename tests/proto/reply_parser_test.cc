#include "proto/reply_parser.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "proto/binary_protocol.h"
#include "proto/text_protocol.h"
#include "proto/verbs.h"
#include "tests/proto/binary_request.h"
#include "tests/proto/parse_one.h"
#include "tests/proto/written.h"

using namespace larder::proto;
using larder::test::big_endian;
using larder::test::BinaryRequest;
using larder::test::ParseOne;
using larder::test::written;

namespace {

using Parse = ParsedReply (*)(std::string_view, ReplyHead&) noexcept;

// A head together with the bytes that its views point into.
struct Read {
  Read(Parse parse, std::string text) : bytes(std::move(text)) { parsed = parse(bytes, head); }
  Read(const Read&) = delete;
  Read& operator=(const Read&) = delete;

  bool complete() const { return parsed.status == ParsedReply::Status::Complete; }
  bool is(ReplyKind kind) const { return complete() && head.kind == kind; }
  // The head was all there is.
  bool whole() const { return parsed.consumed == bytes.size(); }
  std::string value() const { return bytes.substr(parsed.consumed, head.value_bytes); }
  std::string behind_value() const {
    return bytes.substr(parsed.consumed + head.value_bytes + head.trailer_bytes);
  }

  std::string bytes;
  ReplyHead head;
  ParsedReply parsed;
};

// What our server answers to a request, as a client reads it.
Read text_reply(const std::string& request, const Reply& reply) {
  const ParseOne<TextProtocol> one(request);
  REQUIRE(one.complete());
  return Read(parse_text_reply, written<TextProtocol>(one.command, reply));
}

Read binary_reply(const BinaryRequest& request, const Reply& reply) {
  const ParseOne<BinaryProtocol> one(request.bytes());
  REQUIRE(one.complete());
  return Read(parse_binary_reply, written<BinaryProtocol>(one.command, reply));
}

Reply status(Status status) {
  Reply reply;
  reply.status = status;
  return reply;
}

Reply hit(std::string_view value) {
  Reply reply = status(Status::Hit);
  reply.value = value;
  reply.value_bytes = static_cast<uint32_t>(value.size());
  reply.client_flags = 4294967295u;
  reply.cas = 18446744073709551615u;
  reply.key = "k";
  return reply;
}

Reply refusal(ErrorId error) {
  Reply reply = status(Status::Error);
  reply.error = error;
  return reply;
}

bool malformed(Parse parse, const std::string& bytes) {
  ReplyHead head;
  const ParsedReply parsed = parse(bytes, head);
  return parsed.status == ParsedReply::Status::Malformed && parsed.consumed == 0;
}

// A head is complete with its last byte and not before, and says the same whatever follows.
void check_splits(Parse parse, const Read& read) {
  REQUIRE(read.complete());
  for (size_t cut = 0; cut < read.parsed.consumed; ++cut) {
    // Of exactly so many bytes, so that a sanitizer sees what is read beyond.
    const std::vector<char> part(read.bytes.begin(),
                                 read.bytes.begin() + static_cast<std::ptrdiff_t>(cut));
    ReplyHead head;
    const ParsedReply parsed = parse({part.data(), part.size()}, head);
    CHECK(parsed.status == ParsedReply::Status::NeedMore);
    CHECK(parsed.consumed == 0);
  }
  for (const char* more : {"", "x", "\r\nEND\r\n"}) {
    const Read longer(parse, read.bytes.substr(0, read.parsed.consumed) + more);
    CHECK(longer.complete());
    CHECK(longer.parsed.consumed == read.parsed.consumed);
    CHECK(longer.head.kind == read.head.kind);
    CHECK(longer.head.value_bytes == read.head.value_bytes);
    CHECK(longer.head.text == read.head.text);
  }
}

std::string header(uint8_t opcode, uint16_t status, uint8_t extras, uint16_t key, uint32_t body,
                   int magic = 0x81) {
  return big_endian(static_cast<uint64_t>(magic), 1) + big_endian(opcode, 1) + big_endian(key, 2) +
         big_endian(extras, 1) + '\0' + big_endian(status, 2) + big_endian(body, 4) + "opaq" +
         big_endian(0, 8);
}

}  // namespace

TEST_CASE("what our server writes in classic is read as it was meant") {
  const std::string value(3000, 'v');
  const Read got = text_reply("gets k\r\n", hit(value));
  CHECK(got.is(ReplyKind::Value));
  CHECK(got.head.key == "k");
  CHECK(got.head.client_flags == 4294967295u);
  CHECK(got.head.cas == 18446744073709551615u);
  CHECK(got.value() == value);
  CHECK(got.behind_value() == "END\r\n");
  check_splits(parse_text_reply, got);
  CHECK(text_reply("get k\r\n", hit("")).head.cas == 0);
  CHECK(text_reply("get k\r\n", status(Status::Miss)).is(ReplyKind::End));

  const std::string set = "set k 0 0 1\r\n";
  struct Row {
    std::string request;
    Status status;
    ReplyKind kind;
  };
  for (const Row& row :
       {Row{set, Status::Ok, ReplyKind::Done}, Row{set, Status::NotStored, ReplyKind::NotStored},
        Row{"cas k 0 0 1 9\r\n", Status::Exists, ReplyKind::Exists},
        Row{"cas k 0 0 1 9\r\n", Status::NotFound, ReplyKind::Missing},
        Row{"delete k\r\n", Status::Ok, ReplyKind::Done},
        Row{"delete k\r\n", Status::Miss, ReplyKind::Missing},
        Row{"touch k 1\r\n", Status::Ok, ReplyKind::Done},
        Row{"touch k 1\r\n", Status::Miss, ReplyKind::Missing},
        Row{"incr k 1\r\n", Status::Miss, ReplyKind::Missing},
        Row{"flush_all\r\n", Status::Ok, ReplyKind::Done},
        Row{"verbosity 1\r\n", Status::Ok, ReplyKind::Done},
        Row{"stats\r\n", Status::Ok, ReplyKind::End}}) {
    CAPTURE(row.request);
    const Read read = text_reply(row.request, status(row.status));
    CHECK(read.is(row.kind));
    CHECK(read.whole());
    check_splits(parse_text_reply, read);
  }
  for (const uint64_t number : {uint64_t{0}, uint64_t{10}, ~uint64_t{0}}) {
    Reply counted = status(Status::Ok);
    counted.number = number;
    const Read read = text_reply("incr k 1\r\n", counted);
    CHECK(read.is(ReplyKind::Number));
    CHECK(read.head.number == number);
    check_splits(parse_text_reply, read);
  }
  Reply version = status(Status::Ok);
  version.text = "1.6.45";
  const Read said = text_reply("version\r\n", version);
  CHECK(said.is(ReplyKind::Version));
  CHECK(said.head.text == "1.6.45");
}

TEST_CASE("what our server writes in meta is read as it was meant") {
  for (const int marks : {0, 1, 2, 3, 4, 5, 6, 7}) {
    Reply reply = hit("value");
    reply.won = (marks & 1) != 0;
    reply.stale = (marks & 2) != 0;
    reply.win_sent = (marks & 4) != 0;
    const Read got = text_reply("mg k v f c k t s h l O123\r\n", reply);
    CHECK(got.is(ReplyKind::Value));
    CHECK(got.head.client_flags == 4294967295u);
    CHECK(got.head.cas == 18446744073709551615u);
    CHECK(got.head.won == reply.won);
    CHECK(got.head.stale == reply.stale);
    CHECK(got.head.others == reply.win_sent);
    CHECK(got.value() == "value");
    CHECK(got.behind_value().empty());
    check_splits(parse_text_reply, got);
  }
  struct Row {
    std::string request;
    Status status;
    ReplyKind kind;
  };
  for (const Row& row : {Row{"mg k t\r\n", Status::Hit, ReplyKind::Done},
                         Row{"mg k v k O1\r\n", Status::Miss, ReplyKind::Missing},
                         Row{"ms k 1 c s\r\n", Status::Ok, ReplyKind::Done},
                         Row{"ms k 1\r\n", Status::NotStored, ReplyKind::NotStored},
                         Row{"ms k 1 C1\r\n", Status::Exists, ReplyKind::Exists},
                         Row{"ms k 1 C1\r\n", Status::NotFound, ReplyKind::Missing},
                         Row{"md k k\r\n", Status::Ok, ReplyKind::Done},
                         Row{"md k\r\n", Status::Miss, ReplyKind::Missing},
                         Row{"ma k\r\n", Status::Ok, ReplyKind::Done},
                         Row{"ma k\r\n", Status::Miss, ReplyKind::Missing},
                         Row{"mn\r\n", Status::Ok, ReplyKind::Noop}}) {
    CAPTURE(row.request);
    const Read read = text_reply(row.request, status(row.status));
    CHECK(read.is(row.kind));
    CHECK(read.whole());
    check_splits(parse_text_reply, read);
  }
  Reply stored = status(Status::Ok);
  stored.cas = 18446744073709551615u;
  CHECK(text_reply("ms k 1 c\r\n", stored).head.cas == stored.cas);
  Reply counted = status(Status::Ok);
  counted.number = 18446744073709551615u;
  CHECK(text_reply("ma k v\r\n", counted).value() == "18446744073709551615");
}

TEST_CASE("what our server writes in binary is read as it was meant") {
  for (const BinaryVerb& verb : kBinaryVerbs) {
    if (verb.op != Op::Get) continue;
    const std::string extras = verb.shape == BinaryShape::KeyTime ? std::string(4, '\0') : "";
    const BinaryRequest get{
        .opcode = verb.opcode, .key = "k", .extras = extras, .opaque = std::string("\0\xff\n ", 4)};
    const std::string value(3000, 'v');
    const Read got = binary_reply(get, hit(value));
    CHECK(got.is(ReplyKind::Value));
    CHECK(got.head.client_flags == 4294967295u);
    CHECK(got.head.cas == 18446744073709551615u);
    CHECK(got.head.opcode == verb.opcode);
    CHECK(got.head.opaque == get.opaque);
    CHECK(got.head.key == ((verb.want & Want::kKey) != 0 ? "k" : ""));
    CHECK(got.value() == value);
    CHECK(got.behind_value().empty());
    check_splits(parse_binary_reply, got);
    if ((verb.want & Want::kQuiet) != 0) continue;
    const Read missed = binary_reply(get, status(Status::Miss));
    CHECK(missed.is(ReplyKind::Missing));
    CHECK(missed.whole());
    check_splits(parse_binary_reply, missed);
  }
  const std::string store(8, '\0');
  struct Row {
    uint8_t opcode;
    Status status;
    ReplyKind kind;
  };
  for (const Row& row :
       {Row{0x01, Status::Ok, ReplyKind::Done}, Row{0x01, Status::Exists, ReplyKind::Exists},
        Row{0x01, Status::NotFound, ReplyKind::Missing},
        Row{0x02, Status::NotStored, ReplyKind::NotStored},
        Row{0x03, Status::NotStored, ReplyKind::NotStored},
        Row{0x0e, Status::NotStored, ReplyKind::NotStored}, Row{0x0f, Status::Ok, ReplyKind::Done},
        Row{0x04, Status::Ok, ReplyKind::Done}, Row{0x04, Status::Exists, ReplyKind::Exists},
        Row{0x04, Status::Miss, ReplyKind::Missing}, Row{0x1c, Status::Hit, ReplyKind::Done},
        Row{0x1c, Status::Miss, ReplyKind::Missing}, Row{0x05, Status::Miss, ReplyKind::Missing},
        Row{0x05, Status::Ok, ReplyKind::Number}, Row{0x06, Status::Ok, ReplyKind::Number},
        Row{0x0a, Status::Ok, ReplyKind::Noop}, Row{0x0b, Status::Ok, ReplyKind::Version},
        Row{0x08, Status::Ok, ReplyKind::Done}, Row{0x07, Status::Ok, ReplyKind::Done}}) {
    CAPTURE(int{row.opcode});
    const BinaryVerb& verb = binary_verb(row.opcode);
    BinaryRequest request{.opcode = row.opcode};
    if (verb.shape != BinaryShape::Empty && verb.shape != BinaryShape::Flush) request.key = "k";
    if (verb.shape == BinaryShape::Value) request.extras = std::string(8, '\0');
    if (verb.shape == BinaryShape::KeyTime) request.extras = std::string(4, '\0');
    if (verb.shape == BinaryShape::Arith) request.extras = std::string(20, '\0');
    Reply reply = status(row.status);
    reply.number = 18446744073709551615u;
    reply.text = "1.6.45";
    reply.cas = 7;
    const Read read = binary_reply(request, reply);
    CHECK(read.is(row.kind));
    CHECK(read.whole());
    CHECK(read.head.value_bytes == 0);
    if (read.is(ReplyKind::Number)) CHECK(read.head.number == reply.number);
    if (read.is(ReplyKind::Version)) CHECK(read.head.text == "1.6.45");
    if (row.opcode == 0x01 && row.status == Status::Ok) CHECK(read.head.cas == 7);
    check_splits(parse_binary_reply, read);
  }
}

TEST_CASE("every error of ours is a refusal, and some ask for a login") {
  for (const ErrorLine& line : kErrorLines) {
    if (line.id == ErrorId::None) continue;
    CAPTURE(line.text);
    const bool login = line.id == ErrorId::Unauthenticated ||
                       line.id == ErrorId::AuthenticationFailed ||
                       line.id == ErrorId::AuthTokenTooLong || line.id == ErrorId::BadAuthToken;
    const std::string first = std::string(line.text.substr(0, line.text.find(' ')));
    const bool is_error =
        first == "ERROR" || first == "CLIENT_ERROR" || first.starts_with("SERVER_ERROR");
    const Read text = text_reply("ms k 1\r\n", refusal(line.id));
    // The operator's commands have words of their own, which no operation is answered with.
    CHECK(text.is(ReplyKind::Refused) == is_error);
    if (!is_error) continue;
    CHECK(text.head.text == line.text);
    CHECK(text.head.denied == login);
    check_splits(parse_text_reply, text);

    const Read binary = binary_reply({.opcode = 0x01, .key = "k", .extras = std::string(8, '\0')},
                                     refusal(line.id));
    CHECK(binary.is(ReplyKind::Refused));
    CHECK(binary.head.text == line.binary_text);
    CHECK(binary.head.status == static_cast<uint16_t>(line.status));
    CHECK(binary.head.denied == (line.status == BinaryStatus::AuthFailure));
    CHECK(binary.whole());
    check_splits(parse_binary_reply, binary);
  }
  CHECK_FALSE(binary_reply({.opcode = 0x08}, refusal(ErrorId::FlushNotAllowed)).head.denied);
}

TEST_CASE("lines of other servers are read where they are plain") {
  CHECK(Read(parse_text_reply, "END\n").is(ReplyKind::End));
  CHECK(Read(parse_text_reply, "5 \r\n").head.number == 5);
  CHECK(Read(parse_text_reply, "VERSION\r\n").is(ReplyKind::Version));
  CHECK(Read(parse_text_reply, "HD  Oabc  y9\r\n").is(ReplyKind::Done));
  CHECK(Read(parse_text_reply, "SERVER_ERROR\r\n").is(ReplyKind::Refused));
  // A touch that says nothing of flags.
  CHECK(Read(parse_binary_reply, header(0x1c, 0, 0, 0, 0)).is(ReplyKind::Done));
  // An opcode that we do not know: its body is passed on.
  const Read unknown(parse_binary_reply, header(0xee, 0, 0, 0, 3) + "abc");
  CHECK(unknown.is(ReplyKind::Done));
  CHECK(unknown.value() == "abc");
  const Read step(parse_binary_reply, header(0x21, 0, 0, 0, 13) + "Authenticated");
  CHECK(step.is(ReplyKind::Value));
  CHECK(step.value() == "Authenticated");
  CHECK(Read(parse_binary_reply, header(0x21, 0x21, 0, 0, 0)).is(ReplyKind::Refused));
}

TEST_CASE("what no server says is malformed") {
  for (const char* line : {"\r\n",
                           " END\r\n",
                           "END \r\n",
                           "STORED x\r\n",
                           "stored\r\n",
                           "VALUE\r\n",
                           "VALUE k\r\n",
                           "VALUE k 0\r\n",
                           "VALUE k 0 \r\n",
                           "VALUE k x 1\r\n",
                           "VALUE k 0 x\r\n",
                           "VALUE k 0 -1\r\n",
                           "VALUE k -1 1\r\n",
                           "VALUE k 0 1 x\r\n",
                           "VALUE k 0 1 2 3\r\n",
                           "VALUE k 0 4294967296\r\n",
                           "VALUE  0 1\r\n",
                           "VA\r\n",
                           "VA \r\n",
                           "VA x\r\n",
                           "VA -1\r\n",
                           "VA 1 c\r\n",
                           "VA 1 cx\r\n",
                           "VA 1 f4294967296\r\n",
                           "HD c18446744073709551616\r\n",
                           "18446744073709551616\r\n",
                           "-1\r\n",
                           "1x\r\n",
                           "1 x\r\n",
                           "HDX\r\n",
                           "ERRORS\r\n",
                           "HTTP/1.1 200 OK\r\n",
                           "\x81\r\n"}) {
    CAPTURE(line);
    CHECK(malformed(parse_text_reply, line));
  }
  CHECK(malformed(parse_text_reply, std::string(1, '\0') + "\n"));
  // A line may be so long, and no longer.
  const std::string longest = "ERROR " + std::string(kMaxReplyLineBytes - 7, 'x');
  CHECK(Read(parse_text_reply, longest + "\n").is(ReplyKind::Refused));
  CHECK(malformed(parse_text_reply, longest + "x"));
  CHECK(malformed(parse_text_reply, longest + "x\n"));

  CHECK(malformed(parse_binary_reply, "S"));
  CHECK(malformed(parse_binary_reply, header(0, 0, 4, 0, 4, 0x80)));
  CHECK(malformed(parse_binary_reply, header(0, 0, 4, 0, 3)));  // more head than body
  CHECK(malformed(parse_binary_reply, header(0, 0, 0, 0, 0)));  // a hit without flags
  CHECK(malformed(parse_binary_reply, header(0, 0, 8, 0, 8) + "12345678"));
  CHECK(malformed(parse_binary_reply, header(5, 0, 0, 0, 7) + "1234567"));
  CHECK(malformed(parse_binary_reply, header(5, 0, 0, 0, 4000000)));
  CHECK(malformed(parse_binary_reply, header(0x0b, 0, 0, 0, 0xffffffff)));
  CHECK(malformed(parse_binary_reply, header(1, 0x82, 0, 0, 0xffffffff)));
  CHECK(malformed(parse_binary_reply, header(0x0c, 0, 4, 0xffff, 0xffffffff)));
}
