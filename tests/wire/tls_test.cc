// TLS: a server, and OpenSSL's client at the other end.
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/tls_client.h"
#include "tests/support/tls_files.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::TlsClient;
using larder::test::TlsFiles;
using larder::test::TlsOptions;
using larder::test::WireClient;

namespace {

int port_of(TempServer& server, size_t listener) {
  return server.server().listeners()[listener].port();
}

// Whether a client gets through. With TLS 1.3 it learns only after its handshake that the server
// wants none of it.
bool is_served(int port, const TlsOptions& options = {}) {
  try {
    return TlsClient(port, options).answers("get none\r\n", "END\r\n");
  } catch (const std::runtime_error&) {
    return false;
  }
}

TlsOptions only(int version, TlsOptions options = {}) {
  options.version = version;
  return options;
}

std::string pattern(size_t bytes, size_t seed) {
  std::string text(bytes, 0);
  for (size_t i = 0; i < bytes; ++i) {
    text[i] = static_cast<char>('a' + (i * 31 + seed + i / 977) % 26);
  }
  return text;
}

std::string set_line(const std::string& key, const std::string& value) {
  return "set " + key + " 0 0 " + std::to_string(value.size()) + "\r\n";
}

std::string hit(const std::string& key, const std::string& value) {
  return "VALUE " + key + " 0 " + std::to_string(value.size()) + "\r\n" + value + "\r\nEND\r\n";
}

// A row of `stats`, asked for at a plain port.
std::string stat(const std::string& name, int port) {
  WireClient client = WireClient::over_tcp(port);
  client.send("stats\r\n");
  const std::string all = client.receive_until("END\r\n");
  const size_t at = all.find("STAT " + name + " ");
  if (at == std::string::npos) return "";
  const size_t value = at + 6 + name.size();
  return all.substr(value, all.find('\r', value) - value);
}

}  // namespace

TEST_CASE("all dialects go over TLS, alone and pipelined") {
  TlsFiles files;
  TempServer server(files.settings());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), only(version));
    CHECK(client.server_name() == "server");
    CHECK(client.answers("set a 5 0 3\r\nabc\r\n", "STORED\r\n"));
    CHECK(client.answers("get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n"));
    CHECK(client.answers("mg a v f\r\n", "VA 3 f5\r\nabc\r\n"));
    std::string requests, replies;
    for (int i = 0; i < 5'000; ++i) {
      requests += "set k 0 0 1\r\nx\r\nget k\r\n";
      replies += "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n";
    }
    CHECK(client.answers(requests, replies));
  }
  TlsClient binary(server.port());
  const std::string noop = std::string("\x80\x0a", 2) + std::string(22, '\0');
  binary.send(noop);
  CHECK(binary.receive(24) == std::string("\x81\x0a", 2) + std::string(22, '\0'));
}

TEST_CASE("values of many sizes go both ways whole") {
  TlsFiles files;
  Settings settings = files.settings();
  SECTION("as set up by default") {}
  SECTION("with a small write buffer") { settings.tls.write_buffer_bytes = 1024; }
  TempServer server(settings);
  TlsClient client(server.port());
  // Around a record, the window that is read into, and what is read of a value in one go.
  for (const size_t bytes :
       {1u, 1'000u, 16'370u, 16'384u, 16'400u, 65'520u, 65'536u, 65'560u, 524'288u, 1'000'000u}) {
    const std::string value = pattern(bytes, bytes);
    CAPTURE(bytes);
    client.send(set_line("k", value));
    client.send(value);
    client.send("\r\n");
    REQUIRE(client.receive_line() == "STORED\r\n");
    REQUIRE(client.answers("get k\r\n", hit("k", value)));
    // Everything at once, with a request behind it: no byte of it may lie in wait for another
    // event.
    REQUIRE(client.answers(set_line("k", value) + value + "\r\nget k\r\n",
                           "STORED\r\n" + hit("k", value)));
  }
}

