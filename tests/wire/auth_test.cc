// Clients that have to say who they are: by a set (-Y).
#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

const std::string kCredentials = "set k 0 0 7\r\nfoo bar";  // as a line

class GuardedServer {
 public:
  GuardedServer() : server_(settings()) {}
  TempServer& operator*() { return server_; }
  TempServer* operator->() { return &server_; }

  WireClient connect() const { return server_.connect(); }
  WireClient connect_and_authenticate() const {
    WireClient client = connect();
    REQUIRE(client.ask_line(kCredentials) == "STORED");
    return client;
  }
  void write(const std::string& users) { std::ofstream(folder_.file("users")) << users; }

  std::string stat(const std::string& what, const std::string& name) const {
    WireClient client = connect_and_authenticate();
    client.send(what + "\r\n");
    const std::string all = client.receive_until("END\r\n");
    const size_t at = all.find("STAT " + name + " ") + 6 + name.size();
    return all.substr(at, all.find('\r', at) - at);
  }

  std::string path() const { return folder_.file("users"); }

 private:
  Settings settings() {
    write("foo:bar\nann:second\n");
    Settings made = larder::test::loopback_settings();
    made.auth_file = path();
    made.protocol = Settings::Protocol::Ascii;
    return made;
  }

  const TempFolder folder_;
  TempServer server_;
};

}  // namespace

TEST_CASE("a client comes in with user and password, and nothing is stored by that") {
  GuardedServer server;
  WireClient client = server.connect();
  CHECK(client.ask_line(kCredentials) == "STORED");
  CHECK(client.answers("get k\r\n", "END\r\n"));
  // From now on the same words are an ordinary set.
  CHECK(client.ask_line(kCredentials) == "STORED");
  CHECK(client.answers("get k\r\n", "VALUE k 0 7\r\nfoo bar\r\nEND\r\n"));
}

TEST_CASE("before it has authenticated a client gets nothing") {
  GuardedServer server;
  WireClient inside = server.connect_and_authenticate();
  REQUIRE(inside.ask_line("set secret 0 0 3\r\nabc") == "STORED");
  WireClient client = server.connect();
  for (const char* line : {"get secret", "mg secret v", "delete secret", "touch secret 0",
                           "incr secret 1", "flush_all", "stats", "version", "gat 0 secret"}) {
    CHECK(client.ask_line(line) == "CLIENT_ERROR unauthenticated");
  }
  CHECK(client.ask_line("set secret 0 0 2\r\nhi") ==
        "CLIENT_ERROR bad authentication token format");
  CHECK(client.ask_line("set secret 0 0 7\r\nfoo baz") == "CLIENT_ERROR authentication failure");
  CHECK(inside.answers("get secret\r\n", "VALUE secret 0 3\r\nabc\r\nEND\r\n"));
  CHECK(client.ask_line("set secret 0 0 10\r\nann second") == "STORED");
  CHECK(client.answers("get secret k\r\n", "VALUE secret 0 3\r\nabc\r\nEND\r\n"));
}

TEST_CASE("what is pipelined behind the credentials is answered, at every split point") {
  GuardedServer server;
  for (const std::string attempt :
       {"set k 0 0 7\r\nfoo bar\r\n", "get foo\r\nms k 7 O1\r\nfoo bar\r\n"}) {
    const bool meta = attempt.starts_with("get");
    const std::string stream = attempt + "set a 0 0 1\r\nx\r\nget a\r\nget a b\r\nmn\r\n";
    const std::string replies =
        (meta ? "CLIENT_ERROR unauthenticated\r\nHD O1\r\n" : "STORED\r\n") +
        std::string("STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nVALUE a 0 1\r\nx\r\nEND\r\nMN\r\n");
    for (size_t split = 0; split <= stream.size(); ++split) {
      WireClient client = server.connect();
      INFO(split);
      client.send(stream.substr(0, split));
      client.send(stream.substr(split));
      REQUIRE(client.receive(replies.size()) == replies);
    }
    WireClient client = server.connect();
    for (const char byte : stream) client.send({&byte, 1});
    CHECK(client.receive(replies.size()) == replies);
  }
}

