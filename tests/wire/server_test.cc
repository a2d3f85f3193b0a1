// The life of a server: start, stop, figures, time.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <string>

#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Server;
using larder::daemon::Settings;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::WireClient;

TEST_CASE("shutdown ends the server, if it may") {
  Settings settings = loopback_settings();
  TempServer careful(settings);
  CHECK(careful.connect().ask_line("shutdown") == "SERVER_ERROR: shutdown not enabled");
  settings.allow_shutdown = true;
  SECTION("at once") {
    TempServer server(settings);
    WireClient client = server.connect();
    client.send("shutdown\r\n");
    CHECK(server.wait() == Server::Ended::Normally);
  }
  SECTION("gracefully") {
    TempServer server(settings);
    WireClient client = server.connect();
    client.send("shutdown graceful\r\n");
    CHECK(server.wait() == Server::Ended::Gracefully);
  }
}

TEST_CASE("a server stops while clients are in the middle of everything") {
  std::vector<WireClient> clients;
  {
    TempServer server;
    WireClient writer = server.connect();
    const std::string value(1'000'000, 'x');
    REQUIRE(writer.ask_line("set k 0 0 1000000\r\n" + value) == "STORED");
    for (int i = 0; i < 10; ++i) {
      clients.push_back(WireClient::over_tcp_with_small_buffer(server.port(), 4096));
      clients.back().send("get k k k k k\r\nget k");
      clients.push_back(server.connect());
      clients.back().send("set half 0 0 500000\r\nabc");
      clients.push_back(server.connect());
      clients.back().send("set refused 0 0 50000000\r\nabc");
    }
    REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  }
  for (WireClient& client : clients) client.receive_until_closed();
}

TEST_CASE("signals end the server") {
  // In a process of its own: signals are for all of it.
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int code = 2;
      try {
        Server server(loopback_settings());
        server.start();
        if (write(ready[1], "r", 1) == 1) {
          code = server.run() == Server::Ended::Gracefully ? 1 : 0;
        }
        server.stop();
      } catch (...) {
        code = 3;
      }
      _exit(code);
    }
    char byte;
    REQUIRE(read(ready[0], &byte, 1) == 1);
    kill(child, SIGHUP);   // ignored
    kill(child, SIGPIPE);  // ignored
    kill(child, signal);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == (signal == SIGUSR1 ? 1 : 0));
    close(ready[0]);
    close(ready[1]);
  }
}

TEST_CASE("connections are shared out among the workers") {
  Settings settings = loopback_settings();
  settings.threads = 4;
  TempServer server(settings);
  std::vector<WireClient> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(server.connect());
    REQUIRE(clients.back().ask_line("set k" + std::to_string(i) + " 0 0 1\r\n1") == "STORED");
  }
  // Whoever serves a client, it sees what all have stored.
  for (WireClient& client : clients) {
    for (int i = 0; i < 40; ++i) {
      REQUIRE(client.ask_line("mg k" + std::to_string(i)) == "HD");
    }
  }
  CHECK(server.stat("curr_connections") == "41");
  CHECK(server.stat("threads") == "4");
  clients.clear();
  CHECK(eventually([&] { return server.server().open_connections() == 0; }));
}

TEST_CASE("a scheduled flush happens when the clock passes it, and can be replaced") {
  TempServer server;
  WireClient client = server.connect();
  const std::string hit = "VALUE a 0 1\r\n1\r\nEND\r\n";
  REQUIRE(client.ask_line("set a 0 0 1\r\n1") == "STORED");
  REQUIRE(client.ask_line("flush_all 100") == "OK");
  server.advance(50);
  CHECK(client.answers("get a\r\n", hit));
  REQUIRE(client.ask_line("flush_all 100") == "OK");
  server.advance(60);
  CHECK(client.answers("get a\r\n", hit));
  server.advance(50);
  CHECK(client.answers("get a\r\n", "END\r\n"));
  REQUIRE(client.ask_line("set a 0 0 1\r\n1") == "STORED");
  server.advance(1000);
  CHECK(client.answers("get a\r\n", hit));
}

TEST_CASE("stats conns lists listeners and clients") {
  TempFolder folder;
  Settings settings = loopback_settings();
  settings.port_given = true;
  settings.unix_socket = folder.file("socket");
  TempServer server(settings);
  WireClient local = WireClient::over_unix(settings.unix_socket);
  WireClient half = server.connect();
  half.send("set a 0 0 100\r\nabc");
  const std::string listening = "tcp:127.0.0.1:" + std::to_string(server.port());
  std::string rows;
  REQUIRE(eventually([&] {
    local.send("stats conns\r\n");
    rows = local.receive_until("END\r\n");
    return rows.find("state conn_nread\r\n") != std::string::npos;
  }));
  CHECK(rows.find(":addr " + listening + "\r\n") != std::string::npos);
  CHECK(rows.find(":listen_addr " + listening + "\r\n") != std::string::npos);
  CHECK(rows.find(":addr unix:" + settings.unix_socket + "\r\n") != std::string::npos);
  CHECK(rows.find(":listen_addr unix:" + settings.unix_socket + "\r\n") != std::string::npos);
  CHECK(rows.find("state conn_listening\r\n") != std::string::npos);
  CHECK(rows.find("state conn_parse_cmd\r\n") != std::string::npos);
}
