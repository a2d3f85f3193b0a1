// How long a client with discovery takes to begin, to end and to ask for its list.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>

#include "tests/library/fleet_support.h"
#include "tests/library/name_server.h"
#include "tests/library/scripted_server.h"
#include "tests/support/temp_server.h"
#include "tools/client/client.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

// With a server that tells a list of itself alone until it is told to stop, and one more to ask.
class Discovering {
 public:
  Discovering()
      : teller_([] {
          larder::daemon::Settings settings = loopback_settings();
          settings.allow_cluster_set = true;
          return settings;
        }()) {
    const std::string port = std::to_string(teller_.port());
    const std::string block = "1\nlocalhost|127.0.0.1|" + port + "\n";
    ask("config set cluster 0 " + std::to_string(block.size()) + "\r\n" + block, "STORED");
  }
  void stop_telling() { ask("config delete cluster", "DELETED"); }
  // The other is asked when nobody else tells a list.
  ClientOptions options_with(const Server& other) const {
    ClientOptions options = options_for({teller_.port()});
    options.servers.push_back(other);
    options.discovery = {.enabled = true, .interval = milliseconds(1)};
    options.request_timeout = options.connect_timeout = std::chrono::hours(1);
    return options;
  }

 private:
  void ask(const std::string& command, const std::string& reply) {
    WireClient client = teller_.connect();
    REQUIRE(client.ask_line(command) == reply);
  }

  TempServer teller_;
};

}  // namespace

TEST_CASE("a client is made in one request timeout, however many servers are silent") {
  NameServer names;
  names.be_silent();
  ClientOptions options = options_for({});
  for (int i = 0; i < 100; ++i) {
    options.servers.push_back({.host = "silent" + std::to_string(i) + ".test"});
  }
  options.connection.name_servers = names.address();
  options.discovery.enabled = true;
  options.connect_timeout = options.request_timeout = milliseconds(250);
  const auto made = Client::make(options);
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().kind == ErrorKind::Timeout);
  CHECK(made.error().text.find("were not asked") != std::string::npos);
  // Each has 100 ms, of which a lookup may take 75.
  CHECK(names.asked().size() < 10);
}

TEST_CASE("a client ends though its thread is looking a name up") {
  NameServer names;
  names.be_silent();
  Discovering fleet;
  ClientOptions options = fleet.options_with({.host = "silent.test"});
  options.connection.name_servers = names.address();
  auto cache = make_client(options);
  fleet.stop_telling();
  REQUIRE(eventually([&] { return names.asked().contains("silent.test"); }));
  const auto begin = Clock::now();
  cache.reset();
  CHECK(Clock::now() - begin < kPatience);
}

TEST_CASE("a client ends though its thread waits for a server") {
  std::atomic<bool> asked = false;
  ScriptedServer silent([&](Peer& peer) {
    peer.read_some();
    asked = true;
    peer.read_until_closed();
  });
  Discovering fleet;
  auto cache = make_client(fleet.options_with({.host = "127.0.0.1", .port = silent.port()}));
  fleet.stop_telling();
  REQUIRE(eventually([&] { return asked.load(); }));
  const auto begin = Clock::now();
  cache.reset();
  CHECK(Clock::now() - begin < kPatience);
}

TEST_CASE("a client ends though its observer asks for the list again") {
  struct Asking : ClientObserver {
    void list_failed(const Error&) noexcept override {
      if (client.load() == nullptr || is_asking.exchange(true)) return;
      static_cast<void>(client.load()->refresh().ok());
    }
    std::atomic<Client*> client = nullptr;
    std::atomic<bool> is_asking = false;
  };
  const auto observer = std::make_shared<Asking>();
  // Its first connection comes to nothing, and nobody answers the others.
  ScriptedServer silent([](Peer&) {});
  Discovering fleet;
  ClientOptions options = fleet.options_with({.host = "127.0.0.1", .port = silent.port()});
  options.observer = observer;
  options.request_timeout = 2 * kPatience;
  auto cache = make_client(options);
  observer->client = cache.get();
  fleet.stop_telling();
  REQUIRE(eventually([&] { return observer->is_asking.load(); }));
  const auto begin = Clock::now();
  cache.reset();
  CHECK(Clock::now() - begin < kPatience);
}

TEST_CASE("an observer is not told of a question that the end of its client has cut short") {
  struct Counting : ClientObserver {
    void list_failed(const Error&) noexcept override { ++failed; }
    std::atomic<int> failed = 0;
  };
  const auto observer = std::make_shared<Counting>();
  std::atomic<bool> asked = false;
  ScriptedServer silent([&](Peer& peer) {
    peer.read_some();
    asked = true;
    peer.read_until_closed();
  });
  Discovering fleet;
  ClientOptions options = fleet.options_with({.host = "127.0.0.1", .port = silent.port()});
  options.observer = observer;
  auto cache = make_client(options);
  fleet.stop_telling();
  REQUIRE(eventually([&] { return asked.load(); }));
  cache.reset();
  CHECK(observer->failed == 0);
}

TEST_CASE("a call that asks for the list does not wait for the thread that does") {
  std::atomic<bool> asked = false;
  const auto say_nothing = [&](Peer& peer) {
    peer.read_some();
    asked = true;
    peer.read_until_closed();
  };
  ScriptedServer silent(say_nothing);
  ScriptedServer second(say_nothing);
  ScriptedServer third(say_nothing);
  Discovering fleet;
  ClientOptions options = fleet.options_with({.host = "127.0.0.1", .port = silent.port()});
  options.servers.push_back({.host = "127.0.0.1", .port = second.port()});
  options.servers.push_back({.host = "127.0.0.1", .port = third.port()});
  options.request_timeout = std::chrono::seconds(1);  // of each, for the thread
  auto cache = make_client(options);
  fleet.stop_telling();
  REQUIRE(eventually([&] { return asked.load(); }));
  const auto refreshed = cache->refresh();
  REQUIRE_FALSE(refreshed.ok());
  CHECK(refreshed.error().text.find("another thread") != std::string::npos);
}
