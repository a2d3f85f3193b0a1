// What the daemon's request loop needs of a dialect family. Two types satisfy it: TextProtocol
// (classic and meta, proto/text_protocol.h) and BinaryProtocol (proto/binary_protocol.h). Both are
// plain structs, one per connection, a few bytes of state: where in a long get line we are.
#pragma once

#include <concepts>
#include <cstddef>

#include "proto/command.h"
#include "proto/reply.h"
#include "proto/reply_buffer.h"

namespace larder::proto {

// parse   looks at [data, data + bytes) for one command. May overwrite bytes it consumes (a base64
//         key is decoded in place). Views in the command point into the input. A complete command
//         is written as a whole, so the one passed in need not be fresh; otherwise it is not
//         touched.
// write   appends the reply to a command; writes nothing for Status::None, for a classic miss, and
//         for whatever a quiet command keeps silent about. Pure.
// kTrailerBytes  what follows a value on the wire (\r\n or nothing).
// kParsesAgain   parse changes neither the input nor the parser.
// skips_line     after an Op::Error that wants kRewind: what parse sees next is the rest of its
// line.
template <class P>
concept Protocol = requires(P p, char* data, size_t bytes, Command& command, const Command& asked,
                            const Reply& reply, ReplyBuffer& out) {
  { p.parse(data, bytes, command) } -> std::same_as<Parsed>;
  {P::write(asked, reply, out)};
  { p.skips_line() } -> std::same_as<bool>;
  { P::kTrailerBytes } -> std::convertible_to<size_t>;
  { P::kParsesAgain } -> std::convertible_to<bool>;
};

}  // namespace larder::proto
