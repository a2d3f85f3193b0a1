// Replies of a server that means no good. What the parsers hold on any input: they read nothing
// beyond what they are given, consume no more and, with a head, something; say how much more they
// want at some point; and say the same of a head however it comes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/reply_parser.h"

namespace {

using larder::proto::ParsedReply;
using larder::proto::ReplyHead;
using Parse = ParsedReply (*)(std::string_view, ReplyHead&) noexcept;

// The longest head there is, after which more cannot be wanted.
constexpr size_t kLongestHeadBytes = 24 + 2 * larder::proto::kMaxReplyTextBytes;

void require(bool holds) {
  if (!holds) std::abort();
}

// Of exactly so many bytes, so that a sanitizer notices every byte read beyond.
struct Exact {
  explicit Exact(std::string_view from)
      : bytes(std::make_unique<char[]>(from.size())), size(from.size()) {
    from.copy(bytes.get(), from.size());
  }
  std::unique_ptr<char[]> bytes;
  size_t size;
};

std::string describe(const ReplyHead& head) {
  std::string text = std::to_string(static_cast<int>(head.kind));
  for (const uint64_t number :
       {uint64_t{head.client_flags}, head.cas, head.number, uint64_t{head.won},
        uint64_t{head.stale}, uint64_t{head.others}, uint64_t{head.denied}, head.value_bytes,
        uint64_t{head.trailer_bytes}, uint64_t{head.opcode}, uint64_t{head.status}}) {
    text += ' ' + std::to_string(number);
  }
  return text.append("|").append(head.text).append("|").append(head.key).append("|").append(
      head.opaque);
}

struct Step {
  ParsedReply parsed;
  std::string head;
};

Step step(Parse parse, std::string_view input) {
  const Exact exact(input);
  ReplyHead head;
  const ParsedReply parsed = parse({exact.bytes.get(), exact.size}, head);
  if (parsed.status != ParsedReply::Status::Complete) {
    require(parsed.consumed == 0);
    return {parsed, {}};
  }
  require(parsed.consumed > 0 && parsed.consumed <= input.size());
  return {parsed, describe(head)};
}

void check(Parse parse, std::string_view stream, size_t cut) {
  while (!stream.empty()) {
    const Step whole = step(parse, stream);
    const Step part = step(parse, stream.substr(0, std::min(cut, stream.size())));
    switch (whole.parsed.status) {
      case ParsedReply::Status::NeedMore:
        require(stream.size() <= kLongestHeadBytes);
        require(part.parsed.status == ParsedReply::Status::NeedMore);
        return;
      case ParsedReply::Status::Malformed:
        require(part.parsed.status != ParsedReply::Status::Complete);
        return;
      case ParsedReply::Status::Complete:
        if (cut >= whole.parsed.consumed) {
          require(part.head == whole.head && part.parsed.consumed == whole.parsed.consumed);
        } else {
          require(part.parsed.status == ParsedReply::Status::NeedMore);
        }
        stream.remove_prefix(whole.parsed.consumed);
    }
  }
}

}  // namespace

// The first byte says where heads are cut.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  check(larder::proto::parse_text_reply, stream, data[0]);
  check(larder::proto::parse_binary_reply, stream, data[0]);
  return 0;
}
