// Bytes from a server into a reply: what the writers write, the other way round.
//
// Looks at a reply's head, never at a value: `value_bytes` follow what was consumed, and then
// `trailer_bytes` of "\r\n". So a value can be read straight to where it belongs. Stateless, and it
// allocates nothing. Replies of servers, whoever made them, are not to be trusted: what no server
// would say is Malformed, and the connection is then of no more use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proto/error_lines.h"
#include "proto/limits.h"

namespace larder::proto {

// A line of a reply, newline included: without one in so many bytes it is Malformed. The longest
// that servers have are the errors and those of meta replies with all flags.
constexpr size_t kMaxReplyLineBytes = kMaxUnfinishedLineBytes;
// What a binary error or version may have to say.
constexpr size_t kMaxReplyTextBytes = kMaxReplyLineBytes;

enum class ReplyKind : uint8_t {
  Value,      // VALUE, VA; binary: a get's hit, a step of SASL
  End,        // END: of a classic get, whether or not a VALUE came before it
  Done,       // STORED, DELETED, TOUCHED, OK, HD; binary status 0
  Missing,    // NOT_FOUND, NF, EN, 0x01
  NotStored,  // NOT_STORED, NS; binary: 0x05, 0x02 to an add, 0x01 to a replace
  Exists,     // EXISTS, EX, 0x02
  Number,     // classic and binary incr and decr: `number`
  Noop,       // MN
  Version,    // `text`
  Refused,    // ERROR, CLIENT_ERROR, SERVER_ERROR, any other binary status: `text`
};

// Views are into the input.
struct ReplyHead {
  ReplyKind kind = ReplyKind::Done;
  std::string_view text;  // Version: the bare words; Refused: the whole line, or the binary text
  std::string_view key;   // VALUE; binary getk
  std::string_view word;  // the first of a text reply
  uint32_t client_flags = 0;
  uint64_t cas = 0;  // 0: the server does not say
  uint64_t number = 0;
  bool has_client_flags = false;  // meta: the reply tells them (f)
  bool has_cas = false;           // likewise (c), which may be 0
  bool won = false;               // meta W
  bool stale = false;             // X
  bool others = false;            // Z
  // Refused: the server wants a login, or not this one.
  bool denied = false;

  uint64_t value_bytes = 0;
  uint8_t trailer_bytes = 0;

  std::string_view opaque;  // of the request; meta: behind O, or empty; binary: four bytes

  // Binary.
  uint8_t opcode = 0;
  uint16_t status = 0;
};

struct ParsedReply {
  enum class Status : uint8_t {
    Complete,   // `head` is filled in, and `consumed` bytes are done with
    NeedMore,   // nothing is consumed
    Malformed,  // likewise
  };
  Status status = Status::NeedMore;
  size_t consumed = 0;
};

// A line of classic or meta without its end; false: Malformed.
[[nodiscard]] bool read_reply_line(std::string_view line, ReplyHead& head) noexcept;

// The first line of classic or meta; it may end with a bare newline.
[[nodiscard]] ParsedReply parse_text_reply(std::string_view input, ReplyHead& head) noexcept;

// What a reply means depends on its opcode: an unknown one is Done or Refused.
[[nodiscard]] ParsedReply parse_binary_reply(std::string_view input, ReplyHead& head) noexcept;

}  // namespace larder::proto
