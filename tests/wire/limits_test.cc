// The connection limit, descriptors, idle clients.
#include <sys/resource.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/failing_allocations.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::eventually;
using larder::test::FailingAllocations;
using larder::test::loopback_settings;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::WireClient;

TEST_CASE("with maxconns_fast the client that is too many is told so") {
  Settings settings = loopback_settings();
  settings.max_connections = 5;
  TempServer server(settings);
  std::vector<WireClient> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(server.connect());
    REQUIRE(clients.back().ask_line("mn") == "MN");
  }
  for (int i = 0; i < 3; ++i) {
    WireClient refused = server.connect();
    CHECK(refused.receive_until_closed() == "ERROR Too many open connections\r\n");
  }
  clients.pop_back();
  REQUIRE(eventually([&] { return server.server().open_connections() == 4; }));
  WireClient again = server.connect();
  CHECK(again.ask_line("mn") == "MN");
  again.close();
  REQUIRE(eventually([&] { return server.server().open_connections() == 4; }));
  CHECK(server.stat("rejected_connections") == "3");
  REQUIRE(eventually([&] { return server.server().open_connections() == 4; }));
  CHECK(server.stat("accepting_conns") == "1");
}

TEST_CASE("without maxconns_fast a client that is too many waits for its turn") {
  Settings settings = loopback_settings();
  settings.max_connections = 3;
  settings.maxconns_fast = false;
  TempServer server(settings);
  std::vector<WireClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(server.connect());
    REQUIRE(clients.back().ask_line("mn") == "MN");
  }
  WireClient waiting = server.connect();  // in the listener's queue
  waiting.send("version\r\n");
  REQUIRE(eventually([&] {
    clients[0].send("stats\r\n");
    return clients[0].receive_until("END\r\n").find("STAT accepting_conns 0") != std::string::npos;
  }));
  CHECK(server.server().open_connections() == 3);
  clients.pop_back();
  CHECK(waiting.receive_line() == "VERSION 1.6.45\r\n");
  clients[0].send("stats\r\n");
  const std::string stats = clients[0].receive_until("END\r\n");
  CHECK(stats.find("STAT rejected_connections") == std::string::npos);
  CHECK(stats.find("STAT listen_disabled_num 0") == std::string::npos);
}

TEST_CASE("a client that waits for its turn gets it although the one that leaves finds no memory") {
  Settings settings = loopback_settings();
  settings.max_connections = 1;
  settings.maxconns_fast = false;
  settings.threads = 1;
  TempServer server(settings);
  const auto wait_in_queue = [&](WireClient& inside) {
    WireClient waiting = server.connect();
    REQUIRE(eventually([&] {
      inside.send("stats\r\n");
      return inside.receive_until("END\r\n").find("STAT accepting_conns 0") != std::string::npos;
    }));
    return waiting;
  };
  WireClient first = server.connect();
  REQUIRE(first.ask_line("mn") == "MN");
  WireClient second = wait_in_queue(first);
  const char* closing_thread = "larder-0";
  bool watches = false;
  SECTION("a worker's client") {}
  SECTION("a watcher") {
    watches = true;
    first.send("watch mutations\r\n");
    REQUIRE(first.receive_line() == "OK\r\n");
    closing_thread = "larder-watch";
  }
  {
    const FailingAllocations none(closing_thread);
    first.close();
    if (watches) {
      CHECK(second.ask_line("mn") == "MN");
      CHECK(none.failed() == 0);
      second.close();
    } else {
      CHECK(second.closed_by_peer());  // it was accepted, and its connection found no memory
      CHECK(none.failed() == 1);
    }
  }
  WireClient third = server.connect();
  CHECK(third.ask_line("mn") == "MN");
  WireClient fourth = wait_in_queue(third);
  third.close();
  CHECK(fourth.ask_line("mn") == "MN");
  CHECK(server.server().open_connections() == 1);
}

TEST_CASE("clients that come and go in crowds are all served") {
  Settings settings = loopback_settings();
  settings.max_connections = 8;
  settings.maxconns_fast = false;
  settings.threads = 4;
  TempServer server(settings);
  std::vector<std::thread> threads;
  std::atomic<int> served{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        WireClient client = server.connect();
        if (client.ask_line("mn") == "MN") ++served;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(served == 800);
  CHECK(eventually([&] { return server.server().open_connections() == 0; }));
}

TEST_CASE("running out of descriptors is survived") {
  TempServer server;
  WireClient client = server.connect();
  REQUIRE(client.ask_line("mn") == "MN");

  // The client's socket exists already; only the server's accept meets the limit, for the lowest
  // free number is the limit for new ones. No check until it is lifted: one that fails would leave
  // it.
  const larder::daemon::Socket late(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getpeername(client.fd(), reinterpret_cast<sockaddr*>(&address), &length);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(late.fd()) + 1;
  const int limited = setrlimit(RLIMIT_NOFILE, &tight);
  const int connected = connect(late.fd(), reinterpret_cast<sockaddr*>(&address), length);
  const bool paused = eventually([&] {
    client.send("stats\r\n");
    return client.receive_until("END\r\n").find("STAT listen_disabled_num 0\r\n") ==
           std::string::npos;
  });
  setrlimit(RLIMIT_NOFILE, &before);
  REQUIRE(limited == 0);
  REQUIRE(connected == 0);
  CHECK(paused);

  REQUIRE(send(late.fd(), "mn\r\n", 4, MSG_NOSIGNAL) == 4);
  char reply[4];
  CHECK(recv(late.fd(), reply, sizeof reply, MSG_WAITALL) == 4);
  CHECK(server.connect().ask_line("mn") == "MN");
}

TEST_CASE("idle TCP clients are closed, active ones and unix sockets stay") {
  TempFolder folder;
  Settings settings = loopback_settings();
  settings.idle_timeout_seconds = 60;
  settings.port_given = true;
  settings.unix_socket = folder.file("socket");
  TempServer server(settings);
  WireClient idle = server.connect();
  WireClient stuck = server.connect();
  WireClient local = WireClient::over_unix(settings.unix_socket);
  REQUIRE(idle.ask_line("mn") == "MN");
  REQUIRE(local.ask_line("mn") == "MN");
  stuck.send("set a 0 0 1000\r\nabc");
  REQUIRE(eventually([&] {
    local.send("stats conns\r\n");
    return local.receive_until("END\r\n").find("conn_nread") != std::string::npos;
  }));
  server.advance(50);
  WireClient fresh = server.connect();
  REQUIRE(fresh.ask_line("mn") == "MN");
  server.advance(20);
  CHECK(idle.closed_by_peer());
  CHECK(stuck.closed_by_peer());
  CHECK(fresh.ask_line("mn") == "MN");
  CHECK(local.ask_line("mn") == "MN");
  CHECK(server.stat("idle_kicks") == "2");
}
