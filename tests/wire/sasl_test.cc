// Clients that have to say who they are: by SASL (-S).
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "daemon/sasl_clerk.h"
#include "tests/proto/binary_request.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/sasl_setup.h"
#include "tests/support/saslauthd.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::SaslClerk;
using larder::daemon::Settings;
using larder::test::BinaryRequest;
using larder::test::eventually;
using larder::test::FailingAllocations;
using larder::test::Saslauthd;
using larder::test::SaslSetup;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

constexpr uint8_t kGet = 0x00;
constexpr uint8_t kSet = 0x01;
constexpr uint8_t kNoop = 0x0a;
constexpr uint8_t kStat = 0x10;
constexpr uint8_t kQuietSet = 0x11;
constexpr uint8_t kList = 0x20;
constexpr uint8_t kStart = 0x21;
constexpr uint8_t kStep = 0x22;

Settings sasl_settings() {
  Settings settings = larder::test::loopback_settings();
  settings.sasl = true;
  settings.protocol = Settings::Protocol::Binary;
  return settings;
}

struct SaslServer {
  const SaslSetup setup;
  TempServer server{sasl_settings()};
};

std::string request(uint8_t opcode, const std::string& key = "", const std::string& value = "") {
  return BinaryRequest{.opcode = opcode,
                       .key = key,
                       .extras = opcode == kSet || opcode == kQuietSet ? std::string(8, '\0') : "",
                       .value = value}
      .bytes();
}
std::string plain(const std::string& user, const std::string& password) {
  return request(kStart, "PLAIN", SaslSetup::plain(user, password));
}
struct Packet {
  int opcode = -1;
  int status = -1;
  std::string body;
};

Packet receive(WireClient& client) {
  const std::string header = client.receive(24);
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(header[i]); };
  const size_t body = (byte(9) * 256u + byte(10)) * 256u + byte(11);
  return {byte(1), byte(6) * 256 + byte(7), client.receive(body)};
}
Packet ask(WireClient& client, const std::string& bytes) {
  client.send(bytes);
  return receive(client);
}

}  // namespace

TEST_CASE("who convinces SASL may use the cache, and nobody else") {
  SaslServer door;
  WireClient client = door.server.connect();
  CHECK(ask(client, request(kList)).body.find("PLAIN") != std::string::npos);
  CHECK(ask(client, plain("foo", "baz")).status == 0x20);
  CHECK(ask(client, plain("nobody", "bar")).status == 0x20);
  const Packet in = ask(client, plain("foo", "bar"));
  CHECK(in.status == 0);
  CHECK(in.body == "Authenticated");
  CHECK(ask(client, request(kSet, "k", "value")).status == 0);
  CHECK(ask(client, request(kGet, "k")).body == std::string(4, '\0') + "value");

  WireClient stranger = door.server.connect();
  CHECK(ask(stranger, request(kGet, "k")).status == 0x20);
  CHECK(stranger.closed_by_peer());
  WireClient text = door.server.connect();
  text.send("version\r\nversion\r\nversion\r\n");
  CHECK(text.closed_by_peer());
}

TEST_CASE("what is pipelined around the exchange is answered, at every split point") {
  SaslServer door;
  const std::string stream = plain("foo", "baz") + request(kStart, "PLAIN") +
                             request(kStep, "PLAIN", SaslSetup::plain("foo", "bar")) +
                             request(kSet, "k", "value") + request(kGet, "k") + request(kNoop);
  const int opcodes[] = {kStart, kStart, kStep, kSet, kGet, kNoop};
  const int statuses[] = {0x20, 0x21, 0, 0, 0, 0};
  const auto check = [&](WireClient& client) {
    for (size_t i = 0; i < std::size(opcodes); ++i) {
      const Packet got = receive(client);
      REQUIRE(got.opcode == opcodes[i]);
      REQUIRE(got.status == statuses[i]);
    }
  };
  for (size_t split = 0; split <= stream.size(); ++split) {
    WireClient client = door.server.connect();
    INFO(split);
    client.send(stream.substr(0, split));
    client.send(stream.substr(split));
    check(client);
  }
  WireClient client = door.server.connect();
  for (const char byte : stream) client.send({&byte, 1});
  check(client);
}

