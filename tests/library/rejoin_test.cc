// The rule of rejoining: what a node missed is deleted there before anything is read from it.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "tests/library/child_server.h"
#include "tests/library/fleet_support.h"
#include "tests/library/gate.h"
#include "tests/library/name_server.h"
#include "tests/library/scripted_server.h"
#include "tests/support/temp_server.h"
#include "tools/client/client.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;

namespace {

// One node behind a gate, that holds "old" under some keys.
class Away {
 public:
  explicit Away(const std::function<void(ClientOptions&)>& change = {}) : gate_(server_.port()) {
    ClientOptions options = quick(options_for({gate_.port()}));
    if (change) change(options);
    cache_ = make_client(options);
    for (const char* key : {"a", "b", "c", "untouched"}) {
      REQUIRE(eventually([&] { return says(cache_->set(key, "old"), Outcome::Done); }));
    }
  }

  Gate& gate() { return gate_; }
  Client& cache() { return *cache_; }
  TempServer& server() { return server_; }

  void wait_until_ejected() {
    REQUIRE(eventually([&] {
      const auto item = cache_->get("untouched");
      return !item.ok() && item.error().kind == ErrorKind::Ejected;
    }));
  }
  // The first thing that is read from it.
  Found read_once_back(std::string_view key) {
    Found found = Error{};
    REQUIRE(eventually([&] {
      found = cache_->get(key);
      return found.ok();
    }));
    return found;
  }

 private:
  TempServer server_;
  Gate gate_;
  std::unique_ptr<Client> cache_;
};

}  // namespace

TEST_CASE("a write that was refused its node is deleted there before it is read") {
  Away node;
  node.gate().shut();
  CHECK_FALSE(node.cache().set("a", "new").ok());
  CHECK_FALSE(node.cache().remove("b").ok());
  node.wait_until_ejected();
  CHECK(fails_with(node.cache().set("c", "new"), ErrorKind::Ejected));
  node.gate().open();
  CHECK(is_miss(node.read_once_back("a")));
  CHECK(is_miss(node.read_once_back("b")));
  CHECK(is_miss(node.read_once_back("c")));
  CHECK(value_of(node.read_once_back("untouched")) == "old");
  CHECK(node.server().stat("cmd_flush") == "0");
}

TEST_CASE(
    "a write that was not answered is deleted before the next read, also without an ejection") {
  Away node([](ClientOptions& options) { options.health.failures_to_eject = 1'000'000; });
  node.gate().hold();
  CHECK(fails_with(node.cache().set("a", "new"), ErrorKind::Timeout));
  node.gate().open();
  CHECK(is_miss(node.read_once_back("a")));
  CHECK(value_of(node.read_once_back("b")) == "old");
}

TEST_CASE("each kind of write is remembered, alone and among many") {
  Away node;
  const auto set = [&](std::string_view key) {
    REQUIRE(eventually([&] { return node.cache().set(key, "1").ok(); }));
  };
  for (const Verb verb : {Verb::Set, Verb::Add, Verb::Replace, Verb::Append, Verb::Prepend,
                          Verb::Delete, Verb::Increment, Verb::Decrement, Verb::Touch}) {
    for (const bool held : {true, false}) {
      CAPTURE(static_cast<int>(verb), held);
      set("a");
      set("b");
      held ? node.gate().hold() : node.gate().shut();
      const Operation operations[] = {{.verb = verb, .key = "a"}, {.verb = verb, .key = "b"}};
      Answer answers[2];
      node.cache().run(operations, answers);
      CHECK(answers[0].outcome == Outcome::Failed);
      CHECK(answers[1].outcome == Outcome::Failed);
      node.gate().open();
      CHECK(is_miss(node.read_once_back("a")));
      CHECK(is_miss(node.read_once_back("b")));
    }
  }
  CHECK(value_of(node.read_once_back("untouched")) == "old");
}

TEST_CASE("reads that fail cost nothing afterwards") {
  Away node;
  node.gate().hold();
  CHECK_FALSE(node.cache().get("a").ok());
  CHECK_FALSE(node.cache().get_many({{"a", "b"}}).front().ok());
  node.wait_until_ejected();
  node.gate().open();
  CHECK(value_of(node.read_once_back("a")) == "old");
  CHECK(value_of(node.read_once_back("b")) == "old");
}

