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
// waited for is reset, and one whose server's machine leaves what was sent unacknowledged for
// kUnheardSeconds is reset and counts as ended: what it had not sent is gone with it. A machine
// that acknowledges is waited for, however long its server hangs with a full socket buffer: the
// server may read that buffer after a reset, too.
//
// A child of fork() has a copy, which ends when that of the parent does. The child closes its copy
// without a reset, which would throw away what the parent sends.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>

#include "tools/client/deadline.h"
#include "tools/client/descriptor.h"

namespace larder::client {

constexpr int kUnheardSeconds = 5;

// What the kernel knows of a TCP connection (TCP_INFO).
struct TcpState {
  std::chrono::milliseconds since_ack{0};  // any acknowledgement, also of a probe
  uint32_t probes = 0;                     // sent since then
  uint32_t unacknowledged = 0;             // segments, also a FIN
  uint32_t retransmissions = 0;            // since it was opened
};

// Silence: for how long a machine has owed an acknowledgement. One thread at a time.
//
// The age of the last one does not say that: the kernel asks a machine whose socket buffer is full
// at ever longer intervals, up to 120 s. So the time counts from the first look that finds
// something sent and not acknowledged, until an acknowledgement comes.
class Silence {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // When nothing more is sent by the caller: what is on its way is owed from now on.
  void begin(const TcpState& state, TimePoint now) noexcept;
  // A look; true: kUnheardSeconds have passed.
  bool is_too_long(const TcpState& state, TimePoint now) noexcept;

 private:
  std::optional<TimePoint> since_;
  uint32_t retransmissions_ = 0;  // at the last look
};

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

  // Whether it has; resets it if its machine is silent. Reads what is there; without blocking.
  bool ended() noexcept;
  int socket() const noexcept { return socket_.get(); }

 private:
  void reset() noexcept;
  bool is_unheard() noexcept;

  Descriptor socket_;
  uint32_t taken_in_ = 0;  // process_generation()
  Silence silence_;
};

// A list, so that one can be made with its connection and be handed on where memory has run out.
using LingeringList = std::list<Lingering>;

// Waits until all have ended; false if the deadline passed before.
bool await_end(LingeringList& connections, Deadline deadline);

}  // namespace larder::client