TEST_CASE("an admitted client may authenticate again; if it fails it is outside") {
  SaslServer door;
  WireClient client = door.server.connect();
  client.send(plain("foo", "bar") + request(kSet, "k", "v") + request(kList) + request(kGet, "k") +
              plain("foo", "bar") + request(kGet, "k") + plain("foo", "baz") + request(kGet, "k"));
  const int statuses[] = {0, 0, 0, 0, 0, 0, 0x20, 0x20};
  for (const int status : statuses) CHECK(receive(client).status == status);
  CHECK(client.closed_by_peer());
}

TEST_CASE("clients' exchanges do not mix") {
  SaslServer door;
  WireClient one = door.server.connect();
  WireClient other = door.server.connect();
  CHECK(ask(one, request(kStart, "PLAIN")).status == 0x21);
  const std::string step = request(kStep, "PLAIN", SaslSetup::plain("foo", "bar"));
  CHECK(ask(other, step).status == 0x20);
  CHECK(ask(one, step).status == 0);
  CHECK(ask(other, request(kNoop)).status == 0x20);
}

TEST_CASE("who is looked up slowly keeps nobody waiting but himself") {
  Saslauthd saslauthd;
  const SaslSetup setup(saslauthd.path());
  Settings settings = sasl_settings();
  settings.threads = 1;
  auto server = std::make_unique<TempServer>(settings);
  WireClient inside = server->connect();
  REQUIRE(ask(inside, plain("foo", "bar")).status == 0);

  saslauthd.hold(true);
  std::vector<WireClient> guests;  // more than are looked up at a time
  constexpr size_t kGuests = 20;
  for (size_t i = 0; i < kGuests; ++i) {
    guests.push_back(server->connect());
    const bool good = i % 2 == 0;
    guests.back().send(plain("foo", good ? "bar" : "baz") + request(kNoop));
  }
  constexpr size_t kAsked = 1 + SaslClerk::kThreads;
  REQUIRE(eventually([&] { return saslauthd.asked() == kAsked; }));
  for (int i = 0; i < 100; ++i) REQUIRE(ask(inside, request(kNoop)).status == 0);
  WireClient other = server->connect();
  CHECK(ask(other, request(kList)).body == "PLAIN");

  SECTION("all are answered in the end, and what they sent behind it") {
    saslauthd.hold(false);
    for (size_t i = 0; i < kGuests; ++i) {
      const bool good = i % 2 == 0;
      CHECK(receive(guests[i]).status == (good ? 0 : 0x20));
      CHECK(receive(guests[i]).status == (good ? 0 : 0x20));
      CHECK((good || guests[i].closed_by_peer()));
    }
  }
  SECTION("those who have gone meanwhile are forgotten") {
    guests.clear();
    saslauthd.hold(false);
    CHECK(ask(inside, plain("foo", "bar")).status == 0);
    CHECK(eventually([&] {
      inside.send(request(kStat));
      std::string open;
      for (Packet row = receive(inside); !row.body.empty(); row = receive(inside)) {
        if (row.body.starts_with("curr_connections")) open = row.body.substr(16);
      }
      return open == "2";
    }));
  }
  SECTION("a server stops when the answers are there, and starts no other look-up") {
    std::thread release([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      saslauthd.hold(false);
    });
    server.reset();
    release.join();
    CHECK(saslauthd.asked() == kAsked);
  }
}

