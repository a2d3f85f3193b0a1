// Replies of the classic text protocol (protocol.txt).
#pragma once

#include <string_view>

#include "proto/command.h"
#include "proto/reply.h"
#include "proto/reply_buffer.h"

namespace larder::proto {

// Appends the reply to a classic command: nothing for Status::None, for a miss of a get, and for
// whatever noreply suppresses, errors included. EndOfKeys is answered END whatever its status, a
// Get with kLastKey ends with it, and Op::Error with the reply's error or else the command's.
void write_text(const Command& command, const Reply& reply, ReplyBuffer& out);

// The line of an error. Both text dialects spell it alike.
void write_error_line(ErrorId error, ReplyBuffer& out);

// `line` and \r\n.
void write_line(std::string_view line, ReplyBuffer& out);

}  // namespace larder::proto
