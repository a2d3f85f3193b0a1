// Saslauthd: stands for Cyrus' daemon of that name and takes as long as it is told to.
//
// A request is four counted strings (two bytes of length, big endian): user, password, service,
// realm; an answer is one, "OK" or "NO". foo has the password bar.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_folder.h"

namespace larder::test {

class Saslauthd {
 public:
  Saslauthd() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_, 100) == 0);
    thread_ = std::thread([this] { run(); });
  }
  ~Saslauthd() {
    stopping_ = true;
    thread_.join();
    close(listener_);
  }
  Saslauthd(const Saslauthd&) = delete;
  Saslauthd& operator=(const Saslauthd&) = delete;

  std::string path() const { return folder_.file("mux"); }
  void hold(bool yes) { holding_ = yes; }           // answers nobody while it does
  size_t asked() const noexcept { return asked_; }  // so far

 private:
  void run() {
    std::vector<int> waiting;
    while (!stopping_) {
      pollfd poll_listener = {listener_, POLLIN, 0};
      if (poll(&poll_listener, 1, 5) > 0) {
        waiting.push_back(accept(listener_, nullptr, nullptr));
        ++asked_;
      }
      if (holding_) continue;
      for (const int client : waiting) answer(client);
      waiting.clear();
    }
    for (const int client : waiting) close(client);
  }
  static void answer(int client) {
    std::array<std::string, 4> request;
    for (std::string& text : request) {
      std::array<unsigned char, 2> size{};
      if (recv(client, size.data(), size.size(), MSG_WAITALL) != 2) break;
      text.resize(size[0] * 256u + size[1]);
      if (recv(client, text.data(), text.size(), MSG_WAITALL) < 0) break;
    }
    const bool good = request[0] == "foo" && request[1] == "bar";
    const std::string reply = std::string("\0\2", 2) + (good ? "OK" : "NO");
    [[maybe_unused]] const ssize_t sent =
        send(client, reply.data(), reply.size(), MSG_NOSIGNAL);  // who asked may have gone
    close(client);
  }

  const TempFolder folder_;
  const int listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::atomic<bool> holding_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> asked_{0};
  std::thread thread_;
};

}  // namespace larder::test
