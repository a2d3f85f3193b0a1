// UdpPort: a datagram socket that a worker serves. A request is one datagram, and nothing of it
// remains when it is answered: no connection, no half a command, no reply that waits.
//
// One thread, its worker's, but for row(). It lives as long as the worker.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/units.h"
#include "daemon/event_ptr.h"
#include "daemon/socket.h"
#include "daemon/stats_report.h"
#include "daemon/udp_message.h"

namespace larder::daemon {

class Worker;

class UdpPort {
 public:
  // Waits for datagrams on a bound socket from now on. Throws std::runtime_error if it cannot.
  UdpPort(Worker& worker, Socket socket);
  UdpPort(const UdpPort&) = delete;
  UdpPort& operator=(const UdpPort&) = delete;

  // For `stats conns`; any thread. Only if it was asked for through this port its client is shown.
  ConnectionRow row(core::Seconds now) const;

 private:
  static constexpr size_t kDatagramsPerCall = 32;  // of a reply; sendmmsg

  static void on_read_event(int fd, short what, void* self);
  void on_readable();
  bool may_answer() const noexcept;
  size_t answer(std::span<char> datagram);  // returns how long the reply was
  void send_reply(proto::ReplyBuffer& replies, uint16_t request_id);
  // False if the network takes no more: what is missing is lost, as datagrams are.
  bool send(std::span<mmsghdr> datagrams);

  Worker& worker_;
  Socket socket_;
  const uint16_t port_;
  EventPtr read_event_;
  sockaddr_storage client_{};  // of the datagram being answered
  socklen_t client_bytes_ = 0;
  std::atomic<core::Seconds> last_active_;  // relaxed: a figure
  std::atomic<bool> working_{false};        // likewise

  // What a call of sendmmsg points to.
  std::array<UdpHeader::Bytes, kDatagramsPerCall> headers_;
  std::vector<iovec> pieces_;
};

}  // namespace larder::daemon
