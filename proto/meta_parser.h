// The meta commands mg ms md ma mn me into a Command (protocol.txt, "Meta Commands").
#pragma once

#include "proto/command.h"
#include "proto/tokens.h"
#include "proto/verbs.h"

namespace larder::proto {

// Parses a line that begins with the two letters of `verb` and then ends or goes on with a blank.
// `command` is freshly made; afterwards it holds the command, or Op::Error with what to answer and
// how many bytes of value to skip first. A base64 key is decoded where it stands.
void parse_meta(Line line, const MetaVerb& verb, Command& command) noexcept;

}  // namespace larder::proto
