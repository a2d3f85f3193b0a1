// Names in a list that come to lead to other addresses: nothing old is read there.
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/library/fleet_support.h"
#include "tests/library/gate.h"
#include "tests/support/temp_server.h"
#include "tools/client/client.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;

namespace {

// A server that tells what lists a test says; it is in none of them.
class Teller {
 public:
  Teller()
      : server_([] {
          larder::daemon::Settings settings = loopback_settings();
          settings.allow_cluster_set = true;
          return settings;
        }()) {}

  // "name|address|port name|address|port"
  void tell(const std::string& nodes) {
    const std::string block = std::to_string(++version_) + "\n" + nodes + "\n";
    WireClient client = server_.connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(block.size()) + "\r\n" +
                            block) == "STORED");
  }
  std::unique_ptr<Client> client(const std::function<void(ClientOptions&)>& change = {}) const {
    ClientOptions options = options_for({server_.port()});
    options.discovery = {.enabled = true, .interval = milliseconds(0)};
    if (change) change(options);
    return make_client(options);
  }

 private:
  TempServer server_;
  int version_ = 0;
};

// Two servers at one port of two addresses.
class TwoAddresses {
 public:
  TwoAddresses() : first_(at("127.0.0.2", -1)), second_(at("127.0.0.3", first_.port())) {}

  std::string first(const std::string& name) const { return name + "|127.0.0.2|" + port(); }
  std::string second(const std::string& name) const { return name + "|127.0.0.3|" + port(); }
  std::unique_ptr<Client> at_second() const {
    ClientOptions options = options_for({second_.port()});
    options.servers[0].host = "127.0.0.3";
    return make_client(options);
  }

 private:
  static larder::daemon::Settings at(const std::string& address, int port) {
    larder::daemon::Settings settings = loopback_settings();
    settings.listen = {address};
    settings.port = port;
    return settings;
  }
  std::string port() const { return std::to_string(first_.port()); }

  TempServer first_;
  TempServer second_;
};

}  // namespace

TEST_CASE("names that exchange their addresses twice bring nothing old back") {
  TwoAddresses servers;
  Teller teller;
  teller.tell(servers.first("a") + " " + servers.second("b"));
  const auto cache = teller.client();
  const auto set_all = [&](const char* value) {
    for (int i = 0; i < 50; ++i) {
      REQUIRE(says(cache->set("key" + std::to_string(i), value), Outcome::Done));
    }
  };
  const auto count = [&](const char* value) {
    int found = 0;
    for (int i = 0; i < 50; ++i) found += value_of(cache->get("key" + std::to_string(i))) == value;
    return found;
  };
  set_all("x");
  CHECK(count("x") == 50);
  teller.tell(servers.second("a") + " " + servers.first("b"));
  REQUIRE(*cache->refresh());
  CHECK(count("(a miss)") == 50);
  set_all("y");
  CHECK(count("y") == 50);
  teller.tell(servers.first("a") + " " + servers.second("b"));
  REQUIRE(*cache->refresh());
  CHECK(count("(a miss)") == 50);
}

TEST_CASE("a name in a list that moves to a server with older items brings none of them") {
  TwoAddresses servers;
  const auto there = servers.at_second();
  for (const char* key : {"k", "other"}) REQUIRE(says(there->set(key, "older"), Outcome::Done));
  Teller teller;
  teller.tell(servers.first("a"));
  const auto cache = teller.client();
  REQUIRE(says(cache->set("k", "new"), Outcome::Done));
  teller.tell(servers.second("a"));
  REQUIRE(*cache->refresh());
  CHECK(is_miss(cache->get("k")));
  CHECK(is_miss(there->get("other")));
}

TEST_CASE("a host in a list that moves to another port brings no older items") {
  TempServer before;
  TempServer after;
  REQUIRE(says(make_client(options_for({after.port()}))->set("k", "older"), Outcome::Done));
  Teller teller;
  teller.tell("a|127.0.0.1|" + std::to_string(before.port()));
  const auto cache = teller.client();
  REQUIRE(says(cache->set("k", "new"), Outcome::Done));
  teller.tell("a|127.0.0.1|" + std::to_string(after.port()));
  REQUIRE(*cache->refresh());
  CHECK(is_miss(cache->get("k")));
}

