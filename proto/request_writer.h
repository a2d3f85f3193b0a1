// Commands into the bytes that a client sends, in any dialect: what the parsers read, the other way
// round.
#pragma once

#include <span>
#include <string_view>

#include "proto/command.h"
#include "proto/reply_buffer.h"

namespace larder::proto {

// Appends the request that a parser of `command.dialect` would make this command of, and the value
// behind it if it is a Store: a short one copied, a long one referred to (the owner of that piece
// is its own first byte). Of `want`, what the dialect can say of its operation is said.
//
//   Get      classic: a line of its own for each key, whether or not kLastKey is set
//   Store    `value`, whatever value_bytes says
//   Touch    classic and binary; meta spells it as a Get with kTouch
//   Noop     meta and binary
//   Version, Flush (with kDelay), Quit   in meta as in classic
//   meta     `return_flags` are words such as "f c", which are asked for as they stand
//   binary   `opaque` is four bytes, or nothing for zeros; `opcode` is not looked at
//
// False, and nothing is appended, if the dialect has no such request. Nothing is checked: the key
// is one that the dialect can carry, where kBase64Key is set it is encoded here.
[[nodiscard]] bool write_request(const Command& command, std::string_view value, ReplyBuffer& out);

// Appends the classic line that asks for all the keys, of which there is at least one, and for
// their versions.
void write_gets(std::span<const std::string_view> keys, ReplyBuffer& out);

}  // namespace larder::proto
