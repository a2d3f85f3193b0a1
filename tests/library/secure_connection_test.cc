// Connections that are encrypted, and such as begin with a login.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/library/name_server.h"
#include "tests/library/scripted_server.h"
#include "tests/support/no_descriptors.h"
#include "tests/support/sasl_setup.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/tls_files.h"
#include "tools/client/connection.h"
#include "tools/client/transport.h"

using namespace larder::client;
using larder::daemon::Settings;
using larder::test::Authority;
using larder::test::NameServer;
using larder::test::NoDescriptors;
using larder::test::Peer;
using larder::test::SaslSetup;
using larder::test::ScriptedServer;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::TlsFiles;

namespace {

constexpr Dialect kDialects[] = {Dialect::Classic, Dialect::Meta, Dialect::Binary};

Deadline patience() { return std::chrono::steady_clock::now() + larder::test::kPatience; }

Endpoint local(int port, const std::string& host = "localhost") {
  return {host, static_cast<uint16_t>(port)};
}

Answer run_one(Connection& connection, const Operation& operation) {
  Answer answer;
  connection.run({&operation, 1}, {&answer, 1}, patience());
  return answer;
}

Answer set(Connection& connection, std::string_view key, std::string_view value) {
  return run_one(connection, {.verb = Verb::Set, .key = key, .value = value});
}

Answer get(Connection& connection, std::string_view key) {
  return run_one(connection, {.verb = Verb::Get, .key = key});
}

// Why there is no connection; its text in `text`, if that is given.
ErrorKind why_not(const Endpoint& endpoint, const ConnectionOptions& options,
                  std::string* text = nullptr, Deadline deadline = patience()) {
  const auto opened = Connection::open(endpoint, options, deadline);
  REQUIRE_FALSE(opened.ok());
  if (text != nullptr) *text = opened.error().text;
  return opened.error().kind;
}

std::unique_ptr<Connection> connected(const Endpoint& endpoint, const ConnectionOptions& options) {
  auto opened = Connection::open(endpoint, options, patience());
  INFO((opened.ok() ? "" : opened.error().text));
  REQUIRE(opened.ok());
  return std::move(*opened);
}

// Certificates of a server, which is called localhost unless a test says otherwise.
struct LocalFiles : TlsFiles {
  explicit LocalFiles(const std::string& name = "localhost",
                      const std::string& alternative_names = "DNS:localhost") {
    authority.issue(name, {folder.file("certificate"), folder.file("key")}, alternative_names);
    options.tls.enabled = true;
    options.tls.ca_file = folder.file("ca");
  }
  ConnectionOptions options;
};

}  // namespace

TEST_CASE("TLS carries all dialects, long values and long pipelines") {
  LocalFiles files;
  TempServer server(files.settings());
  for (const Dialect dialect : kDialects) {
    files.options.dialect = dialect;
    auto connection = connected(local(server.port()), files.options);
    CHECK_FALSE(connection->is_stale());
    const std::string long_value(700000, 'v');
    const std::string short_value(3000, 's');
    std::vector<Operation> operations;
    for (int i = 0; i < 200; ++i) {
      const bool is_long = i % 40 == 0;
      operations.push_back({.verb = Verb::Set,
                            .key = is_long ? "long" : "short",
                            .value = is_long ? long_value : short_value});
      operations.push_back({.verb = Verb::Get, .key = is_long ? "long" : "short"});
    }
    std::vector<Answer> answers(operations.size());
    connection->run(operations, answers, patience());
    size_t wrong = 0;
    for (size_t i = 0; i < operations.size(); i += 2) {
      wrong += answers[i].outcome != Outcome::Done;
      wrong += answers[i + 1].value != operations[i].value;
    }
    CHECK(wrong == 0);
    CHECK_FALSE(connection->is_stale());
    if (dialect == Dialect::Binary) continue;
    const std::string_view ends[] = {"END"};
    const auto stats = connection->ask("stats", ends, patience());
    REQUIRE(stats.ok());
    CHECK(stats->ends_with("END\r\n"));
  }
}

