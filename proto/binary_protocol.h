// BinaryProtocol: as the request loop wants it (protocol.h).
#pragma once

#include "proto/binary_parser.h"
#include "proto/binary_writer.h"
#include "proto/command.h"
#include "proto/protocol.h"

namespace larder::proto {

struct BinaryProtocol {
  static constexpr size_t kTrailerBytes = 0;  // nothing after a value
  static constexpr bool kParsesAgain = true;

  Parsed parse(char* data, size_t bytes, Command& command) noexcept {
    return parse_binary(data, bytes, command);
  }
  static bool skips_line() noexcept { return false; }
  static void write(const Command& command, const Reply& reply, ReplyBuffer& out) {
    write_binary(command, reply, out);
  }
};
static_assert(Protocol<BinaryProtocol>);

}  // namespace larder::proto
