// ChildServer: a server in a process of its own, which can be stopped and continued.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "daemon/server.h"
#include "tests/support/temp_server.h"

namespace larder::test {

class ChildServer {
 public:
  // Forks: while this process has one thread.
  ChildServer() {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    child_ = fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      try {
        daemon::Server server(loopback_settings());
        server.start();
        const int port = server.tcp_port();
        if (write(ready[1], &port, sizeof port) == sizeof port) server.run();
        server.stop();
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    close(ready[1]);
    REQUIRE(read(ready[0], &port_, sizeof port_) == sizeof port_);
    close(ready[0]);
  }
  ~ChildServer() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;

  int port() const { return port_; }

  // Returns once the process does nothing any more.
  void stop() {
    kill(child_, SIGSTOP);
    int status = 0;
    REQUIRE(waitpid(child_, &status, WUNTRACED) == child_);
    REQUIRE(WIFSTOPPED(status));
  }
  void go_on() { kill(child_, SIGCONT); }

 private:
  pid_t child_ = -1;
  int port_ = 0;
};

}  // namespace larder::test