TEST_CASE("a certificate must be of somebody who is trusted, and of the host that was asked") {
  LocalFiles files;
  TempServer server(files.settings());
  std::string text;

  ConnectionOptions elsewhere = files.options;
  larder::test::Authority("elsewhere").save(files.folder.file("elsewhere"));
  elsewhere.tls.ca_file = files.folder.file("elsewhere");
  CHECK(why_not(local(server.port()), elsewhere, &text) == ErrorKind::Denied);
  CHECK(text.find("not trusted") != std::string::npos);

  // The system trusts others.
  ConnectionOptions system = files.options;
  system.tls.ca_file.clear();
  CHECK(why_not(local(server.port()), system) == ErrorKind::Denied);

  // It is for localhost, not for the address.
  CHECK(why_not(local(server.port(), "127.0.0.1"), files.options, &text) == ErrorKind::Denied);
  CHECK(text.find("mismatch") != std::string::npos);

  ConnectionOptions blind = system;
  blind.tls.verify = false;
  auto connection = connected(local(server.port(), "127.0.0.1"), blind);
  CHECK(set(*connection, "k", "v").outcome == Outcome::Done);
}

TEST_CASE("a certificate is for its alternative names alone, and a wildcard for one whole label") {
  NameServer names;
  names.set("cache.shop.test", {"127.0.0.1"});
  const auto check = [&](const std::string& alternative_names, bool fits) {
    CAPTURE(alternative_names);
    LocalFiles files("cache.shop.test", alternative_names);
    files.options.name_servers = names.address();
    TempServer server(files.settings());
    const Endpoint endpoint = local(server.port(), "cache.shop.test");
    if (fits) {
      connected(endpoint, files.options);
      return;
    }
    std::string text;
    CHECK(why_not(endpoint, files.options, &text) == ErrorKind::Denied);
    CHECK(text.find("mismatch") != std::string::npos);
  };
  check("", false);  // though its subject is cache.shop.test
  check("DNS:elsewhere.test", false);
  check("DNS:ca*.shop.test", false);
  check("DNS:*.test", false);
  check("DNS:*.shop.test", true);
  check("DNS:elsewhere.test,DNS:cache.shop.test", true);
}

TEST_CASE("a client shows its certificate where the server wants one") {
  LocalFiles files;
  Settings settings = files.settings({"mtls:127.0.0.1"});
  TempServer server(settings);
  ConnectionOptions options = files.options;
  options.tls.certificate_file = files.client.certificate;
  options.tls.key_file = files.client.key;
  auto connection = connected(local(server.port()), options);
  CHECK(set(*connection, "k", "v").outcome == Outcome::Done);

  // TLS 1.3 is agreed on before the server has looked.
  const auto denied = [&](const ConnectionOptions& with) {
    const auto opened = Connection::open(local(server.port()), with, patience());
    if (!opened.ok()) return opened.error().kind == ErrorKind::Denied;
    const Answer answer = get(**opened, "k");
    return answer.error && answer.error->kind == ErrorKind::Denied;
  };
  CHECK(denied(files.options));
  options.tls.certificate_file = files.stranger.certificate;
  options.tls.key_file = files.stranger.key;
  CHECK(denied(options));
}

TEST_CASE("a file that TLS cannot use is named") {
  LocalFiles files;
  TempServer server(files.settings());
  std::ofstream(files.folder.file("rubbish")) << "rubbish\n";
  std::string text;
  const auto check = [&](const ConnectionOptions& options, const std::string& file) {
    CHECK(why_not(local(server.port()), options, &text) == ErrorKind::BadRequest);
    CHECK(text.find(file) != std::string::npos);
  };
  ConnectionOptions options = files.options;
  options.tls.ca_file = files.folder.file("nothing");
  check(options, "nothing");
  options = files.options;
  options.tls.certificate_file = files.folder.file("rubbish");
  check(options, "rubbish");
  options.tls.certificate_file = files.client.certificate;
  check(options, files.client.certificate);  // which has no key in it
  options.tls.key_file = files.stranger.key;
  check(options, files.stranger.key);
}

