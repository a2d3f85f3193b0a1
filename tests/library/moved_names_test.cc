// Names in a list that come to lead to other addresses: nothing old is read there.
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "tests/library/fleet_support.h"
#include "tests/library/gate.h"
#include "tests/library/name_server.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/temp_server.h"
#include "tools/client/client.h"
#include "tools/client/fleet.h"

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

// One server that has several addresses or ports, at each of which a gate is before it.
class OneServer {
 public:
  // nodes  the first list
  void start(const std::string& nodes, milliseconds timeout = milliseconds(500)) {
    teller.tell(nodes);
    cache = teller.client([timeout](ClientOptions& options) {
      options = quick(options);
      options.connection.dialect = Dialect::Classic;  // sends a value at once
      options.request_timeout = options.connect_timeout = timeout;
      options.health.failures_to_eject = 1'000'000;
      options.idle_connections = 0;
      options.retries = 0;
    });
  }
  void store(const std::string& key, const char* value) {
    REQUIRE(eventually([&] { return says(cache->set(key, value), Outcome::Done); }));
  }
  int figure(const char* name) const { return std::stoi(server.stat(name)); }
  // The last of these nodes is at this address and port.
  void follow(const std::string& nodes, const std::string& last) {
    teller.tell(nodes);
    REQUIRE(eventually([&] { return cache->refresh().ok(); }));
    REQUIRE(cache->nodes().back() == last);
  }
  // A write of "late", which the gate holds until it is opened.
  std::thread begin_late_write(Gate& gate, const std::string& key, Result<Outcome>& result) {
    gate.hold();
    const int before = figure("total_connections");
    std::thread late([this, key, &result] { result = cache->set(key, "late"); });
    int looks = 0;  // each is a connection, too
    CHECK(eventually([&] { return figure("total_connections") > before + ++looks; }));
    gate.hold_existing();
    return late;
  }
  // While a write is held at a former place. It arrives after this one, if this one is done.
  void check_that_late_write_undoes_nothing(Gate& before, const std::string& key = "k") {
    const int stored = figure("cmd_set");
    const bool is_done = says(cache->set(key, "new"), Outcome::Done);
    before.open();
    CHECK(eventually([&] { return figure("cmd_set") >= stored + (is_done ? 2 : 1); }));
    Found found = Error{};
    REQUIRE(eventually([&] { return (found = cache->get(key)).ok(); }));
    CHECK(value_of(found) == (is_done ? "new" : "(a miss)"));
    REQUIRE(eventually([&] { return says(cache->set(key, "newest"), Outcome::Done); }));
    for (int i = 0; i < 100; ++i) CHECK(value_of(cache->get(key)) == "newest");
  }

  TempServer server;
  Teller teller;
  std::unique_ptr<Client> cache;
};

class TwoGates : public OneServer {
 public:
  explicit TwoGates(milliseconds timeout = milliseconds(500))
      : before(server.port(), "127.0.0.2"), after(server.port(), "127.0.0.3", before.port()) {
    start(node("a", "127.0.0.2"), timeout);
    store("k", "old");
  }
  std::string port() const { return std::to_string(before.port()); }
  std::string node(const std::string& name, const std::string& address) const {
    return name + "|" + address + "|" + port();
  }
  void follow_address(const std::string& address) {
    follow(node("a", address), address + ":" + port());
  }

  Gate before;
  Gate after;
};

// The node of a host is at the port of a gate.
std::string host_at(const Gate& gate) { return "host|127.0.0.1|" + std::to_string(gate.port()); }
std::string address_of(const Gate& gate) { return "127.0.0.1:" + std::to_string(gate.port()); }

}  // namespace

TEST_CASE("a write that was given up at one address cannot come late at another one") {
  TwoGates gates;
  gates.before.hold();
  CHECK(fails_with(gates.cache->set("k", "late"), ErrorKind::Timeout));
  gates.follow_address("127.0.0.3");
  CHECK(value_of(gates.cache->get("k")) != "old");
  gates.check_that_late_write_undoes_nothing(gates.before);
}

