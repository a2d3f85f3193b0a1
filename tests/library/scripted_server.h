// ScriptedServer: a listener on loopback that takes one connection, or some one after the other,
// and does with each what a test says, on a thread of its own.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "tests/support/stream_client.h"

namespace larder::test {

// The server's end. Every wait is bounded, as those of StreamClient; what fails ends the script.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // What comes next; empty: the client has closed.
  std::string read_some() {
    char bytes[4096];
    wait_for(fd_, POLLIN);
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) return {};
    read_.append(bytes, static_cast<size_t>(n));
    return std::string(bytes, static_cast<size_t>(n));
  }
  // Until so many bytes have come, or the client has closed.
  std::string read(size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      const std::string some = read_some();
      if (some.empty()) break;
      all += some;
    }
    return all;
  }
  void read_until_closed() {
    while (!read_some().empty()) {
    }
  }
  // False: the client has closed.
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Likewise, each "O?" replaced by the opaque of a meta request that was read: of the first, of
  // the second, and so on.
  bool answer(std::string reply) {
    constexpr std::string_view kMark = "O?";
    for (size_t at = 0; (at = reply.find(kMark, at)) != reply.npos;) {
      const size_t begin = read_.find(" O", answered_);
      if (begin == read_.npos) return false;
      answered_ = read_.find_first_of(" \r", begin + 1);
      const std::string opaque = read_.substr(begin + 1, answered_ - begin - 1);
      reply.replace(at, kMark.size(), opaque);
      at += opaque.size();
    }
    return write(reply);
  }
  // That a barrier has done nothing: the meta request that was read last.
  bool answer_barrier() {
    const size_t begin = read_.rfind(" O");
    if (begin == read_.npos) return false;
    answered_ = read_.find_first_of(" \r", begin + 1);
    return write("NF" + read_.substr(begin, answered_ - begin) + "\r\n");
  }
  int fd() const { return fd_; }

 private:
  int fd_;
  std::string read_;
  size_t answered_ = 0;  // of read_
};

class ScriptedServer {
 public:
  // receive_buffer  SO_RCVBUF of the connection in bytes; 0: what the kernel gives
  // connections     how many it takes, each once the one before is over
  explicit ScriptedServer(std::function<void(Peer&)> script, int receive_buffer = 0,
                          int connections = 1)
      : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) {
      setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, script = std::move(script), connections] {
      for (int i = 0; i < connections; ++i) {
        const int fd = ::accept(listener_, nullptr, nullptr);
        if (fd < 0) return;
        Peer peer(fd);
        try {
          script(peer);
        } catch (const std::runtime_error&) {
          // The test sees that what it waits for does not come.
        }
      }
    });
  }
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);  // ends an accept that nobody came for
    thread_.join();
    ::close(listener_);
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  int listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace larder::test
