// Meta lines, and the writer's walk over the flags of those that parse: whatever a client asks to
// have answered must fit the room that the writer reserves for it.
#include <string>
#include <string_view>

#include "proto/text_protocol.h"
#include "tests/fuzz/parser_fuzz.h"

namespace {

using namespace larder::proto;

void answer(const Command& command, ReplyBuffer& out) {
  Reply reply;
  reply.value = "value";
  reply.value_bytes = 5;
  reply.key = command.key;
  reply.base64_key = true;
  reply.won = reply.stale = reply.win_sent = true;
  reply.cas = reply.number = UINT64_MAX;
  reply.client_flags = reply.last_access_seconds = UINT32_MAX;
  reply.ttl_seconds = INT64_MAX;
  for (const Status status : {Status::Ok, Status::Hit, Status::Miss, Status::NotStored,
                              Status::Exists, Status::NotFound, Status::Error}) {
    reply.status = status;
    reply.error = status == Status::Error ? ErrorId::TooLarge : ErrorId::None;
    out.clear();
    TextProtocol::write(command, reply, out);
    const auto& pieces = out.pieces();
    if (pieces.empty()) continue;
    if (!std::string_view(pieces[0].data, pieces[0].bytes).ends_with("\r\n")) std::abort();
  }
}

void answer_all(std::string stream) {
  TextProtocol parser;
  Command command;
  ReplyBuffer out;
  size_t at = 0;
  while (at < stream.size()) {
    const Parsed parsed = parser.parse(stream.data() + at, stream.size() - at, command);
    if (parsed.status != Parsed::Status::Complete) return;
    answer(command, out);
    at += parsed.consumed;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::test::fuzz_parser<TextProtocol>(data, size);
  answer_all({reinterpret_cast<const char*>(data), size});
  return 0;
}
