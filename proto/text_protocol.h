// TextProtocol: classic and meta commands, as the request loop wants them (protocol.h).
#pragma once

#include "proto/command.h"
#include "proto/meta_writer.h"
#include "proto/protocol.h"
#include "proto/text_parser.h"
#include "proto/text_writer.h"

namespace larder::proto {

struct TextProtocol {
  static constexpr size_t kTrailerBytes = 2;  // \r\n after a value
  static constexpr bool kParsesAgain = false;

  Parsed parse(char* data, size_t bytes, Command& command) noexcept {
    return parser.parse(data, bytes, command);
  }
  bool skips_line() const noexcept { return parser.skips_line(); }
  static void write(const Command& command, const Reply& reply, ReplyBuffer& out) {
    if (command.dialect == Dialect::Meta) {
      write_meta(command, reply, out);
    } else {
      write_text(command, reply, out);
    }
  }

  TextParser parser;
};
static_assert(Protocol<TextProtocol>);

}  // namespace larder::proto