TEST_CASE("an authority's file that is renewed counts for the next connection") {
  LocalFiles files;
  TempServer server(files.settings());
  for (int round = 0; round < 2; ++round) {
    CHECK(set(*connected(local(server.port()), files.options), "k", "v").outcome == Outcome::Done);
    Authority("elsewhere").save(files.folder.file("ca"));
    CHECK(why_not(local(server.port()), files.options) == ErrorKind::Denied);
    files.authority.save(files.folder.file("ca"));
  }
}

TEST_CASE("a file of TLS for which no descriptor is left is not the file's fault") {
  LocalFiles files;
  TempServer server(files.settings());
  for (const bool system : {false, true}) {
    CAPTURE(system);
    ConnectionOptions options = files.options;
    if (system) {
      options.tls.ca_file.clear();
      setenv("SSL_CERT_FILE", files.folder.file("ca").c_str(), 1);
    }
    auto connected = connect_to(local(server.port()), {}, patience());
    REQUIRE(connected.ok());
    std::optional<NoDescriptors> none(std::in_place);
    const auto opened =
        Connection::open_over(std::move(*connected), local(server.port()), options, patience());
    none.reset();
    unsetenv("SSL_CERT_FILE");
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().kind == ErrorKind::Unreachable);
    CHECK(opened.error().is_local);
    INFO(opened.error().text);
    CHECK(opened.error().text.find("open files") != std::string::npos);
  }
}

TEST_CASE("a server that does not speak TLS is found out, and one that says nothing is left") {
  LocalFiles files;
  {
    ScriptedServer server([](Peer& peer) {
      peer.read_some();
      peer.write("ERROR\r\n");
      peer.read_until_closed();
    });
    CHECK(why_not(local(server.port()), files.options) == ErrorKind::Denied);
  }
  {
    ScriptedServer server([](Peer& peer) { peer.read_some(); });
    CHECK(why_not(local(server.port()), files.options) == ErrorKind::Closed);
  }
  {
    ScriptedServer server([](Peer& peer) { peer.read_until_closed(); });
    CHECK(why_not(local(server.port()), files.options, nullptr,
                  std::chrono::steady_clock::now() + std::chrono::milliseconds(30)) ==
          ErrorKind::Timeout);
  }
}

TEST_CASE("a TLS server that goes away makes the connection stale, and no signal comes") {
  LocalFiles files;
  auto server = std::make_unique<TempServer>(files.settings());
  auto connection = connected(local(server->port()), files.options);
  CHECK(set(*connection, "k", "v").outcome == Outcome::Done);
  server.reset();
  CHECK(larder::test::eventually([&] { return connection->is_stale(); }));
  const std::string large(1 << 20, 'x');
  const Answer answer = set(*connection, "k", large);
  CHECK(answer.outcome == Outcome::Failed);
  REQUIRE(answer.error);
  CHECK(answer.error->kind == ErrorKind::Closed);
}

TEST_CASE("a login by set opens a server that has users, and leaves nothing in one that has none") {
  const TempFolder folder;
  std::ofstream(folder.file("users")) << "foo:bar\nann:second word\n";
  Settings settings = larder::test::loopback_settings();
  settings.auth_file = folder.file("users");
  settings.protocol = Settings::Protocol::Ascii;
  TempServer server(settings);
  TempServer open_server;
  for (const Dialect dialect : {Dialect::Classic, Dialect::Meta}) {
    ConnectionOptions options;
    options.dialect = dialect;
    {
      auto connection = connected(local(server.port()), options);
      const Answer answer = set(*connection, "k", "v");
      REQUIRE(answer.error);
      CHECK(answer.error->kind == ErrorKind::Denied);
      connection = connected(local(server.port()), options);
      const Answer got = get(*connection, "k");
      REQUIRE(got.error);
      CHECK(got.error->kind == ErrorKind::Denied);
    }
    options.user = "foo";
    options.password = "wrong";
    CHECK(why_not(local(server.port()), options) == ErrorKind::Denied);
    options.password = "bar";
    auto connection = connected(local(server.port()), options);
    CHECK(set(*connection, "k", "v").outcome == Outcome::Done);
    CHECK(get(*connection, "k").value == "v");
    options.user = "ann";
    options.password = "second word";
    CHECK(get(*connected(local(server.port()), options), "k").value == "v");
    options.user = "f oo";
    CHECK(why_not(local(server.port()), options) == ErrorKind::BadRequest);

    options.user = "foo";
    auto unguarded = connected(local(open_server.port()), options);
    CHECK(get(*unguarded, "larder-login").outcome == Outcome::Missing);
    CHECK(set(*unguarded, "k", "v").outcome == Outcome::Done);
  }
}