TEST_CASE("a client that reads slowly gets every byte") {
  TlsFiles files;
  Settings settings = files.settings();
  settings.threads = 1;
  TempServer server(settings);
  const std::string value = pattern(300'000, 7);
  const std::string small = pattern(900, 3);
  TlsClient writer(server.port());
  REQUIRE(
      writer.answers(set_line("k", value) + value + "\r\n" + set_line("s", small) + small + "\r\n",
                     "STORED\r\nSTORED\r\n"));
  TlsOptions options;
  options.receive_buffer = 4096;
  TlsClient slow(server.port(), options);
  std::string requests, replies;
  for (int i = 0; i < 20; ++i) {
    requests += "get k\r\nget s\r\nget s\r\n";
    replies += hit("k", value) + hit("s", small) + hit("s", small);
  }
  slow.send(requests);
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  CHECK(writer.answers("get s\r\n", hit("s", small)));  // nobody waits for the slow one
  CHECK(slow.receive(replies.size()) == replies);
  CHECK(slow.answers("get s\r\n", hit("s", small)));
  CHECK(eventually([&] { return server.server().buffered_bytes() == 0; }));
}

TEST_CASE("who never finishes the handshake, or speaks no TLS, disturbs nobody") {
  TlsFiles files;
  Settings settings = files.settings({"127.0.0.1", "notls:127.0.0.1"});
  settings.threads = 1;
  TempServer server(settings);
  std::vector<WireClient> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(WireClient::over_tcp(port_of(server, 0)));
    if (i % 2 == 0) silent.back().send(std::string("\x16\x03\x01\x02\x00\x01", 6));  // half a hello
  }
  for (const std::string& text :
       {std::string("get a\r\n"), std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        std::string(100'000, '\xff'), std::string("\x80\x0a", 2) + std::string(22, '\0')}) {
    WireClient garbage = WireClient::over_tcp(port_of(server, 0));
    try {
      garbage.send(text);
      garbage.receive_until_closed();      // an alert, perhaps
    } catch (const std::runtime_error&) {  // reset, with input that was not read
    }
    CHECK(is_served(port_of(server, 0)));
  }
  CHECK(stat("ssl_handshake_errors", port_of(server, 1)) == "4");
  CHECK(stat("ssl_proto_errors", port_of(server, 1)) == "0");
  for (WireClient& client : silent) client.close();
  CHECK(eventually([&] { return server.server().open_connections() == 0; }));
}

TEST_CASE("a request and a goodbye in one go: the answer comes, then the end") {
  TlsFiles files;
  TempServer server(files.settings());
  TlsClient client(server.port());
  client.send("get none\r\n");
  client.finish_sending();
  CHECK(client.receive_line() == "END\r\n");
  CHECK(client.closed_by_peer());
}

TEST_CASE("a server speaks no version of TLS below ssl_min_version") {
  TlsFiles files;
  Settings settings = files.settings();
  {
    TempServer server(settings);
    CHECK(!is_served(server.port(), only(TLS1_1_VERSION)));
    CHECK(is_served(server.port(), only(TLS1_2_VERSION)));
    CHECK(is_served(server.port(), only(TLS1_3_VERSION)));
  }
  settings.tls.min_version = 3;
  TempServer server(settings);
  CHECK(!is_served(server.port(), only(TLS1_2_VERSION)));
  CHECK(is_served(server.port(), only(TLS1_3_VERSION)));
}

TEST_CASE("ssl_verify_mode says which clients are let in") {
  TlsFiles files;
  struct Row {
    int mode;
    bool nobody, stranger;  // let in without a certificate, with one of another authority
  };
  for (const Row& row : std::initializer_list<Row>{
           {0, true, true}, {1, true, false}, {2, false, false}, {3, false, false}}) {
    CAPTURE(row.mode);
    Settings settings = files.settings();
    settings.tls.verify_mode = row.mode;
    TempServer server(settings);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CHECK(is_served(server.port(), only(version, files.client)));
      CHECK(is_served(server.port(), only(version)) == row.nobody);
      CHECK(is_served(server.port(), only(version, files.stranger)) == row.stranger);
    }
  }
}

TEST_CASE("notls, btls and mtls hold for their listener") {
  TlsFiles files;
  TempFolder folder;
  Settings settings = files.settings(
      {"127.0.0.1", "notls:127.0.0.1", "btls:127.0.0.1", "mtls:proto[ascii]:tag[t]:127.0.0.1"});
  settings.tls.verify_mode = 2;
  settings.unix_socket = folder.file("socket");
  settings.port_given = true;
  TempServer server(settings);
  CHECK(WireClient::over_unix(settings.unix_socket).answers("get none\r\n", "END\r\n"));
  CHECK(!is_served(port_of(server, 1)));
  CHECK(is_served(port_of(server, 1), files.client));
  CHECK(WireClient::over_tcp(port_of(server, 2)).answers("get none\r\n", "END\r\n"));
  CHECK(is_served(port_of(server, 3)));
  CHECK(!is_served(port_of(server, 4)));
  CHECK(!is_served(port_of(server, 4), files.stranger));
  CHECK(is_served(port_of(server, 4), files.client));
}

TEST_CASE("a session is resumed, but not where certificates are asked for that it never showed") {
  TlsFiles files;
  Settings settings = files.settings({"btls:127.0.0.1", "mtls:127.0.0.1", "notls:127.0.0.1"});
  settings.tls.session_cache = true;
  TempServer server(settings);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    CAPTURE(version);
    TlsClient first(port_of(server, 0), only(version));
    REQUIRE(first.answers("get none\r\n", "END\r\n"));
    TlsOptions again = only(version);
    again.session = first.session();
    TlsClient second(port_of(server, 0), again);
    CHECK(second.answers("get none\r\n", "END\r\n"));
    CHECK(second.resumed());
    CHECK(!is_served(port_of(server, 1), again));
  }
  CHECK(std::stoi(stat("ssl_new_sessions", port_of(server, 2))) >= 2);
}