TEST_CASE("a large value may follow the credentials in one piece") {
  GuardedServer server;
  WireClient client = server.connect();
  const std::string value(500'000, 'v');
  client.send(kCredentials + "\r\nset large 0 0 500000\r\n" + value + "\r\nget large\r\n");
  CHECK(client.receive_line() == "STORED\r\n");
  CHECK(client.receive_line() == "STORED\r\n");
  CHECK(client.receive_line() == "VALUE large 0 500000\r\n");
  CHECK(client.receive(500'000) == value);
}

TEST_CASE("binary is off where users authenticate in text") {
  GuardedServer server;
  WireClient client = server.connect();
  const std::string get("\x80\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0k", 25);
  CHECK(client.ask_line(get) == "CLIENT_ERROR unauthenticated");
  WireClient inside = server.connect_and_authenticate();
  CHECK(inside.ask_line(get) == "ERROR");
}

TEST_CASE("rubbish from strangers costs bounded memory and goes in turns") {
  GuardedServer server;
  std::vector<WireClient> clients;
  std::string rubbish;
  for (int i = 0; i < 5000; ++i) rubbish += "get foo\r\n";
  for (int i = 0; i < 20; ++i) {
    clients.push_back(server.connect());
    clients.back().send(rubbish);
    clients.back().send("set k 0 0 16384\r\n" + std::string(16383, 'x'));
  }
  for (WireClient& client : clients) {
    for (int i = 0; i < 5000; ++i) {
      REQUIRE(client.receive_line() == "CLIENT_ERROR unauthenticated\r\n");
    }
  }
  CHECK(larder::test::eventually([&] {
    return server->server().buffered_bytes() <= 20 * (larder::daemon::kWindowBytes + 0u);
  }));
  WireClient endless = server.connect();
  endless.send(std::string(3000, 'x'));
  CHECK(endless.closed_by_peer());
  CHECK(server.connect_and_authenticate().answers("get a\r\n", "END\r\n"));
  clients.clear();
  CHECK(larder::test::eventually([&] { return server->server().buffered_bytes() == 0; }));
}

TEST_CASE("a stranger who takes no replies is not read from") {
  GuardedServer server;
  WireClient client = WireClient::over_tcp_with_small_buffer(server->port(), 4096);
  std::string rubbish;
  for (int i = 0; i < 1000; ++i) rubbish += "get foo\r\n";
  size_t sent = 0;
  for (size_t n = 1; n > 0 && sent < (size_t{64} << 20);) {
    n = client.send_some(rubbish);
    sent += n;
  }
  CHECK(sent < (size_t{64} << 20));
  CHECK(server->server().buffered_bytes() < (size_t{1} << 20));
}

TEST_CASE("attempts are counted") {
  GuardedServer server;
  WireClient client = server.connect();
  client.ask_line("get foo");
  client.ask_line("set k 0 0 6\r\nfoobar");
  client.ask_line("set k 0 0 7\r\nfoo baz");
  client.ask_line("ms k 7\r\nfou bar");
  CHECK(server.stat("stats", "auth_errors") == "2");
  CHECK(server.stat("stats", "auth_cmds") == "4");  // two of them ours
  WireClient inside = server.connect_and_authenticate();
  CHECK(inside.ask_line("stats reset") == "RESET");
  CHECK(server.stat("stats", "auth_errors") == "0");
  CHECK(server.stat("stats settings", "auth_enabled_ascii") == server.path());
  CHECK(server.stat("stats settings", "auth_enabled_sasl") == "no");
  CHECK(server.stat("stats settings", "binding_protocol") == "ascii");
}

TEST_CASE("users are read again while clients are served; a bad file changes nothing") {
  GuardedServer server;
  WireClient inside = server.connect_and_authenticate();
  WireClient waiting = server.connect();
  server.write("ann:third\n");
  server->server().reload();
  CHECK(waiting.ask_line(kCredentials) == "CLIENT_ERROR authentication failure");
  CHECK(inside.answers("get a\r\n", "END\r\n"));  // who is in stays in
  CHECK(waiting.ask_line("set k 0 0 9\r\nann third") == "STORED");
  server.write("nonsense\n");
  server->server().reload();
  CHECK(server.connect().ask_line("set k 0 0 9\r\nann third") == "STORED");
  server.write("foo:bar\n");
  server->server().reload();
  CHECK(server.connect().ask_line(kCredentials) == "STORED");
}