TEST_CASE("the answer to a login comes although the thread that has it finds no memory") {
  Saslauthd saslauthd;
  const SaslSetup setup(saslauthd.path());
  Settings settings = sasl_settings();
  settings.threads = 1;
  TempServer server(settings);
  saslauthd.hold(true);
  // The first of this worker: nothing that it has been sent before has left memory for a message.
  WireClient client = server.connect();
  client.send(plain("foo", "bar") + request(kNoop));
  REQUIRE(eventually([&] { return saslauthd.asked() == 1; }));
  {
    const FailingAllocations none("larder-sasl");
    saslauthd.hold(false);
    CHECK(receive(client).status == 0);
    CHECK(receive(client).opcode == kNoop);
    CHECK(none.failed() == 0);
  }
  // The thread is there for the next one.
  WireClient other = server.connect();
  CHECK(ask(other, plain("foo", "baz")).status == 0x20);
  CHECK(ask(other, plain("foo", "bar")).status == 0);
}

TEST_CASE("replies that wait for their reader go before a login's answer and what follows it") {
  Saslauthd saslauthd;
  const SaslSetup setup(saslauthd.path());
  const TempFolder folder;
  Settings settings = sasl_settings();
  settings.threads = 1;
  settings.unix_socket = folder.file("socket");
  TempServer server(settings);
  WireClient other = WireClient::over_unix(settings.unix_socket);
  REQUIRE(ask(other, plain("foo", "bar")).status == 0);
  // More than a unix socket holds for a reader, less than is sent in the middle of a batch.
  const std::string first(900'000, 'a');
  const std::string second(800'000, 'b');
  REQUIRE(ask(other, request(kSet, "first", first)).status == 0);
  REQUIRE(ask(other, request(kSet, "second", second)).status == 0);

  WireClient client = WireClient::over_unix(settings.unix_socket);
  REQUIRE(ask(client, plain("foo", "bar")).status == 0);
  const bool admitted = GENERATE(true, false);
  const size_t asked = saslauthd.asked();
  client.send(request(kGet, "first") + plain("foo", admitted ? "bar" : "baz") +
              request(kGet, "second") + request(kNoop));
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > first.size() / 2; }));
  // While the value waits, the login is not looked up, so that no answer can overtake the value.
  constexpr size_t kOthers = 5;
  for (size_t i = 0; i < kOthers; ++i) REQUIRE(ask(other, plain("foo", "bar")).status == 0);
  CHECK(saslauthd.asked() == asked + kOthers);
  CHECK(server.server().buffered_bytes() > first.size() / 2);

  const Packet value = receive(client);
  CHECK(value.opcode == kGet);
  CHECK((value.body == std::string(4, '\0') + first));
  const Packet login = receive(client);
  CHECK(login.opcode == kStart);
  CHECK(login.status == (admitted ? 0 : 0x20));
  const Packet behind = receive(client);
  CHECK(behind.opcode == kGet);
  CHECK(behind.status == (admitted ? 0 : 0x20));
  if (admitted) {
    CHECK((behind.body == std::string(4, '\0') + second));
    CHECK(receive(client).opcode == kNoop);
  } else {
    CHECK(client.closed_by_peer());
  }
}

TEST_CASE("attempts by SASL are counted, and settings say that there is SASL") {
  SaslServer door;
  WireClient client = door.server.connect();
  ask(client, plain("foo", "baz"));
  ask(client, request(kStep, "PLAIN", "x"));
  ask(client, plain("foo", "bar"));
  const auto stats = [&](const std::string& kind) {
    client.send(request(kStat, kind));
    std::string all;
    for (Packet row = receive(client); !row.body.empty(); row = receive(client)) {
      all += row.body + "\n";
    }
    return all;
  };
  const std::string general = stats("");
  CHECK(general.find("auth_cmds3\n") != std::string::npos);
  CHECK(general.find("auth_errors2\n") != std::string::npos);
  const std::string settings = stats("settings");
  CHECK(settings.find("auth_enabled_saslyes\n") != std::string::npos);
  CHECK(settings.find("auth_enabled_asciino\n") != std::string::npos);
  CHECK(settings.find("binding_protocolbinary\n") != std::string::npos);
}

