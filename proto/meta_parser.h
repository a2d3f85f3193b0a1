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

// The same for what is asked most, in one pass: an mg of a key, one blank between all words, flags
// without argument or an opaque, and \r\n. `data` begins with "mg ". How long the line is; 0, and
// `command` as it was, if it is any other, which may be in order for all that.
size_t parse_plain_mg(const char* data, const char* end, Command& command) noexcept;

}  // namespace larder::proto