TEST_CASE("a get that also touches is a write where it fails") {
  Away node;
  node.gate().hold();
  CHECK_FALSE(node.cache().get_and_touch("b", 100).ok());
  node.gate().open();
  CHECK(is_miss(node.read_once_back("b")));
  CHECK(value_of(node.read_once_back("a")) == "old");
}

TEST_CASE("a write that a full server has turned away leaves no older value to be read") {
  larder::daemon::Settings settings = loopback_settings();
  settings.max_connections = 6;
  TempServer server(settings);
  ClientOptions options = options_for({server.port()});
  options.idle_connections = 0;
  options.request_timeout = milliseconds(200);
  const auto cache = make_client(options);
  REQUIRE(eventually([&] { return cache->set("a", "old").ok() && cache->set("b", "old").ok(); }));
  {
    std::vector<WireClient> others;
    bool full = false;
    CHECK(eventually([&] {
      if (others.size() < 20) others.push_back(server.connect());
      full = fails_with(cache->set("a", "new"), ErrorKind::Unreachable);
      return full;
    }));
    CHECK_FALSE(cache->remove("b").ok());
  }
  Found found = Error{};
  CHECK(eventually([&] { return (found = cache->get("a")).ok(); }));
  CHECK((is_miss(found) || value_of(found) == "new"));
  CHECK(eventually([&] { return (found = cache->get("b")).ok(); }));
  CHECK(is_miss(found));
}

TEST_CASE("a name that moves to a server with older contents brings none of them") {
  const auto server_at = [](const std::string& address, int port) {
    larder::daemon::Settings settings = loopback_settings();
    settings.listen = {address};
    settings.port = port;
    return settings;
  };
  TempServer before(server_at("127.0.0.2", -1));
  TempServer after(server_at("127.0.0.3", before.port()));
  ClientOptions other = options_for({after.port()});
  other.servers[0].host = "127.0.0.3";
  const auto there = make_client(other);
  for (const char* key : {"k", "other"}) REQUIRE(says(there->set(key, "older"), Outcome::Done));
  NameServer names;
  names.set("cache.test", {"127.0.0.2"});
  ClientOptions options = options_for({before.port()});
  options.servers[0].host = "cache.test";
  options.connection.name_servers = names.address();
  options.idle_connections = 1;
  const auto cache = make_client(options);
  REQUIRE(says(cache->set("k", "new"), Outcome::Done));
  names.set("cache.test", {"127.0.0.3"});
  // The open connection leads to the old server; the first thread that needs another one moves all.
  std::vector<std::thread> threads;
  std::atomic<int> older = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) older += value_of(cache->get("k")) == "older" ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(older == 0);
  CHECK(is_miss(there->get("other")));
}

TEST_CASE("a probe gives out no connection to a server that was not flushed") {
  NameServer names;
  TempServer server;
  // The name leads there for one connection. It answers as a server with an older item does.
  ScriptedServer elsewhere([&](Peer& peer) {
    bool is_flushed = false;
    for (std::string line = peer.read_some(); !line.empty(); line = peer.read_some()) {
      if (line.starts_with("version")) {
        names.set("cache.test", {"127.0.0.2"});
        peer.write("VERSION 1\r\n");
      } else if (line.starts_with("flush_all")) {
        is_flushed = true;
        peer.write("OK\r\n");
      } else if (line.starts_with("get")) {
        const bool with_cas = line.starts_with("gets");
        if (!is_flushed) peer.write(with_cas ? "VALUE k 0 5 7\r\n" : "VALUE k 0 5\r\n");
        peer.write(is_flushed ? "END\r\n" : "older\r\nEND\r\n");
      } else {
        peer.write("ERROR\r\n");
      }
    }
  });
  Gate gate(server.port(), "127.0.0.2", elsewhere.port());
  names.set("cache.test", {"127.0.0.2"});
  ClientOptions options = quick(options_for({gate.port()}));
  options.servers[0].host = "cache.test";
  options.connection.name_servers = names.address();
  options.connection.dialect = Dialect::Classic;
  const auto cache = make_client(options);
  REQUIRE(eventually([&] { return says(cache->set("k", "new"), Outcome::Done); }));
  gate.shut();
  REQUIRE(eventually([&] { return fails_with(cache->get("k"), ErrorKind::Ejected); }));
  gate.open();
  names.set("cache.test", {"127.0.0.1"});
  Found found = Error{};
  REQUIRE(eventually([&] { return (found = cache->get("k")).ok(); }));
  CHECK(value_of(found) == "(a miss)");
}

