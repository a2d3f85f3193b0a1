// A server that is stopped and started again over a memory file (-e).
#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/tls_files.h"

namespace {

using namespace larder;
using test::TempFolder;
using test::TempServer;
using test::WireClient;

daemon::Settings over(const std::string& path) {
  daemon::Settings settings = test::loopback_settings();
  settings.memory_file = path;
  settings.allow_shutdown = true;
  return settings;
}

std::string ask(WireClient& client, const std::string& request, const std::string& end = "\r\n") {
  client.send(request);
  return client.receive_until(end);
}

void stop_gracefully(TempServer& server) {
  WireClient client = server.connect();
  client.send("shutdown graceful\r\n");
  REQUIRE(server.wait() == daemon::Server::Ended::Gracefully);
}

}  // namespace

TEST_CASE("a graceful stop keeps items with flags, time left and CAS for the next server") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  std::string cas;
  const std::string large(700'000, 'L');
  {
    TempServer server(over(path));
    WireClient client = server.connect();
    CHECK(ask(client, "set k 5 1000 5\r\nvalue\r\n") == "STORED\r\n");
    CHECK(ask(client, "set large 0 0 700000\r\n" + large + "\r\n") == "STORED\r\n");
    CHECK(ask(client, "set short 0 30 1\r\nx\r\n") == "STORED\r\n");
    cas = ask(client, "mg k c\r\n");
    // Half of a value stays behind.
    client.send("set half 0 0 500000\r\n" + std::string(100'000, 'h'));
    server.advance(10);
    stop_gracefully(server);
  }
  daemon::Settings settings = over(path);
  settings.threads = 3;
  TempServer server(settings);
  server.server().cache().check_invariants();
  WireClient client = server.connect();
  const std::string first = ask(client, "mg k f t v\r\n", "value\r\n");
  CHECK((first == "VA 5 f5 t990\r\nvalue\r\n" || first == "VA 5 f5 t989\r\nvalue\r\n"));
  CHECK(ask(client, "mg k c\r\n") == cas);
  CHECK(ask(client, "get large\r\n", "END\r\n") ==
        "VALUE large 0 700000\r\n" + large + "\r\nEND\r\n");
  CHECK(ask(client, "get half\r\n") == "END\r\n");
  CHECK(ask(client, "set k 0 0 1\r\nn\r\n") == "STORED\r\n");
  const std::string next = ask(client, "mg k c\r\n");
  CHECK(std::stoull(next.substr(4)) > std::stoull(cas.substr(4)));
  CHECK(server.stat("curr_items") == "3");
  CHECK(std::stoul(server.stat("uptime")) >= 10);
  server.advance(20);
  CHECK(ask(client, "get short\r\n") == "END\r\n");
  CHECK(ask(client, "stats settings\r\n", "END\r\n").find("memory_file " + path + "\r\n") !=
        std::string::npos);
}

TEST_CASE("after a restart certificates count as read at the start") {
  const test::TlsFiles files;
  daemon::Settings settings = files.settings({"notls:127.0.0.1"});
  settings.memory_file = files.folder.file("cache");
  settings.allow_shutdown = true;
  {
    TempServer server(settings);
    server.advance(1000);
    stop_gracefully(server);
  }
  TempServer server(settings);
  CHECK(std::stoul(server.stat("uptime")) >= 1000);
  CHECK(std::stoul(server.stat("time_since_server_cert_refresh")) < 100);
}

TEST_CASE("a flush_all that was to come comes after a restart") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  {
    TempServer server(over(path));
    WireClient client = server.connect();
    CHECK(ask(client, "set k 0 0 1\r\nv\r\n") == "STORED\r\n");
    CHECK(ask(client, "flush_all 100\r\n") == "OK\r\n");
    stop_gracefully(server);
  }
  TempServer server(over(path));
  WireClient client = server.connect();
  CHECK(ask(client, "get k\r\n", "END\r\n") == "VALUE k 0 1\r\nv\r\nEND\r\n");
  server.advance(101);
  CHECK(ask(client, "get k\r\n") == "END\r\n");
}

TEST_CASE("a server that was not stopped gracefully, or has another limit, begins empty") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  const bool graceful = GENERATE(true, false);
  {
    TempServer server(over(path));
    WireClient client = server.connect();
    CHECK(ask(client, "set k 0 0 1\r\nv\r\n") == "STORED\r\n");
    if (graceful) stop_gracefully(server);
  }
  daemon::Settings settings = over(path);
  if (graceful) settings.memory_bytes *= 2;
  TempServer server(settings);
  WireClient client = server.connect();
  CHECK(ask(client, "get k\r\n") == "END\r\n");
  CHECK(ask(client, "set k 0 0 1\r\nw\r\n") == "STORED\r\n");
}

TEST_CASE("a second server on a memory file does not start, and a failed start costs nothing") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  {
    TempServer server(over(path));
    CHECK_THROWS_WITH(daemon::Server(over(path)), Catch::Contains("in use by another server"));
    WireClient client = server.connect();
    CHECK(ask(client, "set k 0 0 1\r\nv\r\n") == "STORED\r\n");
    stop_gracefully(server);
  }
  {
    daemon::Settings settings = over(path);
    settings.listen = {"192.0.2.1"};  // nobody's
    daemon::Server server(settings);
    CHECK_THROWS(server.listen());
  }
  TempServer server(over(path));
  WireClient client = server.connect();
  CHECK(ask(client, "get k\r\n", "END\r\n") == "VALUE k 0 1\r\nv\r\nEND\r\n");
}
