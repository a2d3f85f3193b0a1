#include "tests/library/misbehaving_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/reply_parser.h"
#include "tests/library/loopback.h"
#include "tests/support/stream_client.h"

namespace larder::test {
namespace {

// What has come; false: nothing comes any more.
bool receive(int from, std::string& into) {
  char bytes[16384];
  for (;;) {
    const ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    into.append(bytes, static_cast<size_t>(got));
  }
}

// As much as goes; false: nothing goes any more.
bool send(int to, std::string& from) {
  while (!from.empty()) {
    const ssize_t sent = ::send(to, from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    from.erase(0, static_cast<size_t>(sent));
  }
  return true;
}

// The reply at the front of what came from the server; `head` is its part before a value. Empty:
// not all of it has come.
std::string_view first_reply(std::string_view came, client::Dialect dialect, size_t& head) {
  proto::ReplyHead parsed;
  const proto::ParsedReply reply = dialect == client::Dialect::Binary
                                       ? proto::parse_binary_reply(came, parsed)
                                       : proto::parse_text_reply(came, parsed);
  if (reply.status != proto::ParsedReply::Status::Complete) return {};
  head = reply.consumed;
  const size_t whole = head + parsed.value_bytes + parsed.trailer_bytes;
  return came.size() < whole ? std::string_view{} : came.substr(0, whole);
}

}  // namespace

struct MisbehavingServer::Pair {
  int client;
  int server;
  std::string forth = {};
  std::string came = {};  // from the server
  std::string back = {};
  std::string kept = {};  // goes in front of the next reply, or behind it
  bool is_kept_back = false;
  bool over = false;

  Pair(int from, int to) : client(from), server(to) {}
  Pair(const Pair&) = delete;
  ~Pair() {
    close(client);
    close(server);
  }

  void add(std::string_view reply, size_t head, Fault fault) {
    if (!is_kept_back) back += std::exchange(kept, {});
    std::string behind = std::exchange(kept, {});
    is_kept_back = fault == Fault::Swap;
    switch (fault) {
      case Fault::None:
        back += reply;
        break;
      case Fault::Double:
        back.append(reply).append(reply);
        break;
      case Fault::Late:
        back += reply;
        kept = reply;
        break;
      case Fault::Swap:
        kept = reply;
        break;
      case Fault::Lose:
        break;
      case Fault::Cut:
        back += reply.substr(0, reply.size() / 2);
        break;
      case Fault::LoseFirst:
        back += reply.substr(head);
        break;
    }
    back += behind;
  }
};

MisbehavingServer::MisbehavingServer(int port, client::Dialect dialect)
    : behind_(port), dialect_(dialect) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = loopback(0);
  socklen_t bytes = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes) != 0 ||
      listen(listener_, 100) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    throw std::runtime_error("the misbehaving server cannot listen");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

MisbehavingServer::~MisbehavingServer() {
  ending_ = true;
  thread_.join();
  close(listener_);
}

void MisbehavingServer::spoil(Fault fault, uint32_t after) {
  after_ = after;
  fault_ = fault;
}

Fault MisbehavingServer::next_fault() {
  if (fault_ != Fault::None) {
    if (after_ > 0) {
      --after_;
      return Fault::None;
    }
    ++spoiled_;
    return fault_.exchange(Fault::None);
  }
  if (one_of_ == 0) return Fault::None;
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  const uint64_t drawn = random_ >> 33;
  if (drawn % one_of_ != 0) return Fault::None;
  ++spoiled_;
  return kFaults[drawn / one_of_ % std::size(kFaults)];
}

void MisbehavingServer::run() {
  std::list<Pair> pairs;
  while (!ending_) {
    std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs) {
      polled.push_back({pair.client, POLLIN, 0});
      polled.push_back({pair.server, POLLIN, 0});
    }
    poll(polled.data(), polled.size(), 1);
    for (int client; (client = accept(listener_, nullptr, nullptr)) >= 0;) {
      const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = loopback(behind_);
      if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        close(server);
        close(client);
        continue;
      }
      pairs.emplace_back(client, server);
    }
    for (Pair& pair : pairs) {
      const bool asks = receive(pair.client, pair.forth) && send(pair.server, pair.forth);
      const bool answers = receive(pair.server, pair.came);
      for (size_t head = 0;;) {
        const std::string_view reply = first_reply(pair.came, dialect_, head);
        if (reply.empty()) break;
        pair.add(reply, head, next_fault());
        pair.came.erase(0, reply.size());
      }
      pair.over = !send(pair.client, pair.back) || !asks || !answers;
    }
    pairs.remove_if([](const Pair& pair) { return pair.over; });
  }
}

}  // namespace larder::test
