// Lingering: a connection that was given up with a write under way, held until the server has
// closed its end.
//
// The server may not have read the write yet: a process that is stopped finds it in its socket
// buffer when it goes on, perhaps after a delete that came later over another connection, and then
// the write is what stays. So our end is closed for sending. The server does what it has received,
// finds the end and closes: from then on nothing of the connection can happen any more.
#pragma once

#include <optional>
#include <span>

#include "tools/client/connection.h"

namespace larder::client {

// One thread at a time. Owns a descriptor.
class Lingering {
 public:
  // From the socket of a connection that has not failed yet. Empty if the process has no descriptor
  // left; the socket is closed for sending all the same.
  static std::optional<Lingering> from(int socket);
  ~Lingering();
  Lingering(Lingering&& other) noexcept;
  Lingering& operator=(Lingering&& other) noexcept;

  std::chrono::steady_clock::time_point since() const noexcept { return since_; }

 private:
  friend bool await_end(std::span<Lingering> connections, Deadline deadline);

  explicit Lingering(int socket);
  bool ended();  // reads what is there; without blocking

  int socket_;
  std::chrono::steady_clock::time_point since_;
};

// Waits until all have ended; false if the deadline passed before.
bool await_end(std::span<Lingering> connections, Deadline deadline);

}  // namespace larder::client
