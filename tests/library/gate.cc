#include "tests/library/gate.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/library/loopback.h"
#include "tests/support/stream_client.h"

namespace larder::test {
namespace {

// One direction of a connection.
struct Flow {
  int from = -1;
  int to = -1;
  std::string held = {};
  bool ended = false;   // nothing comes any more
  bool passed = false;  // and the other side knows

  bool over() const { return passed; }

  void move(Gate::Stats stats = Gate::Stats::Pass) {
    char bytes[16384];
    while (!ended && held.size() < (1u << 20)) {
      const ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got > 0) {
        held.append(bytes, static_cast<size_t>(got));
      } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        ended = true;
      } else {
        break;
      }
    }
    constexpr std::string_view kStats = "stats larder\r\n";
    if (stats != Gate::Stats::Pass && held == kStats) {
      held.clear();
      ended = ended || stats == Gate::Stats::Close;
    }
    while (!held.empty()) {
      const ssize_t sent = send(to, held.data(), held.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) {
        held.erase(0, static_cast<size_t>(sent));
      } else if (errno != EAGAIN && errno != EINTR) {
        held.clear();
        ended = true;
      } else {
        break;
      }
    }
    if (ended && held.empty() && !passed) {
      shutdown(to, SHUT_WR);
      passed = true;
    }
  }
};

}  // namespace

struct Gate::Pair {
  int client = -1;
  int server = -1;
  bool held = false;
  Flow forth{client, server};
  Flow back{server, client};

  Pair(int from, int to) : client(from), server(to), forth{from, to}, back{to, from} {}
  ~Pair() {
    close(client);
    close(server);
  }
  void reset() const {
    const linger now{1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
};

Gate::Gate(int port, const char* address, int own_port)
    : behind_(port), address_(inet_addr(address)), port_(own_port) {
  listen_again();
  thread_ = std::thread([this] { run(); });
}

Gate::~Gate() {
  ending_ = true;
  thread_.join();
  if (listener_ >= 0) close(listener_);
}

void Gate::open() { set(Mode::Open); }
void Gate::shut() { set(Mode::Shut); }
void Gate::hold() { set(Mode::Hold); }
void Gate::hold_existing() { set(Mode::HoldExisting); }

void Gate::set(Mode mode) {
  wanted_ = mode;
  const uint64_t change = ++changes_;
  if (!eventually([&] { return done_ >= change; })) throw std::runtime_error("the gate is stuck");
}

void Gate::listen_again() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = loopback(port_);
  address.sin_addr.s_addr = address_;
  socklen_t bytes = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes) != 0 ||
      listen(listener_, 100) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    throw std::runtime_error("the gate cannot listen");
  }
  port_ = ntohs(address.sin_port);
}

void Gate::run() {
  std::list<Pair> pairs;
  Mode mode = Mode::Open;
  while (!ending_) {
    const uint64_t change = changes_;
    if (change != done_) {
      mode = wanted_;
      if (mode == Mode::Shut && listener_ >= 0) {
        close(listener_);
        listener_ = -1;
        for (const Pair& pair : pairs) pair.reset();
        pairs.clear();
      }
      if (mode != Mode::Shut && listener_ < 0) listen_again();
      for (Pair& pair : pairs) pair.held = mode == Mode::Hold || mode == Mode::HoldExisting;
      done_ = change;
    }
    std::vector<pollfd> polled;
    if (listener_ >= 0) polled.push_back({listener_, POLLIN, 0});
    for (const Pair& pair : pairs) {
      if (pair.held) continue;
      if (!pair.forth.ended) polled.push_back({pair.client, POLLIN, 0});
      if (!pair.back.ended) polled.push_back({pair.server, POLLIN, 0});
    }
    poll(polled.data(), polled.size(), 1);
    for (int client; listener_ >= 0 && (client = accept(listener_, nullptr, nullptr)) >= 0;) {
      const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = loopback(behind_);
      if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        close(server);
        close(client);
        continue;
      }
      pairs.emplace_back(client, server).held = mode == Mode::Hold;
    }
    for (Pair& pair : pairs) {
      if (pair.held) continue;
      pair.forth.move(stats_);
      pair.back.move();
    }
    pairs.remove_if([](const Pair& pair) { return pair.forth.over() && pair.back.over(); });
  }
}

}  // namespace larder::test
