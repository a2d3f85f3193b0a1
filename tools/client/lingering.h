// Lingering: a connection that was given up with a write under way, held until the server has
// closed its end.
//
// The server may not have read the write yet: a process that is stopped finds it in its socket
// buffer when it goes on, perhaps after a delete that came later over another connection, and then
// the write is what stays. So our end is closed for sending. The server does what it has received,
// finds the end and closes: from then on nothing of the connection can happen any more.
//
// Nor may the kernel send later what it could not send yet, as it would for a socket that is only
// closed: over a network that was cut, long after the node is in use again. So one that is not
// waited for is reset, and one whose server has not acknowledged anything for kUnheardSeconds
// counts as ended: what it had not sent is gone with it.
#pragma once

#include <optional>
#include <span>

#include "tools/client/deadline.h"

namespace larder::client {

constexpr int kUnheardSeconds = 5;

// One thread at a time. Owns a descriptor.
class Lingering {
 public:
  // From the socket of a connection that is about to be closed. Empty if the process has no
  // descriptor left: then the socket is to be reset when it is closed.
  static std::optional<Lingering> from(int socket);
  ~Lingering();
  Lingering(Lingering&& other) noexcept;
  Lingering& operator=(Lingering&& other) noexcept;

 private:
  friend bool await_end(std::span<Lingering> connections, Deadline deadline);

  explicit Lingering(int socket);
  bool ended();  // reads what is there; without blocking

  int socket_;
};

// Waits until all have ended; false if the deadline passed before.
bool await_end(std::span<Lingering> connections, Deadline deadline);

}  // namespace larder::client
