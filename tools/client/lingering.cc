#include "tools/client/lingering.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
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

// How long the end of one is waited for before all are looked at again.
constexpr int kLookEveryMs = 500;

// Has the kernel find out that nobody is there where all data is acknowledged, by asking. Where
// some is not, Silence finds it: TCP_USER_TIMEOUT would end a connection, too, whose machine says
// all the time that its socket buffer is full. Of a Unix socket the kernel knows it anyway.
void ask_whether_alive(int socket) {
  constexpr int kOn = 1;
  constexpr int kAskEverySeconds = 1;
  constexpr int kQuestions = kUnheardSeconds / kAskEverySeconds;
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kAskEverySeconds, sizeof kAskEverySeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kAskEverySeconds, sizeof kAskEverySeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &kQuestions, sizeof kQuestions);
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
}

// Nothing of a Unix socket.
std::optional<TcpState> state_of(int socket) {
  tcp_info info{};
  socklen_t bytes = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0) return std::nullopt;
  return TcpState{.since_ack = std::chrono::milliseconds(info.tcpi_last_ack_recv),
                  .probes = info.tcpi_probes,
                  .unacknowledged = info.tcpi_unacked,
                  .retransmissions = info.tcpi_total_retrans};
}

}  // namespace

void Silence::begin(const TcpState& state, TimePoint now) noexcept {
  since_.reset();
  if (state.unacknowledged > 0) since_ = now;
  retransmissions_ = state.retransmissions;
}

bool Silence::is_too_long(const TcpState& state, TimePoint now) noexcept {
  const bool is_sent_again = state.retransmissions != retransmissions_;
  retransmissions_ = state.retransmissions;
  const bool owes = state.probes > 0 || state.unacknowledged > 0;
  if (since_ && (!owes || now - state.since_ack > *since_)) since_.reset();
  // A probe counts until it is acknowledged; a segment may have been, with a window of 0.
  if (!since_ && (state.probes > 0 || (owes && is_sent_again))) since_ = now;
  return since_ && now - *since_ >= std::chrono::seconds(kUnheardSeconds);
}

void Lingering::take(Descriptor socket) noexcept {
  socket_ = std::move(socket);
  taken_in_ = process_generation();
  ask_whether_alive(socket_.get());
  shutdown(socket_.get(), SHUT_WR);
  if (const auto state = state_of(socket_.get())) {
    silence_.begin(*state, std::chrono::steady_clock::now());
  }
}

Lingering::~Lingering() { reset(); }

// Closes alone in a child of fork().
void Lingering::reset() noexcept {
  if (socket_.get() >= 0 && taken_in_ == process_generation()) reset_on_close(socket_.get());
  socket_ = Descriptor();
}

bool Lingering::is_unheard() noexcept {
  const auto state = state_of(socket_.get());
  return state && silence_.is_too_long(*state, std::chrono::steady_clock::now());
}

bool Lingering::ended() noexcept {
  if (socket_.get() < 0) return true;
  std::array<char, 4096> thrown_away;
  while (true) {
    const ssize_t got = recv(socket_.get(), thrown_away.data(), thrown_away.size(), MSG_DONTWAIT);
    if (got > 0) continue;
    if (got == 0) return true;
    if (errno == EINTR) continue;
    // A connection that broke is one whose server has ended or forgotten it, or was not heard of.
    if (errno != EAGAIN && errno != EWOULDBLOCK) return true;
    if (!is_unheard()) return false;
    reset();
    return true;
  }
}

bool await_end(LingeringList& connections, Deadline deadline) {
  while (true) {
    // All are looked at each time, so that several that are not heard of end at the same time.
    Lingering* open = nullptr;
    for (Lingering& connection : connections) {
      if (!connection.ended()) open = &connection;
    }
    if (open == nullptr) return true;
    const int wait = milliseconds_until(deadline);
    if (wait == 0) return false;
    pollfd waiting = {open->socket(), POLLIN, 0};
    poll(&waiting, 1, std::min(wait, kLookEveryMs));
  }
}

}  // namespace larder::client