TEST_CASE("rubbish in the place of SASL costs bounded memory") {
  SaslServer door;
  WireClient client = door.server.connect();
  client.send(BinaryRequest{.opcode = kStart, .key = "PLAIN", .body_bytes = 1u << 30}.bytes());
  CHECK(receive(client).status == 0x82);
  for (int i = 0; i < 100; ++i) client.send(std::string(65536, 'x'));
  WireClient half = door.server.connect();
  half.send(BinaryRequest{.opcode = kStart, .key = "PLAIN", .body_bytes = 16384}.bytes() +
            std::string(10'000, 'y'));
  CHECK(door.server.server().buffered_bytes() < 20'000);
  WireClient good = door.server.connect();
  CHECK(ask(good, plain("foo", "bar")).status == 0);
}

TEST_CASE("without -S the opcodes of SASL are unknown") {
  TempServer server;
  WireClient client = server.connect();
  CHECK(ask(client, request(kList)).status == 0x81);
  CHECK(ask(client, plain("foo", "bar")).status == 0x81);
  CHECK(ask(client, request(kNoop)).status == 0);
}

namespace {

// One worker, busy with others, so that a login's answer is often there before the pass in which it
// was asked for ends: a client's second service would follow its first in the same pass.
class BusySaslServer {
 public:
  BusySaslServer() {
    for (int i = 0; i < 18; ++i) {
      others_.push_back(connect());
      if (ask(others_.back(), plain("foo", "bar")).status != 0)
        throw std::runtime_error("no login");
    }
    for (int i = 0; i < 230; ++i) {
      work_ += request(kQuietSet, "k" + std::to_string(i), std::string(200, 'y'));
    }
    work_ += request(kNoop);
  }

  WireClient connect() { return server_.connect(); }

  // Sends between the work of the others, before and after, and has a client accepted meanwhile.
  void send_amid_work(WireClient& client, const std::string& bytes) {
    for (size_t i = 0; i < 6; ++i) others_[i].send(work_);
    client.send(bytes);
    for (size_t i = 6; i < others_.size(); ++i) others_[i].send(work_);
    newcomer_.emplace(connect());
  }
  void finish_work() {
    for (WireClient& other : others_) {
      if (receive(other).opcode != kNoop) throw std::runtime_error("another client is disturbed");
    }
    newcomer_.reset();
  }

 private:
  static Settings settings() {
    Settings settings = sasl_settings();
    settings.threads = 1;
    return settings;
  }
  const SaslSetup setup_;
  TempServer server_{settings()};
  std::vector<WireClient> others_;
  std::optional<WireClient> newcomer_;
  std::string work_;
};

}  // namespace

TEST_CASE("replies of a pipelined login come in order, and all of them") {
  BusySaslServer server;
  {
    WireClient writer = server.connect();
    REQUIRE(ask(writer, plain("foo", "bar")).status == 0);
    REQUIRE(ask(writer, request(kSet, "big", std::string(20'000, 'x'))).status == 0);
  }
  constexpr uint8_t kVersion = 0x0b;
  constexpr uint8_t kQuit = 0x07;
  for (int i = 0; i < 200; ++i) {
    WireClient client = server.connect();
    const bool leaves = i % 2 == 1;
    server.send_amid_work(client, request(kVersion) + plain("foo", "bar") +
                                      (leaves ? request(kQuit) : request(kGet, "big")));
    INFO(i);
    CHECK(receive(client).opcode == kVersion);
    CHECK(receive(client).opcode == kStart);
    CHECK(receive(client).opcode == (leaves ? kQuit : kGet));
    server.finish_work();
  }
}

TEST_CASE("a client that pipelines its login and resets costs nobody anything") {
  BusySaslServer server;
  constexpr uint8_t kVersion = 0x0b;
  for (int i = 0; i < 300; ++i) {
    WireClient client = server.connect();
    server.send_amid_work(client, request(kVersion) + plain("foo", "bar") +
                                      request(kStat, "settings") + request(kStat, "settings"));
    std::this_thread::sleep_for(std::chrono::microseconds(i * 8));  // at another point each time
    client.reset();
    server.finish_work();
  }
}
