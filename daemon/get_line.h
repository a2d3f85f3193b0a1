// GetLine: a line of `get` or `gat` is answered with its values and END, or with one error alone.
//
// An error may come late: a key that is too long, or no memory for the copy that a touch makes.
// What the line has been answered so far is then taken back, as far as it has not been sent, and
// nothing follows the error: no other value, no END. One thread; lives as long as its connection.
#pragma once

#include "proto/command.h"
#include "proto/reply.h"
#include "proto/reply_buffer.h"

namespace larder::daemon {

class GetLine {
 public:
  // Before the reply to each command is written. False: nothing is to be written for it.
  bool admit(const proto::Command& command, const proto::Reply& reply, proto::ReplyBuffer& out) {
    if (command.dialect != proto::Dialect::Classic) return true;
    const bool refused = in_line_ && refused_;
    if (command.op == proto::Op::Get) {
      if (!in_line_) start_ = out.mark();
      in_line_ = !command.wants(proto::Want::kLastKey);
      refused_ = refused || reply.status == proto::Status::Error;
      if (refused_ && !refused) out.rewind(start_);
      return !refused;
    }
    if (command.wants(proto::Want::kRewind) && in_line_ && !refused) out.rewind(start_);
    in_line_ = false;
    return !refused;
  }
  // The line has been answered by an error, and has not ended.
  bool is_refused() const noexcept { return in_line_ && refused_; }
  // What there was has been sent: no more than what comes from here on can be taken back.
  void begin_again(const proto::ReplyBuffer& out) { start_ = out.mark(); }

 private:
  bool in_line_ = false;
  bool refused_ = false;  // the line, if it has not ended yet
  proto::ReplyBuffer::Mark start_;
};

}  // namespace larder::daemon