TEST_CASE("an observer may use the node that it is told has returned") {
  struct Reading : ClientObserver {
    void node_returned(const std::string&) noexcept override {
      found.push_back(value_of(client->get("untouched")));
    }
    Client* client = nullptr;
    std::vector<std::string> found;
  };
  const auto observer = std::make_shared<Reading>();
  Away node([&](ClientOptions& options) { options.observer = observer; });
  observer->client = &node.cache();
  observer->found.clear();  // it may have been away at first on a busy machine
  node.gate().shut();
  node.wait_until_ejected();
  node.gate().open();
  CHECK(value_of(node.read_once_back("untouched")) == "old");
  REQUIRE_FALSE(observer->found.empty());
  CHECK(observer->found.front() == "old");
}

TEST_CASE("connections that were given up are closed once their server has") {
  const auto descriptors = [] {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      static_cast<void>(entry);
      ++count;
    }
    return count;
  };
  Away node;
  const size_t before = descriptors();
  node.gate().hold();
  std::vector<std::thread> threads;
  for (int t = 0; t < 20; ++t) {
    threads.emplace_back([&] { static_cast<void>(node.cache().set("a", "new").ok()); });
  }
  for (std::thread& thread : threads) thread.join();
  node.gate().shut();
  CHECK(eventually([&] {
    static_cast<void>(node.cache().get("a").ok());
    return descriptors() <= before;
  }));
}

TEST_CASE("a write that comes late cannot undo what was written after its delete") {
  Away node([](ClientOptions& options) { options.health.failures_to_eject = 1'000'000; });
  // Only the connection of the write is held: a delete over a new one would get through.
  node.gate().hold_existing();
  CHECK(fails_with(node.cache().set("a", "late"), ErrorKind::Timeout));
  CHECK(fails_with(node.cache().set("a", "newer"), ErrorKind::Timeout));
  CHECK_FALSE(node.cache().get("a").ok());
  node.gate().open();
  CHECK(is_miss(node.read_once_back("a")));
  CHECK(eventually([&] { return says(node.cache().set("a", "newest"), Outcome::Done); }));
  for (int i = 0; i < 100; ++i) CHECK(value_of(node.read_once_back("a")) == "newest");
}

TEST_CASE("too many missed writes, and the node is flushed before it is used") {
  Away node([](ClientOptions& options) { options.most_owed_keys = 2; });
  node.gate().shut();
  for (const char* key : {"a", "b", "c"}) CHECK_FALSE(node.cache().set(key, "new").ok());
  node.gate().open();
  CHECK(is_miss(node.read_once_back("untouched")));
  CHECK(is_miss(node.read_once_back("a")));
  CHECK(node.server().stat("cmd_flush") != "0");
}

TEST_CASE("a flush that failed is made up for") {
  Away node;
  node.gate().shut();
  CHECK_FALSE(node.cache().flush_all().at(0).result.ok());
  node.gate().open();
  CHECK(is_miss(node.read_once_back("untouched")));
  CHECK(node.server().stat("cmd_flush") != "0");
}

TEST_CASE("a node that was away longer than the lease is flushed before it is used") {
  Away node([](ClientOptions& options) { options.lease = milliseconds(0); });
  node.gate().shut();
  node.wait_until_ejected();
  node.gate().open();
  CHECK(is_miss(node.read_once_back("untouched")));
  CHECK(node.server().stat("cmd_flush") != "0");
}

TEST_CASE("a lease without an end never has a node flushed") {
  Away node([](ClientOptions& options) { options.lease = milliseconds::max(); });
  node.gate().shut();
  node.wait_until_ejected();
  node.gate().open();
  CHECK(value_of(node.read_once_back("untouched")) == "old");
  CHECK(node.server().stat("cmd_flush") == "0");
}

