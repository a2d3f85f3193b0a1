// Authenticator: listens to a connection that may not use the cache yet, until it may.
//
// Stands where the request loop stands later (Connection::pump), so that the loop has nothing to
// ask per command. Two kinds: TextAuthenticator (-Y) and SaslAuthenticator (-S). One per
// connection, one thread.
#pragma once

#include <cstddef>
#include <span>

#include "proto/reply_buffer.h"

namespace larder::daemon {

class Authenticator {
 public:
  enum class Verdict {
    NeedMore,  // what is left over is part of a request
    GoOn,      // enough for this pass, whole requests are left over: call again in the next one
    Wait,      // the answer takes its time: call again when there is word of it, not before
    Admitted,  // what is left over is for the request loop
    Close,     // once the replies are sent
  };
  struct Progress {
    Verdict verdict;
    size_t used;  // bytes of the input that are done with, and may be wiped
  };

  virtual ~Authenticator() = default;

  // Looks at all input that is here and not used yet, answers into `out`. The input is not changed.
  virtual Progress take(std::span<const char> input, proto::ReplyBuffer& out) = 0;

  // Said Wait, and there is no answer yet.
  virtual bool waits() const noexcept { return false; }
};

// The longest that credentials may be, value or SASL response. All of it has to be here before it
// is looked at, so this is also what a stranger can make us keep.
constexpr size_t kMaxAuthTokenBytes = 16 * 1024;

// So many requests of a stranger are answered in one pass: others get their turn, and if he does
// not take the answers no more are made.
constexpr int kAuthRequestsPerPass = 32;

}  // namespace larder::daemon
