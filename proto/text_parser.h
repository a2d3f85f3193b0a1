// The text protocol: classic commands (protocol.txt), and meta lines handed to the meta parser.
//
// A line of the get family is consumed key by key, and from kMaxUnfinishedLineBytes on before its
// end has come, so it may be longer than any buffer:
//
//   Line --- "get ", "gets ", "gat <time> ", "gats <time> " ---> Keys --- newline ---> Line
//                                                                 |
//                                     key too long, bad time ---> SkipLine --- newline ---> Line
//
// Everything else is looked at when its newline has come.
#pragma once

#include <cstddef>
#include <cstdint>

#include "proto/command.h"
#include "proto/tokens.h"

namespace larder::proto {

// One per connection, one thread. Never reads outside [data, data + bytes); what it leaves over it
// wants to see again, with more behind it. NeedMore with everything consumed is normal.
class TextParser {
 public:
  // See the concept in protocol.h. A command is written as a whole, so `command` may hold an
  // earlier one; unless Complete is returned it is left as it was.
  Parsed parse(char* data, size_t bytes, Command& command) noexcept;

  // What comes next is the rest of a line that was refused.
  bool skips_line() const noexcept { return state_ == State::SkipLine; }

 private:
  enum class State : uint8_t { Line, Keys, SkipLine };

  // True if the bytes begin a line of the get family and its keys come next; `p` moves there.
  bool begin_keys(const char*& p, const char* end) noexcept;
  Parsed next_key(const char* data, const char* p, const char* end, Command& command) noexcept;
  Parsed refuse_keys(size_t consumed, ErrorId error, Command& command) noexcept;

  State state_ = State::Line;
  bool any_key_ = false;      // the line has had a key
  bool bad_exptime_ = false;  // gat: said when a key shows that the line is complete enough
  uint32_t want_ = 0;
  int32_t exptime_ = 0;
};

}  // namespace larder::proto
