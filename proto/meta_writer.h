// Replies of the meta commands (protocol.txt, "Meta Commands").
#pragma once

#include "proto/command.h"
#include "proto/reply.h"
#include "proto/reply_buffer.h"

namespace larder::proto {

// Appends the reply to a meta command: nothing for Status::None, and nothing for what q hides:
//   mg  EN (a miss)          ms  HD          md  HD          ma  HD and VA
// Everything else, errors included, is always answered. Flags are answered in the order in which
// command.return_flags asks for them, then Z, X and W. Noop is answered MN whatever its status, and
// Op::Error with the reply's error or else the command's.
void write_meta(const Command& command, const Reply& reply, ReplyBuffer& out);

}  // namespace larder::proto
