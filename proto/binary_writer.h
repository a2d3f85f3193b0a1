// Replies of the binary protocol (protocol_binary.txt).
#pragma once

#include <string_view>

#include "proto/command.h"
#include "proto/error_lines.h"
#include "proto/reply.h"
#include "proto/reply_buffer.h"

namespace larder::proto {

// Appends the reply to a binary command: nothing for Status::None, for a miss of a quiet get, and
// for the success of any other quiet command; a quiet get answers its hits, and errors are always
// answered. Noop and Quit are answered whatever their status, and Op::Error with the reply's error
// or else the command's. Stats with neither rows nor text are the final, empty packet alone, which
// is also what a text (RESET) comes to.
void write_binary(const Command& command, const Reply& reply, ReplyBuffer& out);

// Appends a packet of just a status and a body, for what no Reply says.
void write_binary_status(const Command& command, BinaryStatus status, std::string_view body,
                         ReplyBuffer& out);

}  // namespace larder::proto
