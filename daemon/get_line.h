// GetLine: takes back what a line of `get` has been answered so far when one of its keys is wrong.
//
// The client sees the error alone, as if the line had been checked first. One thread.
#pragma once

#include "proto/command.h"
#include "proto/reply_buffer.h"

namespace larder::daemon {

class GetLine {
 public:
  // Before the reply to each command is written.
  void mark(const proto::Command& command, proto::ReplyBuffer& out) {
    if (command.dialect != proto::Dialect::Classic) return;
    if (command.op == proto::Op::Get) {
      if (!in_line_) start_ = out.mark();
      in_line_ = !command.wants(proto::Want::kLastKey);
      return;
    }
    if (command.wants(proto::Want::kRewind) && in_line_) out.rewind(start_);
    in_line_ = false;
  }
  // What there was has been sent: no more than what comes from here on can be taken back.
  void begin_again(const proto::ReplyBuffer& out) { start_ = out.mark(); }

 private:
  bool in_line_ = false;
  proto::ReplyBuffer::Mark start_;
};

}  // namespace larder::daemon
