// Binary requests into a Command (protocol_binary.txt).
#pragma once

#include <cstddef>

#include "proto/command.h"

namespace larder::proto {

// Looks at [data, data + bytes) for one request: header, extras and key, never the value of a
// storage command, which follows what is consumed (value_bytes). Whether a request is in order
// follows from its header alone; if it is not, the command is Op::Error, consumed is the header,
// and swallow_bytes what of the request still has to be skipped. Stateless.
//
//   lengths that contradict each other      UnknownCommand, then close
//   body above kMaxBinaryBodyBytes          BinaryInvalidArguments, then close
//   key too long; wrong extras, key, body   BinaryInvalidArguments, then close
//   unknown opcode                          UnknownCommand; the whole body is skipped
//   wrong magic                             Close, without a word
Parsed parse_binary(const char* data, size_t bytes, Command& command) noexcept;

}  // namespace larder::proto