TEST_CASE("an ejection without an end does not end") {
  Away node([](ClientOptions& options) {
    options.health.first_ejection = options.health.longest_ejection = milliseconds::max();
  });
  node.gate().shut();
  node.wait_until_ejected();
  node.gate().open();
  for (int i = 0; i < 100; ++i) CHECK(fails_with(node.cache().get("a"), ErrorKind::Ejected));
}

TEST_CASE("of many clients that find a node back one flushes it") {
  TempServer server;
  Gate gate(server.port());
  ClientOptions options = quick(options_for({gate.port()}));
  options.lease = milliseconds(0);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(make_client(options));
  REQUIRE(eventually([&] { return says(clients[0]->set("untouched", "old"), Outcome::Done); }));
  gate.shut();
  for (const auto& client : clients) {
    REQUIRE(eventually([&] { return fails_with(client->get("untouched"), ErrorKind::Ejected); }));
  }
  std::this_thread::sleep_for(milliseconds(20));  // moments are known to a few milliseconds
  gate.open();
  const auto until_back = [](Client& client, const std::string& key) {
    Found found = Error{};
    REQUIRE(eventually([&] {
      found = client.get(key);
      return found.ok();
    }));
    return found;
  };
  CHECK(is_miss(until_back(*clients[0], "untouched")));
  REQUIRE(says(clients[0]->set("later", "new"), Outcome::Done));
  for (const auto& client : clients) CHECK(value_of(until_back(*client, "later")) == "new");
  CHECK(server.stat("cmd_flush") == "1");

  // What a client has missed since then calls for another one.
  gate.shut();
  REQUIRE(eventually([&] { return fails_with(clients[7]->get("a"), ErrorKind::Ejected); }));
  gate.open();
  CHECK(is_miss(until_back(*clients[7], "later")));
  CHECK(server.stat("cmd_flush") == "2");
}

TEST_CASE("a node that comes back empty is not flushed") {
  auto server = std::make_unique<TempServer>();
  larder::daemon::Settings settings = loopback_settings();
  settings.port = server->port();
  ClientOptions options = quick(options_for({server->port()}));
  options.lease = milliseconds(0);
  const auto cache = make_client(options);
  REQUIRE(eventually([&] { return says(cache->set("a", "old"), Outcome::Done); }));
  server.reset();
  REQUIRE(eventually([&] { return fails_with(cache->get("a"), ErrorKind::Ejected); }));
  std::this_thread::sleep_for(milliseconds(20));  // moments are known to a few milliseconds
  server = std::make_unique<TempServer>(settings);
  CHECK(eventually([&] { return is_miss(cache->get("a")); }));
  CHECK(server->stat("cmd_flush") == "0");
}

TEST_CASE("a node behind a proxy without statistics is flushed all the same") {
  const auto what = GENERATE(Gate::Stats::Close, Gate::Stats::Swallow);
  Away node([](ClientOptions& options) { options.lease = milliseconds(0); });
  node.gate().stats(what);
  node.gate().shut();
  node.wait_until_ejected();
  node.gate().open();
  CHECK(is_miss(node.read_once_back("untouched")));
  CHECK(node.server().stat("cmd_flush") == "1");
}

TEST_CASE("statistics that come twice do not spare a node its flush") {
  // It says that it has just been emptied, but these are the rows of an earlier question, which
  // come a second time. Its own rows come before the next reply.
  std::atomic<int> flushes = 0;
  const auto script = [&](Peer& peer) {
    std::string came;
    bool owes_rows = false;
    for (std::string some = peer.read_some(); !some.empty(); some = peer.read_some()) {
      came += some;
      for (size_t end; (end = came.find("\r\n")) != came.npos; came.erase(0, end + 2)) {
        const std::string line = came.substr(0, end);
        if (owes_rows) peer.answer("STAT emptied_ago_ms 100000\r\nEND\r\n");
        owes_rows = line == "stats larder";
        if (owes_rows) peer.answer("STAT emptied_ago_ms 0\r\nEND\r\n");
        if (line.starts_with("ma ")) peer.answer("CLIENT_ERROR cannot increment\r\n");
        if (line.starts_with("md ")) peer.answer_barrier();
        if (line.starts_with("mg ")) peer.answer("EN O?\r\n");
        if (line.starts_with("flush_all") && ++flushes > 0) peer.answer("OK\r\n");
      }
    }
  };
  ScriptedServer server(script, 0, 2);
  ClientOptions options = options_for({server.port()});
  options.most_owed_keys = 0;  // everything is owed at once
  const auto cache = make_client(options);
  CHECK_FALSE(cache->increment("k").ok());
  std::this_thread::sleep_for(milliseconds(20));  // moments are known to a few milliseconds
  static_cast<void>(cache->get("k").ok());
  CHECK(flushes == 1);
}

