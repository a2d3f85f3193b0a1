#include "tools/client/share.h"

#include <poll.h>

#include <algorithm>
#include <vector>

#include "tools/client/deadline.h"

namespace larder::client {
namespace {

bool waits(const Connection& connection) { return !connection.failed() && !connection.idle(); }

}  // namespace

void begin(Share& share, Deadline deadline) {
  share.connection->submit(share.operations, share.answers);
  if (waits(*share.connection)) share.connection->advance(deadline);
}

void gather(std::span<Share> shares, Deadline deadline) {
  std::vector<pollfd> polled;
  std::vector<Connection*> waiting;
  for (const Share& share : shares) {
    if (waits(*share.connection)) waiting.push_back(share.connection);
  }
  while (!waiting.empty()) {
    const int wait = milliseconds_until(deadline);
    if (waiting.size() == 1 && wait > 0) {
      waiting[0]->advance_by(deadline);
      if (!waits(*waiting[0])) return;
      continue;
    }
    polled.clear();
    for (const Connection* connection : waiting) {
      polled.push_back({connection->fd(), connection->events(), 0});
    }
    // Past the deadline too: a thread that was kept elsewhere takes what has come meanwhile.
    poll(polled.data(), polled.size(), wait);
    for (size_t i = 0; i < waiting.size(); ++i) {
      if (polled[i].revents != 0) waiting[i]->advance(deadline);
    }
    std::erase_if(waiting, [](const Connection* connection) { return !waits(*connection); });
    if (wait == 0) return;
  }
}

}  // namespace larder::client