TEST_CASE("a name that returns to the list at another address brings no older items") {
  TwoAddresses servers;
  const auto there = servers.at_second();
  TempServer third;
  const std::string staying = "localhost|127.0.0.1|" + std::to_string(third.port());
  Teller teller;
  teller.tell(servers.first("a") + " " + staying);
  const auto cache = teller.client();
  const std::vector<std::string> nodes = cache->nodes();
  std::string key = "key";
  for (int i = 0; cache->node_of(key) != nodes[0]; ++i) key = "key" + std::to_string(i);
  REQUIRE(says(cache->set(key, "old"), Outcome::Done));
  REQUIRE(says(there->set(key, "old"), Outcome::Done));  // as if it were the same server
  teller.tell(staying);
  REQUIRE(*cache->refresh());
  REQUIRE(says(cache->set(key, "new"), Outcome::Done));
  teller.tell(servers.second("a") + " " + staying);
  REQUIRE(*cache->refresh());
  CHECK(is_miss(cache->get(key)));
}

namespace {

// One server that has two addresses, at each of which a gate is before it.
class TwoGates {
 public:
  TwoGates() : before(server.port(), "127.0.0.2"), after(server.port(), "127.0.0.3", port()) {
    teller.tell("a|127.0.0.2|" + std::to_string(port()));
    cache = teller.client([](ClientOptions& options) {
      options = quick(options);
      options.connection.dialect = Dialect::Classic;  // sends a value at once
      options.request_timeout = options.connect_timeout = milliseconds(500);
      options.health.failures_to_eject = 1'000'000;
      options.idle_connections = 0;
      options.retries = 0;
    });
    REQUIRE(eventually([&] { return says(cache->set("k", "old"), Outcome::Done); }));
  }
  int port() const { return before.port(); }
  int figure(const char* name) const { return std::stoi(server.stat(name)); }
  void follow_other_address() {
    teller.tell("a|127.0.0.3|" + std::to_string(port()));
    REQUIRE(eventually([&] { return cache->refresh().ok(); }));
    REQUIRE(cache->nodes()[0] == "127.0.0.3:" + std::to_string(port()));
  }
  // While a write is held at the former address. It arrives after this one, if this one is done.
  void check_that_late_write_undoes_nothing() {
    const int stored = figure("cmd_set");
    const bool is_done = says(cache->set("k", "new"), Outcome::Done);
    before.open();
    CHECK(eventually([&] { return figure("cmd_set") >= stored + (is_done ? 2 : 1); }));
    Found found = Error{};
    REQUIRE(eventually([&] { return (found = cache->get("k")).ok(); }));
    CHECK(value_of(found) == (is_done ? "new" : "(a miss)"));
    REQUIRE(eventually([&] { return says(cache->set("k", "newest"), Outcome::Done); }));
    for (int i = 0; i < 100; ++i) CHECK(value_of(cache->get("k")) == "newest");
  }

  TempServer server;
  Gate before;
  Gate after;
  Teller teller;
  std::unique_ptr<Client> cache;
};

}  // namespace

TEST_CASE("a write that was given up at one address cannot come late at another one") {
  TwoGates gates;
  gates.before.hold();
  CHECK(fails_with(gates.cache->set("k", "late"), ErrorKind::Timeout));
  gates.follow_other_address();
  CHECK(value_of(gates.cache->get("k")) != "old");
  gates.check_that_late_write_undoes_nothing();
}

TEST_CASE("a write on the list before is owed where the name of its node leads now") {
  TwoGates gates;
  const int before = gates.figure("total_connections");
  gates.before.hold();
  std::thread late([&] { CHECK(fails_with(gates.cache->set("k", "late"), ErrorKind::Timeout)); });
  int looks = 0;  // each is a connection, too
  const bool is_under_way =
      eventually([&] { return gates.figure("total_connections") > before + ++looks; });
  gates.follow_other_address();
  static_cast<void>(gates.cache->set("k", "meanwhile").ok());
  late.join();
  CHECK(is_under_way);
  CHECK(value_of(gates.cache->get("k")) != "meanwhile");
  gates.check_that_late_write_undoes_nothing();
}