TEST_CASE("a node that does not let itself be flushed is not read from") {
  larder::daemon::Settings settings = loopback_settings();
  settings.allow_flush = false;
  TempServer server(settings);
  Gate gate(server.port());
  ClientOptions options = quick(options_for({gate.port()}));
  options.lease = milliseconds(0);
  const auto cache = make_client(options);
  REQUIRE(eventually([&] { return says(cache->set("a", "old"), Outcome::Done); }));
  gate.shut();
  CHECK(eventually([&] {
    const Found found = cache->get("a");
    return !found.ok() && found.error().kind == ErrorKind::Ejected;
  }));
  gate.open();
  bool says_why = false;
  CHECK(eventually([&] {
    const auto item = cache->get("a");
    REQUIRE_FALSE(item.ok());
    says_why = item.error().kind == ErrorKind::Ejected &&
               item.error().text.find("flush_all") != std::string::npos;
    return says_why;
  }));
}

TEST_CASE("a process that is stopped comes back without what it missed") {
  ChildServer server;
  ClientOptions options = quick(options_for({server.port()}));
  const auto cache = make_client(options);
  for (const char* key : {"a", "b", "untouched"}) {
    REQUIRE(eventually([&] { return says(cache->set(key, "old"), Outcome::Done); }));
  }
  server.stop();
  CHECK(fails_with(cache->set("a", "new"), ErrorKind::Timeout));
  CHECK(eventually([&] {
    const Found found = cache->get("a");
    return !found.ok() && found.error().kind == ErrorKind::Ejected;
  }));
  CHECK_FALSE(cache->remove("b").ok());
  server.go_on();
  const auto read = [&](std::string_view key) {
    Found found = Error{};
    CHECK(eventually([&] { return (found = cache->get(key)).ok(); }));
    return found;
  };
  CHECK(is_miss(read("b")));
  CHECK(is_miss(read("a")));
  CHECK(value_of(read("untouched")) == "old");
}

TEST_CASE("no read is older than a write that has returned, whatever happens to the node") {
  Away node([](ClientOptions& options) {
    options.request_timeout = options.connect_timeout = milliseconds(50);
    options.health.first_ejection = milliseconds(5);
    options.health.longest_ejection = milliseconds(10);
  });
  constexpr int kChanges = 40;
  std::atomic<int> floor = 0;
  std::atomic<int> stale = 0;
  std::atomic<int> read = 0;
  std::atomic<bool> over = false;
  REQUIRE(eventually([&] { return node.cache().set("k", "0").ok(); }));
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (int version = 1; !over; ++version) {
      static_cast<void>(node.cache().set("k", std::to_string(version)).ok());
      floor = version;
    }
  });
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!over) {
        const int least = floor;
        const Found found = node.cache().get("k");
        if (!found.ok() || !found->has_value()) continue;
        ++read;
        if (std::stoi((*found)->value) < least) ++stale;
      }
    });
  }
  for (int change = 0; change < kChanges; ++change) {
    switch (change % 3) {
      case 0:
        node.gate().hold();
        break;
      case 1:
        node.gate().hold_existing();
        break;
      case 2:
        node.gate().shut();
        break;
    }
    std::this_thread::sleep_for(milliseconds(change));
    node.gate().open();
    const int before = read;
    CHECK(eventually([&] { return read > before; }));
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(stale == 0);
}
