// TempServer: a whole server in this process, on a free loopback port, for one test.
#pragma once

#include <string>
#include <thread>

#include "daemon/server.h"
#include "daemon/settings.h"
#include "tests/support/wire_client.h"

namespace larder::test {

// Loopback, any free port, two workers, the default memory.
daemon::Settings loopback_settings();

class TempServer {
 public:
  explicit TempServer(const daemon::Settings& settings = loopback_settings());
  ~TempServer();  // stops it and waits

  WireClient connect() const { return WireClient::over_tcp(server_.tcp_port()); }
  int port() const { return server_.tcp_port(); }
  daemon::Server& server() { return server_; }

  // Moves the cache's clock ahead; as if so much time had passed.
  void advance(core::Seconds seconds) { server_.clock().advance(seconds); }

  // A row of `stats`, asked for over a connection of its own.
  std::string stat(const std::string& name) const;

  // Waits until the server has ended by itself, as after `shutdown`.
  daemon::Server::Ended wait();

 private:
  daemon::Server server_;
  daemon::Server::Ended ended_ = daemon::Server::Ended::Normally;
  std::thread acceptor_;
};

}  // namespace larder::test
