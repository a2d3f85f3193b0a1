#include "tools/client/lingering.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace larder::client {
namespace {

// Has close() throw away what was not sent.
void reset_on_close(int socket) {
  const linger at_once{1, 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// Has the kernel find out that nobody is there: for data that is not acknowledged, and where all of
// it is, by asking. Of a Unix socket the kernel knows it anyway.
void give_up_unheard(int socket) {
  constexpr int kOn = 1;
  constexpr int kAskEverySeconds = 1;
  constexpr unsigned kUnheardMs = kUnheardSeconds * 1000;
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kAskEverySeconds, sizeof kAskEverySeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kAskEverySeconds, sizeof kAskEverySeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnheardMs, sizeof kUnheardMs);
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
}

}  // namespace

std::optional<Lingering> Lingering::from(int socket) {
  const int held = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (held < 0) {
    reset_on_close(socket);
    return std::nullopt;
  }
  give_up_unheard(held);
  shutdown(held, SHUT_WR);
  return Lingering(held);
}

Lingering::Lingering(int socket) : socket_(socket) {}

Lingering::~Lingering() {
  if (socket_ < 0) return;
  reset_on_close(socket_);
  close(socket_);
}

Lingering::Lingering(Lingering&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}

Lingering& Lingering::operator=(Lingering&& other) noexcept {
  std::swap(socket_, other.socket_);
  return *this;
}

bool Lingering::ended() {
  std::array<char, 4096> thrown_away;
  while (true) {
    const ssize_t got = recv(socket_, thrown_away.data(), thrown_away.size(), MSG_DONTWAIT);
    if (got > 0) continue;
    if (got == 0) return true;
    if (errno == EINTR) continue;
    // A connection that broke is one whose server has ended or forgotten it, or was not heard of.
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