TEST_CASE("refresh_certs: new clients see the new certificate, others go on") {
  TlsFiles files;
  TempServer server(files.settings());
  TlsClient old(server.port());
  server.advance(100);
  CHECK(old.answers("refresh_certs\r\n", "OK\r\n"));
  files.authority.issue("renewed", {files.folder.file("certificate"), files.folder.file("key")});
  CHECK(TlsClient(server.port()).server_name() == "server");
  CHECK(old.answers("refresh_certs\r\n", "OK\r\n"));
  CHECK(TlsClient(server.port()).server_name() == "renewed");

  SECTION("a bad one changes nothing and is told") {
    std::ofstream(files.folder.file("key")) << "no key";
    old.send("refresh_certs noreply\r\n");
    CHECK(old.receive_line().starts_with("Error loading the key: " + files.folder.file("key") +
                                         " : error:"));
    CHECK(TlsClient(server.port()).server_name() == "renewed");
  }
  CHECK(old.answers("get none\r\n", "END\r\n"));
}

TEST_CASE("without TLS refresh_certs says so") {
  TempServer server;
  CHECK(server.connect().answers("refresh_certs\r\n", "Error TLS not enabled\r\n"));
}

TEST_CASE("a listener may have a protocol of its own") {
  Settings settings = loopback_settings();
  settings.listen = {"127.0.0.1", "proto[ascii]:127.0.0.1", "proto[binary]:127.0.0.1"};
  TempServer server(settings);
  const std::string noop = std::string("\x80\x0a", 2) + std::string(22, '\0');
  const std::string reply = std::string("\x81\x0a", 2) + std::string(22, '\0');
  WireClient any = WireClient::over_tcp(port_of(server, 0));
  CHECK(any.ask(noop, 24) == reply);
  WireClient ascii = WireClient::over_tcp(port_of(server, 1));
  CHECK(ascii.ask("\x80\x0b\r\n", 7) == "ERROR\r\n");
  WireClient binary = WireClient::over_tcp(port_of(server, 2));
  binary.send("get a\r\nget a\r\nget a\r\nget a\r\n");
  CHECK(binary.closed_by_peer());
}