TEST_CASE("a login by SASL opens a server that wants one") {
  const SaslSetup setup;
  Settings settings = larder::test::loopback_settings();
  settings.sasl = true;
  settings.protocol = Settings::Protocol::Binary;
  TempServer server(settings);
  ConnectionOptions options;
  options.dialect = Dialect::Binary;
  {
    auto connection = connected(local(server.port()), options);
    const Answer answer = set(*connection, "k", "v");
    REQUIRE(answer.error);
    CHECK(answer.error->kind == ErrorKind::Denied);
  }
  options.user = "foo";
  options.password = "wrong";
  CHECK(why_not(local(server.port()), options) == ErrorKind::Denied);
  options.password = "bar";
  auto connection = connected(local(server.port()), options);
  CHECK(set(*connection, "k", "v").outcome == Outcome::Done);
  CHECK(get(*connection, "k").value == "v");
  options.password = std::string("b\0r", 3);
  CHECK(why_not(local(server.port()), options) == ErrorKind::BadRequest);

  TempServer open_server;
  options.password = "bar";
  CHECK(why_not(local(open_server.port()), options) == ErrorKind::Denied);
}

TEST_CASE("a login goes through TLS") {
  LocalFiles files;
  std::ofstream(files.folder.file("users")) << "foo:bar\n";
  Settings settings = files.settings();
  settings.auth_file = files.folder.file("users");
  settings.protocol = Settings::Protocol::Ascii;
  TempServer server(settings);
  files.options.user = "foo";
  files.options.password = "bar";
  auto connection = connected(local(server.port()), files.options);
  CHECK(set(*connection, "k", "v").outcome == Outcome::Done);
}

TEST_CASE("half a reply to a login is a timeout, and a wrong one a protocol error") {
  ConnectionOptions options;
  options.user = "foo";
  options.password = "bar";
  const auto result = [&](Dialect dialect, const std::string& reply, Deadline deadline) {
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.write(reply);
      peer.read_until_closed();
    });
    options.dialect = dialect;
    return why_not(local(server.port()), options, nullptr, deadline);
  };
  const auto soon = [] { return std::chrono::steady_clock::now() + std::chrono::milliseconds(30); };
  for (const Dialect dialect : kDialects) CHECK(result(dialect, "", soon()) == ErrorKind::Timeout);
  CHECK(result(Dialect::Meta, "STO", soon()) == ErrorKind::Timeout);
  CHECK(result(Dialect::Meta, "CLIENT_ERROR authentication failure\r\n", patience()) ==
        ErrorKind::Denied);
  CHECK(result(Dialect::Meta, "ERROR\r\n", patience()) == ErrorKind::Denied);
  const auto header = [](char opcode, char status, const std::string& length) {
    return std::string("\x81") + opcode + std::string(5, '\0') + status + length +
           std::string(12, '\0');
  };
  const std::string none(4, '\0');
  CHECK(result(Dialect::Binary, header(0x21, 0, none).substr(0, 20), soon()) == ErrorKind::Timeout);
  CHECK(result(Dialect::Binary, header(0x21, 0, std::string("\0\0\0\5", 4)), soon()) ==
        ErrorKind::Timeout);
  CHECK(result(Dialect::Binary, header(0x21, 0, "\xff\xff\xff\xff"), patience()) ==
        ErrorKind::Protocol);
  CHECK(result(Dialect::Binary, header(0x01, 0, none), patience()) == ErrorKind::Protocol);
  CHECK(result(Dialect::Binary, "STORED\r\n", patience()) == ErrorKind::Protocol);
  CHECK(result(Dialect::Binary, header(0x21, 0x21, none), patience()) == ErrorKind::Denied);
  CHECK(result(Dialect::Binary, header(0x21, 0x20, none), patience()) == ErrorKind::Denied);
}
