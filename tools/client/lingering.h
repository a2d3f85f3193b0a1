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
//
// A child of fork() has a copy, which ends when that of the parent does. The child closes its copy
// without a reset, which would throw away what the parent sends.
#pragma once

#include <cstdint>
#include <list>

#include "tools/client/deadline.h"
#include "tools/client/descriptor.h"

namespace larder::client {

constexpr int kUnheardSeconds = 5;

// One thread at a time. Owns a descriptor.
class Lingering {
 public:
  Lingering() = default;
  ~Lingering();
  Lingering(const Lingering&) = delete;
  Lingering& operator=(const Lingering&) = delete;

  // Takes over the socket of a connection that is given up; once. Needs no further descriptor, so
  // it also holds the socket where the process has none left.
  void take(Descriptor socket) noexcept;

  // Whether it has. Reads what is there; without blocking.
  bool ended() noexcept;
  int socket() const noexcept { return socket_.get(); }

 private:
  Descriptor socket_;
  uint32_t taken_in_ = 0;  // process_generation()
};

// A list, so that one can be made with its connection and be handed on where memory has run out.
using LingeringList = std::list<Lingering>;

// Waits until all have ended; false if the deadline passed before.
bool await_end(LingeringList& connections, Deadline deadline);

}  // namespace larder::client
