// Socket: owns a descriptor, and the few calls on it that workers make; errno becomes a status.
// With a TLS session it receives and sends what that decrypts and encrypts.
//
// One thread at a time; moves from the listener to a worker.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace larder::daemon {

class TlsSession;
struct TlsDeleter {
  void operator()(TlsSession* session) const noexcept;
};
using TlsPtr = std::unique_ptr<TlsSession, TlsDeleter>;

class Socket {
 public:
  enum class Status : uint8_t {
    Ok,      // `bytes` were moved, at least one
    Again,   // nothing now; wait for the event
    Closed,  // the peer has sent all it will (recv only)
    Broken,  // reset, or any other error: close
  };
  struct Moved {
    Status status = Status::Broken;
    size_t bytes = 0;
  };

  Socket() = default;
  explicit Socket(int fd) noexcept : fd_(fd) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), tls_(std::move(other.tls_)) {}
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  explicit operator bool() const noexcept { return fd_ >= 0; }
  int fd() const noexcept { return fd_; }
  void close() noexcept;

  // Encrypts from now on; nothing has been received or sent yet.
  void use(TlsPtr session) noexcept { tls_ = std::move(session); }
  bool is_tls() const noexcept { return tls_ != nullptr; }
  // As TlsSession's; nothing, and false, without one.
  void leave_worker() noexcept;
  bool holds_input() const noexcept;
  bool wants_write() const noexcept;

  // One recv, readv or sendmsg, repeated only if a signal came before the first byte. With TLS as
  // many as it takes to fill `into`, or until there is no more.
  Moved receive(std::span<char> into) noexcept;
  Moved receive(std::span<const iovec> into) noexcept;
  Moved send(std::span<const iovec> pieces) noexcept;  // at most IOV_MAX pieces; no SIGPIPE

 private:
  int fd_ = -1;
  TlsPtr tls_;  // empty: plain
};

// An address as `stats conns` shows it: "tcp:127.0.0.1:57032", "tcp6:[::1]:57032", "unix:/path",
// "udp:127.0.0.1:57032". Of the socket itself, of its peer, and of who has sent a datagram.
std::string local_address(int fd);
std::string peer_address(int fd);
std::string udp_address(const sockaddr_storage& address, socklen_t length);

}  // namespace larder::daemon
