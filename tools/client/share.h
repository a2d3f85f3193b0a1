// One round of questions and answers with several servers at once, in the calling thread.
#pragma once

#include <span>

#include "tools/client/connection.h"

namespace larder::client {

// What one server is asked. All of it is borrowed for the length of gather().
struct Share {
  Connection* connection = nullptr;  // idle; no two shares have the same one
  std::span<const Operation> operations;
  std::span<Answer> answers;  // as many
};

// Sends the operations of a share, as far as they go without waiting and before the deadline.
// Before gather().
void begin(Share& share, Deadline deadline);

// Waits with poll() until every connection of the begun shares is idle or has failed, or the
// deadline has passed. What has come by then is read, however late it is, but not what comes
// meanwhile. A connection that is
// neither idle nor failed afterwards has not answered in time: the caller is to fail it before
// operations or answers go away.
void gather(std::span<Share> shares, Deadline deadline);

}  // namespace larder::client
