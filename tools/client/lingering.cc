#include "tools/client/lingering.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "tools/client/process.h"

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

void Lingering::take(Descriptor socket) noexcept {
  socket_ = std::move(socket);
  taken_in_ = process_generation();
  give_up_unheard(socket_.get());
  shutdown(socket_.get(), SHUT_WR);
}

Lingering::~Lingering() {
  if (socket_.get() < 0 || taken_in_ != process_generation()) return;
  reset_on_close(socket_.get());
}

bool Lingering::ended() noexcept {
  std::array<char, 4096> thrown_away;
  while (true) {
    const ssize_t got = recv(socket_.get(), thrown_away.data(), thrown_away.size(), MSG_DONTWAIT);
    if (got > 0) continue;
    if (got == 0) return true;
    if (errno == EINTR) continue;
    // A connection that broke is one whose server has ended or forgotten it, or was not heard of.
    return errno != EAGAIN && errno != EWOULDBLOCK;
  }
}

bool await_end(LingeringList& connections, Deadline deadline) {
  for (Lingering& connection : connections) {
    while (!connection.ended()) {
      const int wait = milliseconds_until(deadline);
      if (wait == 0) return false;
      pollfd waiting = {connection.socket(), POLLIN, 0};
      poll(&waiting, 1, wait);
    }
  }
  return true;
}

}  // namespace larder::client
