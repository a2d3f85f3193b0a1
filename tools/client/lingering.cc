#include "tools/client/lingering.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "tools/client/share.h"

namespace larder::client {

std::optional<Lingering> Lingering::from(int socket) {
  const int held = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  shutdown(socket, SHUT_WR);
  if (held < 0) return std::nullopt;
  return Lingering(held);
}

Lingering::Lingering(int socket) : socket_(socket), since_(std::chrono::steady_clock::now()) {}

Lingering::~Lingering() {
  if (socket_ >= 0) close(socket_);
}

Lingering::Lingering(Lingering&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), since_(other.since_) {}

Lingering& Lingering::operator=(Lingering&& other) noexcept {
  std::swap(socket_, other.socket_);
  since_ = other.since_;
  return *this;
}

bool Lingering::ended() {
  std::array<char, 4096> thrown_away;
  while (true) {
    const ssize_t got = recv(socket_, thrown_away.data(), thrown_away.size(), MSG_DONTWAIT);
    if (got > 0) continue;
    if (got == 0) return true;
    if (errno == EINTR) continue;
    // A connection that broke is one whose server process has ended, or forgotten it.
    return errno != EAGAIN && errno != EWOULDBLOCK;
  }
}

bool await_end(std::span<Lingering> connections, Deadline deadline) {
  for (Lingering& connection : connections) {
    while (!connection.ended()) {
      const int wait = milliseconds_until(deadline);
      if (wait == 0) return false;
      pollfd waiting = {connection.socket_, POLLIN, 0};
      poll(&waiting, 1, wait);
    }
  }
  return true;
}

}  // namespace larder::client