TEST_CASE("a write on the list before is owed where the name of its node leads now") {
  TwoGates gates;
  Result<Outcome> result = Outcome::Failed;
  std::thread late = gates.begin_late_write(gates.before, "k", result);
  gates.follow_address("127.0.0.3");
  static_cast<void>(gates.cache->set("k", "meanwhile").ok());
  late.join();
  CHECK(fails_with(result, ErrorKind::Timeout));
  CHECK(value_of(gates.cache->get("k")) != "meanwhile");
  gates.check_that_late_write_undoes_nothing(gates.before);
}

TEST_CASE("a write on the list before is owed where its name leads after two moves") {
  TwoGates gates(milliseconds(1'500));
  const Gate third(gates.server.port(), "127.0.0.4", gates.before.port());
  Result<Outcome> result = Outcome::Failed;
  std::thread late = gates.begin_late_write(gates.before, "k", result);
  gates.follow_address("127.0.0.3");
  gates.follow_address("127.0.0.4");
  static_cast<void>(gates.cache->set("k", "meanwhile").ok());
  late.join();
  CHECK(fails_with(result, ErrorKind::Timeout));
  CHECK(value_of(gates.cache->get("k")) != "meanwhile");
  gates.check_that_late_write_undoes_nothing(gates.before);
}

TEST_CASE("a write that is done late at a former address does not come back") {
  TwoGates gates(std::chrono::seconds(30));
  const TempServer other;
  const std::string joins = "other|127.0.0.1|" + std::to_string(other.port());
  const std::string both = joins + " " + gates.node("a", "127.0.0.3");
  std::string moving = "key";
  std::string staying = "key";
  {
    Teller teller;
    teller.tell(both);
    const auto cache = teller.client();
    const std::vector<std::string> nodes = cache->nodes();
    for (int i = 0; cache->node_of(moving) != nodes[0]; ++i) moving = "key" + std::to_string(i);
    for (int i = 0; cache->node_of(staying) != nodes[1]; ++i) staying = "key" + std::to_string(i);
  }
  Result<Outcome> result = Outcome::Failed;
  std::thread late = gates.begin_late_write(gates.before, moving, result);
  gates.follow(both, "127.0.0.3:" + gates.port());
  CHECK(is_miss(gates.cache->get(staying)));
  CHECK(gates.figure("cmd_flush") == 1);
  gates.before.open();
  late.join();
  CHECK(says(result, Outcome::Done));
  gates.store(moving, "new");
  gates.follow_address("127.0.0.3");
  CHECK(is_miss(gates.cache->get(moving)));
}

TEST_CASE("a node is flushed where a write came late at its former address") {
  TwoGates gates;
  gates.before.hold();
  CHECK(fails_with(gates.cache->set("k", "late"), ErrorKind::Timeout));
  CHECK_FALSE(gates.cache->remove("k").ok());
  gates.follow_address("127.0.0.3");
  std::this_thread::sleep_for(milliseconds(20));  // moments are known to a few milliseconds
  CHECK(gates.server.connect().ask_line("flush_all") == "OK");
  std::this_thread::sleep_for(milliseconds(20));
  const int stored = gates.figure("cmd_set");
  gates.before.open();
  CHECK(eventually([&] { return gates.figure("cmd_set") > stored; }));
  std::this_thread::sleep_for(milliseconds(100));  // until the connection has ended
  Found found = Error{};
  REQUIRE(eventually([&] { return (found = gates.cache->get("k")).ok(); }));
  CHECK(value_of(found) != "late");
}

TEST_CASE("a write that was given up at one port cannot come late at the port from before") {
  OneServer host;
  Gate first(host.server.port());
  Gate second(host.server.port());
  host.start(host_at(first));
  host.follow(host_at(second), address_of(second));
  host.store("k", "old");
  second.hold();
  CHECK(fails_with(host.cache->set("k", "late"), ErrorKind::Timeout));
  host.follow(host_at(first), address_of(first));
  host.check_that_late_write_undoes_nothing(second);
}

TEST_CASE("a write that was given up at a port of a host cannot come late at its new port") {
  OneServer host;
  Gate gates[] = {Gate(host.server.port()), Gate(host.server.port()), Gate(host.server.port())};
  // Whichever of two ports is the smaller one.
  const bool is_first = address_of(gates[0]) < address_of(gates[1]);
  Gate& before = gates[is_first == GENERATE(false, true) ? 0 : 1];
  host.start(host_at(gates[0]) + " " + host_at(gates[1]));
  std::string key = "k";
  for (int i = 0; host.cache->node_of(key) != address_of(before); ++i) key = std::to_string(i);
  host.store(key, "old");
  before.hold();
  CHECK(fails_with(host.cache->set(key, "late"), ErrorKind::Timeout));
  host.follow(host_at(gates[2]), address_of(gates[2]));
  host.check_that_late_write_undoes_nothing(before, key);
}

TEST_CASE("a name that DNS leads away from a server that hangs is used at its new address") {
  TempServer server;
  Gate gate(server.port(), "127.0.0.2");
  larder::daemon::Settings settings = loopback_settings();
  settings.listen = {"127.0.0.3"};
  settings.port = gate.port();
  TempServer other(settings);
  ClientOptions directly = options_for({other.port()});
  directly.servers[0].host = "127.0.0.3";
  const auto there = make_client(directly);
  REQUIRE(says(there->set("other", "older"), Outcome::Done));
  NameServer names;
  names.set("cache.test", {"127.0.0.2"});
  ClientOptions options = quick(options_for({gate.port()}));
  options.servers[0].host = "cache.test";
  options.connection.name_servers = names.address();
  options.connection.dialect = Dialect::Classic;  // sends a value at once
  options.idle_connections = 0;
  options.retries = 0;
  const auto cache = make_client(options);
  REQUIRE(eventually([&] { return says(cache->set("k", "old"), Outcome::Done); }));
  gate.hold();
  CHECK(fails_with(cache->set("k", "late"), ErrorKind::Timeout));
  names.set("cache.test", {"127.0.0.3"});
  REQUIRE(eventually([&] { return says(cache->set("k", "new"), Outcome::Done); }));
  CHECK(value_of(cache->get("k")) == "new");
  CHECK(is_miss(there->get("other")));

  // The name leads back: the write that was given up there is waited for again.
  gate.hold_existing();
  names.set("cache.test", {"127.0.0.2"});
  CHECK(eventually([&] { return !cache->set("k", "newer").ok(); }));
  for (int i = 0; i < 5; ++i) CHECK_FALSE(cache->get("k").ok());
  gate.open();
  Found found = Error{};
  REQUIRE(eventually([&] { return (found = cache->get("k")).ok(); }));
  CHECK(is_miss(found));
  CHECK(server.stat("cmd_flush") == "1");
}

TEST_CASE("two names at one address in the first list are of one node") {
  const std::vector<Server> servers = {{.host = "a", .address = "127.0.0.1"},
                                       {.host = "b", .address = "127.0.0.1"}};
  const auto fleet = Fleet::make(servers, {});
  REQUIRE(fleet.ok());
  CHECK((*fleet)->nodes()[0] == (*fleet)->nodes()[1]);
}

TEST_CASE("many names that come to lead to one address take little memory") {
  constexpr int kNames = 22;
  std::vector<Server> servers;
  for (int i = 0; i < kNames; ++i) {
    servers.push_back({.host = std::to_string(i), .address = "10.0.0." + std::to_string(i)});
  }
  const auto apart = Fleet::make(servers, {});
  REQUIRE(apart.ok());
  for (Server& server : servers) server.address = "10.0.1.1";
  const FailingAllocations large(size_t{1} << 20);
  bool is_made = false;
  try {
    is_made = (*apart)->next(servers, {}).ok();
  } catch (const std::bad_alloc&) {
    // It asked for a mebibyte at once.
  }
  CHECK(is_made);
}