TEST_CASE("one may watch over TLS, and see what fails in it") {
  TlsFiles files;
  Settings settings = files.settings({"127.0.0.1", "notls:127.0.0.1"});
  TempServer server(settings);
  TlsClient watcher(port_of(server, 0));
  watcher.send("watch mutations connevents\r\n");
  REQUIRE(watcher.receive_line() == "OK\r\n");
  const auto shows = [&](const std::string& what) {
    for (;;) {  // connections come and go meanwhile
      const std::string line = watcher.receive_until("\n");
      if (line.find(what) != std::string::npos) return true;
    }
  };
  TlsClient client(port_of(server, 0));
  CHECK(client.answers("set k 0 0 3\r\nabc\r\n", "STORED\r\n"));
  CHECK(shows(" type=item_store key=k status=stored cmd=set ttl=0 clsid=1 cfd="));
  WireClient garbage = WireClient::over_tcp(port_of(server, 0));
  garbage.send("get a\r\nget b\r\n");
  CHECK(shows(" type=conntlserr fd="));
  CHECK(client.answers("get none\r\n", "END\r\n"));
}

TEST_CASE("records without data end a TLS connection, and its worker goes on") {
  const TlsFiles files;
  Settings settings = files.settings();
  settings.threads = 1;
  TempServer server(settings);
  TlsClient honest(server.port());
  for (const bool asks : {false, true}) {
    TlsClient client(server.port(), only(TLS1_3_VERSION));
    REQUIRE(client.answers("mn\r\n", "MN\r\n"));
    // Far more in all than may come in a row.
    for (int i = 0; i < 20; ++i) {
      for (int k = 0; k < 20; ++k) REQUIRE(client.update_key(asks));
      REQUIRE(client.answers("mn\r\n", "MN\r\n"));
    }
    for (int k = 0; k < 40 && client.update_key(asks); ++k) {
    }
    CHECK(client.closed_by_peer());
    CHECK(honest.answers("mn\r\n", "MN\r\n"));
  }
}

TEST_CASE("a flood of KeyUpdates with data between them leaves its worker to others in between") {
  const TlsFiles files;
  Settings settings = files.settings();
  settings.threads = 1;
  TempServer server(settings);
  TlsClient honest(server.port());
  REQUIRE(honest.answers("mn\r\n", "MN\r\n"));
  TlsClient client(server.port(), only(TLS1_3_VERSION));
  REQUIRE(client.answers("mn\r\n", "MN\r\n"));
  constexpr uint64_t kRequests = 1'000;
  const std::string request = "mn\r\n";
  uint64_t records = 0;
  client.keep_back();
  for (uint64_t i = 0; i < kRequests; ++i) {
    for (const char& byte : request) {
      REQUIRE(client.update_key(false));
      client.send({&byte, 1});
      records += 2;
    }
  }
  const uint64_t before = server.server().worker_passes();
  client.send_kept();
  CHECK(honest.answers("mn\r\n", "MN\r\n"));
  for (uint64_t i = 0; i < kRequests; ++i) REQUIRE(client.receive_line() == "MN\r\n");
  // In each the worker's other clients are served once.
  CHECK(server.server().worker_passes() - before >= records / 65);
}

TEST_CASE("a silent TLS client that has to be written to first costs its worker no pass") {
  const TlsFiles files;
  Settings settings = files.settings();
  settings.threads = 1;
  TempServer server(settings);
  TlsOptions options = only(TLS1_3_VERSION);
  options.receive_buffer = 4096;
  TlsClient client(server.port(), options);
  REQUIRE(client.answers("mn\r\n", "MN\r\n"));
  const int small = 16 * 1024;  // so that it soon notices that nobody reads it
  setsockopt(client.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  // Each asks for a record that the client never reads; the set brings data, and no reply.
  const auto blocked = [&] {
    return !client.update_key(true) || client.send_some("set k 0 0 1 noreply\r\nx\r\n") == 0;
  };
  while (!blocked()) {
  }
  // It may have been a pause: what it could not send then lies in OpenSSL.
  REQUIRE(eventually([&] {
    const uint64_t before = server.server().worker_passes();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return server.server().worker_passes() - before < 40;
  }));
  const uint64_t before = server.server().worker_passes();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  // Ticks, of a millisecond at most.
  CHECK(server.server().worker_passes() - before <= 210);
  TlsClient honest(server.port());
  CHECK(honest.answers("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"));
}
