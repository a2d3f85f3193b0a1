// Discovery: a client finds and follows the nodes that servers tell, while it is in use.
#include "tools/client/discovery.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <thread>

#include "daemon/log.h"
#include "tests/library/fleet_support.h"
#include "tests/library/gate.h"
#include "tests/library/no_threads.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tools/client/client.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;

namespace {

larder::daemon::Settings settable() {
  larder::daemon::Settings settings = loopback_settings();
  settings.allow_cluster_set = true;
  return settings;
}

std::string line_of(const std::vector<int>& ports) {
  std::string line;
  for (const int port : ports) line += "localhost|127.0.0.1|" + std::to_string(port) + " ";
  line.back() = '\n';
  return line;
}

std::vector<std::string> names_of(const std::vector<int>& ports) {
  std::vector<std::string> names;
  for (const int port : ports) names.push_back("127.0.0.1:" + std::to_string(port));
  return names;
}

// One that belongs to the node of this port.
std::string key_at(const Client& cache, int port) {
  std::string key = "key";
  for (int i = 0; cache.node_of(key) != names_of({port})[0]; ++i) key = "key" + std::to_string(i);
  return key;
}

// Four servers, of which the first tells the list.
class Told {
 public:
  Told() : first_(settable()) {}

  int port(int i) const { return i == 0 ? first_.port() : others_[i - 1].port(); }
  TempServer& server(int i) { return i == 0 ? first_ : others_[i - 1]; }
  void tell(int version, const std::vector<int>& servers) {
    std::vector<int> ports;
    for (const int i : servers) ports.push_back(port(i));
    tell_ports(version, ports);
  }
  void tell_ports(int version, const std::vector<int>& ports) {
    const std::string block = std::to_string(version) + "\n" + line_of(ports);
    WireClient client = first_.connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(block.size()) + "\r\n" +
                            block) == "STORED");
  }
  ClientOptions options(milliseconds interval = milliseconds(0)) const {
    ClientOptions options = options_for({port(0)});
    options.discovery = {.enabled = true, .interval = interval};
    return options;
  }

 private:
  TempServer first_;
  TempServer others_[3];
};

}  // namespace

TEST_CASE("a client finds its nodes at one of them, and follows what is newer") {
  Told fleet;
  fleet.tell(5, {0, 1});
  const auto cache = make_client(fleet.options());
  CHECK(cache->nodes() == names_of({fleet.port(0), fleet.port(1)}));
  CHECK_FALSE(*cache->refresh());
  fleet.tell(6, {0, 1, 2});
  CHECK(*cache->refresh());
  CHECK(cache->nodes() == names_of({fleet.port(0), fleet.port(1), fleet.port(2)}));
  CHECK_FALSE(*cache->refresh());
}

TEST_CASE("a list that is not newer is not followed") {
  Told fleet;
  fleet.tell(5, {0, 1});
  const auto cache = make_client(fleet.options());
  WireClient client = fleet.server(0).connect();
  REQUIRE(client.ask_line("config delete cluster") == "DELETED");
  // Nobody has a list now.
  const auto refreshed = cache->refresh();
  REQUIRE_FALSE(refreshed.ok());
  CHECK(cache->nodes().size() == 2);
}

TEST_CASE("without a list there is no client, and it says why") {
  TempServer plain;
  ClientOptions options = options_for({plain.port()});
  options.discovery.enabled = true;
  const auto made = Client::make(options);
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().text.find(std::to_string(plain.port())) != std::string::npos);

  Told fleet;
  CHECK_FALSE(Client::make(fleet.options()).ok());
}

TEST_CASE("whoever is away is not needed to learn the list") {
  Told fleet;
  fleet.tell(5, {0, 1});
  TempServer behind;
  Gate gate(behind.port());
  gate.shut();
  ClientOptions options = fleet.options();
  options.servers.insert(options.servers.begin(), options_for({gate.port()}).servers[0]);
  CHECK(make_client(options)->nodes().size() == 2);
}

TEST_CASE("a ring hashes names, and addresses are connected to") {
  const ClusterList list{1, {{"cache1", "10.0.0.1", 11211}, {"cache2", "", 11212}}};
  const std::vector<Server> servers = servers_of(list, {});
  REQUIRE(servers.size() == 2);
  CHECK(servers[0].host == "cache1");
  CHECK(servers[0].address == "10.0.0.1");
  CHECK(servers[1].host == "cache2");
  CHECK(servers[1].address.empty());
  TlsSettings tls;
  tls.enabled = true;
  CHECK(servers_of(list, tls)[0].address.empty());
  tls.verify = false;
  CHECK(servers_of(list, tls)[0].address == "10.0.0.1");
}

TEST_CASE("a list from a file is followed while threads use the client") {
  const TempFolder folder;
  const std::string path = folder.file("nodes");
  const auto write = [&](const std::string& text) {
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
  };
  TempServer others[2];
  larder::daemon::Settings settings = loopback_settings();
  settings.cluster_file = path;
  write("1\n" + line_of({others[0].port()}));
  TempServer teller(settings);
  ClientOptions options = options_for({teller.port()});
  options.discovery = {.enabled = true, .interval = milliseconds(5)};
  const auto cache = make_client(options);
  REQUIRE(cache->nodes().size() == 1);

  std::atomic<bool> over = false;
  std::atomic<int> failed = 0;
  std::atomic<int> stale = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int version = 0; !over; ++version) {
        const std::string key = "t" + std::to_string(t) + ":" + std::to_string(version % 50);
        const std::string value = std::to_string(version);
        if (!cache->set(key, value).ok()) ++failed;
        const Found found = cache->get(key);
        if (!found.ok()) ++failed;
        if (found.ok() && found->has_value() && (*found)->value != value) ++stale;
      }
    });
  }
  const std::vector<int> both = {others[0].port(), others[1].port()};
  for (int version = 2; version < 12; ++version) {
    const bool two = version % 2 == 0;
    write(std::to_string(version) + "\n" + line_of(two ? both : std::vector<int>{both[0]}));
    CHECK(eventually([&] { return cache->nodes().size() == (two ? 2u : 1u); }));
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(stale == 0);
}

TEST_CASE("keys that moved to a node are deleted where they were before it can be read there") {
  Told fleet;
  fleet.tell(1, {0, 1, 2});
  const auto cache = make_client(fleet.options());
  std::vector<std::string> moved;
  std::vector<std::string> keys;
  std::vector<std::string> before;
  for (int i = 0; i < 400; ++i) {
    keys.push_back("key" + std::to_string(i));
    before.push_back(cache->node_of(keys.back()));
    REQUIRE(says(cache->set(keys.back(), "old"), Outcome::Done));
  }
  fleet.tell(2, {0, 1, 2, 3});
  REQUIRE(*cache->refresh());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (cache->node_of(keys[i]) == before[i]) continue;
    moved.push_back(keys[i]);
    REQUIRE(says(cache->set(keys[i], "new"), Outcome::Done));
  }
  CHECK(moved.size() > 50);
  fleet.tell(3, {0, 1, 2});
  REQUIRE(*cache->refresh());
  const std::set<std::string> gone(moved.begin(), moved.end());
  for (const std::string& key : keys) {
    const Found found = cache->get(key);
    CHECK(value_of(found) == (gone.contains(key) ? "(a miss)" : "old"));
  }
}

namespace {

// Keys were written under the list of nodes 0 and 1, and some belong to node 2 since. `between`
// changes the list further, and ends with those three. A write then, and node 2 leaves.
void check_nothing_old_is_read(Told& fleet, const std::function<int(Client&)>& between) {
  fleet.tell(1, {0, 1});
  ClientOptions options = quick(fleet.options());
  options.request_timeout = options.connect_timeout = std::chrono::seconds(30);
  const auto cache = make_client(options);
  std::vector<std::string> keys;
  std::vector<std::string> before;
  for (int i = 0; i < 200; ++i) {
    keys.push_back("key" + std::to_string(i));
    before.push_back(cache->node_of(keys.back()));
    REQUIRE(says(cache->set(keys.back(), "old"), Outcome::Done));
  }
  fleet.tell(2, {0, 1, 2});
  REQUIRE(*cache->refresh());
  const int version = between(*cache);
  size_t moved = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (cache->node_of(keys[i]) == before[i]) continue;
    ++moved;
    REQUIRE(says(cache->set(keys[i], "new"), Outcome::Done));
  }
  CHECK(moved > 30);
  fleet.tell(version, {0, 1});
  REQUIRE(*cache->refresh());
  size_t old = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const Found found = cache->get(keys[i]);
    REQUIRE(found.ok());
    if (value_of(found) == "old") ++old;
  }
  CHECK(old <= keys.size() - moved);
}

}  // namespace

TEST_CASE("a node that comes and goes makes two lists, however often it does") {
  Told fleet;
  check_nothing_old_is_read(fleet, [&](Client& cache) {
    int version = 3;
    for (int flap = 0; flap < 10; ++flap) {
      fleet.tell(version++, {0, 1, 2, 3});
      REQUIRE(*cache.refresh());
      fleet.tell(version++, {0, 1, 2});
      REQUIRE(*cache.refresh());
    }
    return version;
  });
}

TEST_CASE("a list of the same nodes with another version is the list that was there") {
  Told fleet;
  check_nothing_old_is_read(fleet, [&](Client& cache) {
    int version = 3;
    for (int i = 0; i < 70; ++i) {
      fleet.tell(version++, {0, 1, 2});
      REQUIRE(*cache.refresh());
    }
    return version;
  });
}

TEST_CASE("where a list is forgotten, its nodes are flushed before they get a key back") {
  Told fleet;
  check_nothing_old_is_read(fleet, [&](Client& cache) {
    int version = 3;
    for (int port = 1; port <= 70; ++port) {  // of nodes that are not there
      fleet.tell_ports(version++, {fleet.port(0), fleet.port(1), fleet.port(2), port});
      REQUIRE(*cache.refresh());
    }
    fleet.tell(version++, {0, 1, 2});
    REQUIRE(*cache.refresh());
    return version;
  });
  CHECK(fleet.server(0).stat("cmd_flush") != "0");
}

TEST_CASE("a node that left the list and comes back is flushed before it is used") {
  Told fleet;
  fleet.tell(1, {0, 1});
  const auto cache = make_client(fleet.options());
  const std::string key = key_at(*cache, fleet.port(1));
  REQUIRE(says(cache->set(key, "old"), Outcome::Done));
  fleet.tell(2, {0});
  REQUIRE(*cache->refresh());
  REQUIRE(says(cache->set(key, "new"), Outcome::Done));
  fleet.tell(3, {0, 1});
  REQUIRE(*cache->refresh());
  CHECK(is_miss(cache->get(key)));
  CHECK(fleet.server(1).stat("cmd_flush") == "1");
  CHECK(fleet.server(0).stat("cmd_flush") == "0");
}

TEST_CASE("a node that comes back to the list is not flushed if it drops its items before") {
  const bool drops = GENERATE(false, true);
  Told fleet;
  larder::daemon::Settings settings = loopback_settings();
  if (drops) {
    settings.cluster_announce = "localhost:11211";
    settings.cluster_etcd = "127.0.0.1:1";  // where nobody listens: this test puts it into the list
  }
  larder::daemon::set_log_verbosity(-1);
  TempServer node(settings);
  fleet.tell_ports(1, {fleet.port(0), fleet.port(1), node.port()});
  const auto cache = make_client(fleet.options());
  const std::string key = key_at(*cache, node.port());
  fleet.tell(2, {0, 1});
  REQUIRE(*cache->refresh());
  std::this_thread::sleep_for(milliseconds(20));  // moments are known to a few milliseconds
  CHECK(node.connect().ask_line("flush_all") == "OK");
  CHECK(node.connect().ask_line("set " + key + " 0 0 5\r\nsince") == "STORED");
  // Another node of its host leaves at the same time, as where one after another is restarted.
  fleet.tell_ports(3, {fleet.port(0), node.port()});
  REQUIRE(*cache->refresh());
  CHECK(value_of(cache->get(key)) == (drops ? "since" : "(a miss)"));
  CHECK(node.stat("cmd_flush") == (drops ? "1" : "2"));
  larder::daemon::set_log_verbosity(0);
}

TEST_CASE("a write that was given up before its node left the list cannot come once it is back") {
  Told fleet;
  Gate gate(fleet.port(1));
  fleet.tell_ports(1, {fleet.port(0), gate.port()});
  ClientOptions options = quick(fleet.options());
  options.health.failures_to_eject = 1'000'000;
  const auto cache = make_client(options);
  const std::string key = key_at(*cache, gate.port());
  REQUIRE(eventually([&] { return says(cache->set(key, "old"), Outcome::Done); }));
  gate.hold_existing();  // new connections get through
  CHECK(fails_with(cache->set(key, "late"), ErrorKind::Timeout));

  const auto follow = [&] { return eventually([&] { return cache->refresh().ok(); }); };
  fleet.tell_ports(2, {fleet.port(0)});
  REQUIRE(follow());
  REQUIRE(eventually([&] { return says(cache->set(key, "meanwhile"), Outcome::Done); }));
  fleet.tell_ports(3, {fleet.port(0), gate.port()});
  REQUIRE(follow());
  CHECK(fails_with(cache->set(key, "too early"), ErrorKind::Timeout));
  gate.open();
  REQUIRE(eventually([&] { return says(cache->set(key, "newest"), Outcome::Done); }));
  for (int i = 0; i < 100; ++i) CHECK(value_of(cache->get(key)) == "newest");
  CHECK(fleet.server(1).stat("cmd_flush") != "0");
}

TEST_CASE("a node that tells another fleet's list does not lead a client away") {
  TempServer tellers[3] = {TempServer(settable()), TempServer(settable()), TempServer(settable())};
  const std::vector<int> ports = {tellers[0].port(), tellers[1].port(), tellers[2].port()};
  const auto tell = [&](int teller, int version, const std::vector<int>& nodes) {
    const std::string block = std::to_string(version) + "\n" + line_of(nodes);
    WireClient client = tellers[teller].connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(block.size()) + "\r\n" +
                            block) == "STORED");
  };
  for (int i = 0; i < 3; ++i) tell(i, 5, ports);
  ClientOptions options = options_for({ports[0], ports[1], ports[2]});
  options.discovery = {.enabled = true, .interval = milliseconds(0)};
  const auto cache = make_client(options);
  tell(0, 1000, {ports[0], 1});
  for (int i = 0; i < 10; ++i) CHECK(cache->refresh().ok());
  CHECK(cache->nodes() == names_of(ports));
  // Most of its nodes tell it now.
  tell(1, 1000, {ports[0], 1});
  CHECK(eventually([&] { return *cache->refresh(); }));
  CHECK(cache->nodes() == names_of({ports[0], 1}));
}

TEST_CASE("a server that is asked under a name and an address has one vote") {
  TempServer tellers[2] = {TempServer(settable()), TempServer(settable())};
  const std::vector<int> ports = {tellers[0].port(), tellers[1].port()};
  const auto tell = [&](int teller, int version, const std::vector<int>& nodes) {
    const std::string block = std::to_string(version) + "\n" + line_of(nodes);
    WireClient client = tellers[teller].connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(block.size()) + "\r\n" +
                            block) == "STORED");
  };
  for (int i = 0; i < 2; ++i) tell(i, 5, ports);
  ClientOptions options = options_for({ports[0]});
  options.servers[0].host = "localhost";
  options.discovery = {.enabled = true, .interval = milliseconds(0)};
  const auto cache = make_client(options);
  tell(0, 1000, {1});  // of another fleet
  for (int i = 0; i < 5; ++i) CHECK_FALSE(*cache->refresh());
  CHECK(cache->nodes() == names_of(ports));
  tell(1, 1000, {1});
  CHECK(*cache->refresh());
}

TEST_CASE("a server that is asked at two of its addresses has one vote") {
  larder::daemon::Settings settings = settable();
  settings.port = TempServer().port();
  settings.listen = {"127.0.0.1", "127.0.0.2"};
  TempServer two_addresses(settings);
  TempServer other(settable());
  const auto tell = [](TempServer& teller, const std::string& list) {
    WireClient client = teller.connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(list.size()) + "\r\n" +
                            list) == "STORED");
  };
  const std::string own = "5\n" + line_of({settings.port, other.port()});
  tell(two_addresses, own);
  tell(other, own);
  ClientOptions options = options_for({settings.port});
  options.servers[0].host = "127.0.0.2";
  options.discovery = {.enabled = true, .interval = milliseconds(0)};
  const auto cache = make_client(options);
  tell(two_addresses, "1000\n" + line_of({1}));  // of another fleet
  for (int i = 0; i < 5; ++i) CHECK_FALSE(*cache->refresh());
  CHECK(cache->nodes() == names_of({settings.port, other.port()}));
}

TEST_CASE("a server that is behind has one vote under all of its addresses") {
  larder::daemon::Settings settings = settable();
  settings.port = TempServer().port();
  settings.listen = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
  TempServer behind(settings);
  TempServer others[2] = {TempServer(settable()), TempServer(settable())};
  const auto tell = [](TempServer& teller, const std::string& list) {
    WireClient client = teller.connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(list.size()) + "\r\n" +
                            list) == "STORED");
  };
  const int port = settings.port;
  const std::string first = "5\n" + line_of({port, others[0].port(), others[1].port()});
  for (TempServer* server : {&behind, &others[0], &others[1]}) tell(*server, first);
  ClientOptions options = options_for({port, port});
  options.servers[0].host = "127.0.0.2";
  options.servers[1].host = "127.0.0.3";
  options.discovery = {.enabled = true, .interval = milliseconds(0)};
  const auto cache = make_client(options);
  for (TempServer& server : others) {
    tell(server, "6\n" + line_of({others[0].port(), others[1].port()}));
  }
  bool is_followed = false;  // where the server that is behind is asked first, it ends the question
  for (int i = 0; i < 100 && !is_followed; ++i) is_followed = *cache->refresh();
  CHECK(is_followed);
  CHECK(cache->nodes() == names_of({others[0].port(), others[1].port()}));
}

TEST_CASE("a client that sees a node fail asks for the list, however long its interval is") {
  Told fleet;
  TempServer behind;
  Gate gate(behind.port());
  fleet.tell_ports(1, {fleet.port(0), gate.port()});
  const auto cache = make_client(fleet.options(std::chrono::hours(1)));
  const std::string key = key_at(*cache, gate.port());
  fleet.tell(2, {0});
  gate.shut();
  CHECK(eventually([&] {
    static_cast<void>(cache->get(key).ok());
    return cache->nodes().size() == 1;
  }));
  CHECK(cache->get(key).ok());
}

TEST_CASE("an interval without an end has nobody asked") {
  Told fleet;
  fleet.tell(1, {0});
  const auto cache = make_client(fleet.options(milliseconds::max()));
  const auto connections = [&] { return std::stoi(fleet.server(0).stat("total_connections")); };
  const int before = connections();
  for (int i = 1; i <= 10; ++i) {
    std::this_thread::sleep_for(milliseconds(20));
    CHECK(connections() <= before + i);  // a look is one, too
  }
}

TEST_CASE("refresh() closes connections that were given up at nodes that have left") {
  const auto descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  constexpr int kWrites = 50;
  Told fleet;
  Gate gate(fleet.port(1));
  fleet.tell_ports(1, {gate.port()});
  ClientOptions options = quick(fleet.options());
  options.connection.dialect = Dialect::Classic;  // sends a value at once
  options.request_timeout = options.connect_timeout = milliseconds(500);
  options.health.failures_to_eject = 1'000'000;
  const auto cache = make_client(options);
  const auto before = descriptors();
  // Each in a connection of its own.
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  gate.hold();
  for (int i = 0; i < kWrites; ++i) {
    threads.emplace_back([&] { failed += cache->set("k", "late").ok() ? 0 : 1; });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == kWrites);
  fleet.tell(2, {0});
  REQUIRE(eventually([&] {
    static_cast<void>(cache->refresh().ok());
    return cache->nodes() == names_of({fleet.port(0)});
  }));
  gate.shut();
  CHECK(eventually([&] {
    static_cast<void>(cache->refresh().ok());
    return descriptors() < before + kWrites / 4;
  }));
}

TEST_CASE("an observer is told what happens, and it is counted") {
  struct Notes : ClientObserver {
    void node_failed(const std::string& node, const Error& why) noexcept override {
      ++failed;
      names_node = names_node && why.text.find(node) != std::string::npos;
    }
    void node_ejected(const std::string&, const Error&) noexcept override { ++ejected; }
    void node_returned(const std::string&) noexcept override { ++returned; }
    void list_followed(uint64_t told, size_t nodes) noexcept override {
      version = told;
      followed_nodes = nodes;
    }
    void list_failed(const Error&) noexcept override { ++lists_failed; }
    std::atomic<int> failed = 0, ejected = 0, returned = 0, lists_failed = 0;
    std::atomic<bool> names_node = true;
    std::atomic<uint64_t> version = 0;
    std::atomic<size_t> followed_nodes = 0;
  };
  const auto notes = std::make_shared<Notes>();
  Told fleet;
  TempServer behind;
  Gate gate(behind.port());
  fleet.tell_ports(7, {fleet.port(0), gate.port()});
  ClientOptions options = quick(fleet.options());
  options.observer = notes;
  const auto cache = make_client(options);
  CHECK(notes->version == 7);
  CHECK(notes->followed_nodes == 2);
  const std::string key = key_at(*cache, gate.port());
  gate.shut();
  CHECK(eventually([&] { return fails_with(cache->get(key), ErrorKind::Ejected); }));
  CHECK(notes->failed == 3);
  CHECK(notes->ejected == 1);
  CHECK(notes->names_node);
  gate.open();
  CHECK(eventually([&] { return cache->get(key).ok(); }));
  CHECK(notes->returned == 1);
  WireClient client = fleet.server(0).connect();
  REQUIRE(client.ask_line("config delete cluster") == "DELETED");
  CHECK_FALSE(cache->refresh().ok());
  CHECK_FALSE(cache->refresh().ok());
  CHECK(notes->lists_failed == 2);
  const ClientCounters counters = cache->counters();
  CHECK(counters.node_failures == 3);
  CHECK(counters.ejections == 1);
  CHECK(counters.returns == 1);
  CHECK(counters.lists_followed == 1);
  CHECK(counters.list_failures == 2);
}

TEST_CASE("a newer list is followed by the next call, wherever memory runs out in one") {
  Told fleet;
  int version = 0;
  uint64_t nth = 1;
  for (bool failed = true; failed; ++nth) {
    CAPTURE(nth);
    REQUIRE(nth < 5'000);
    fleet.tell(++version, {0});
    const auto cache = make_client(fleet.options());
    REQUIRE(says(cache->set("k", "v"), Outcome::Done));
    fleet.tell(++version, {0, 1});
    {
      const OneFailingAllocation one(nth);
      try {
        static_cast<void>(cache->refresh().ok());
      } catch (const std::bad_alloc&) {
        // The list from before stays.
      }
      failed = one.failed();
    }
    CHECK(cache->refresh().ok());
    CHECK(cache->nodes().size() == 2);
  }
  CHECK(nth > 10);
}

TEST_CASE("a write is remembered where its key was, wherever memory runs out behind it") {
  Told fleet;
  const int closed = Gate(1).port();
  const std::vector<int> before = {fleet.port(1), closed};
  const std::vector<int> after = {fleet.port(1), fleet.port(2), closed};
  const std::string first = names_of({fleet.port(1)})[0];
  const std::string second = names_of({fleet.port(2)})[0];
  ClientOptions options = fleet.options();
  options.retry_pause = milliseconds(1);
  int version = 0;
  uint64_t nth = 1;
  for (bool failed = true; failed; ++nth) {
    CAPTURE(nth);
    REQUIRE(nth < 2'000);
    fleet.tell_ports(++version, before);
    const auto cache = make_client(options);
    std::vector<std::string> keys;  // that move from the first server to the second
    for (int i = 0; i < 100; ++i) {
      const std::string key = "key" + std::to_string(i);
      if (cache->node_of(key) == first) keys.push_back(key);
    }
    for (const std::string& key : keys) REQUIRE(says(cache->set(key, "old"), Outcome::Done));
    fleet.tell_ports(++version, after);
    REQUIRE(cache->refresh().ok());
    std::erase_if(keys, [&](const std::string& key) { return cache->node_of(key) != second; });
    REQUIRE(keys.size() > 1);

    // The last is tried again.
    const std::string away = key_at(*cache, closed);
    const Operation operations[] = {{.verb = Verb::Set, .key = keys[0], .value = "new"},
                                    {.verb = Verb::Set, .key = keys[1], .value = "new"},
                                    {.verb = Verb::Set, .key = away, .value = "new"}};
    std::vector<Answer> answers(std::size(operations));
    {
      const OneFailingAllocation one(nth);
      try {
        cache->run(operations, answers);
      } catch (const std::bad_alloc&) {
        // Some of it may be done.
      }
      failed = one.failed();
    }
    const std::string between = value_of(cache->get(keys[0]));
    fleet.tell_ports(++version, before);
    REQUIRE(cache->refresh().ok());
    if (between == "new") CHECK(value_of(cache->get(keys[0])) != "old");
  }
  CHECK(nth > 10);
}

TEST_CASE("an observer asks for the list when it is told of one, or of none") {
  struct Asking : ClientObserver {
    void list_followed(uint64_t told, size_t) noexcept override {
      version = told;
      ask();
    }
    void list_failed(const Error&) noexcept override { ask(); }
    void ask() {
      if (client == nullptr || is_asking) return;
      is_asking = true;
      answers.push_back(client->refresh());
      is_asking = false;
    }
    Client* client = nullptr;
    bool is_asking = false;
    uint64_t version = 0;
    std::vector<Result<bool>> answers;
  };
  const auto observer = std::make_shared<Asking>();
  Told fleet;
  fleet.tell(1, {0});
  ClientOptions options = fleet.options();
  options.observer = observer;
  const auto cache = make_client(options);
  observer->client = cache.get();
  fleet.tell(2, {0, 1});
  CHECK(*cache->refresh());
  REQUIRE(observer->answers.size() == 1);
  REQUIRE(observer->answers[0].ok());
  CHECK_FALSE(*observer->answers[0]);
  CHECK(observer->version == 2);
  WireClient client = fleet.server(0).connect();
  REQUIRE(client.ask_line("config delete cluster") == "DELETED");
  CHECK(fails_with(cache->refresh(), ErrorKind::Refused));
  REQUIRE(observer->answers.size() == 2);
  CHECK(fails_with(observer->answers[1], ErrorKind::Refused));
}

TEST_CASE("an observer is told once of each version of lists that are behind") {
  struct Notes : ClientObserver {
    void list_failed(const Error& why) noexcept override { told.push_back(why.text); }
    std::vector<std::string> told;
  };
  const auto notes = std::make_shared<Notes>();
  larder::daemon::Settings settings = settable();
  std::unique_ptr<TempServer> teller;
  // By another process each time: one refuses a version that is not larger than its last.
  const auto tell = [&](int version) {
    teller.reset();
    teller = std::make_unique<TempServer>(settings);
    settings.port = teller->port();
    const std::string block = std::to_string(version) + "\n" + line_of({settings.port});
    WireClient client = teller->connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(block.size()) + "\r\n" +
                            block) == "STORED");
  };
  tell(7);
  ClientOptions options = options_for({settings.port});
  options.discovery = {.enabled = true, .interval = milliseconds(0)};
  options.observer = notes;
  const auto cache = make_client(options);
  for (const int version : {3, 2, 3}) {
    tell(version);
    for (int i = 0; i < 3; ++i) CHECK_FALSE(*cache->refresh());
  }
  REQUIRE(notes->told.size() == 3);
  CHECK(notes->told[0].find("version 3") != std::string::npos);
  CHECK(notes->told[0].find("version 7") != std::string::npos);
  CHECK(cache->counters().list_failures == 0);
  tell(8);
  CHECK(*cache->refresh());
  CHECK(notes->told.size() == 3);
}

TEST_CASE("a server whose list is behind does not keep a newer one from being found") {
  TempServer tellers[2] = {TempServer(settable()), TempServer(settable())};
  const std::vector<int> ports = {tellers[0].port(), tellers[1].port()};
  const auto tell = [&](int teller, int version) {
    const std::string block = std::to_string(version) + "\n" + line_of(ports);
    WireClient client = tellers[teller].connect();
    REQUIRE(client.ask_line("config set cluster 0 " + std::to_string(block.size()) + "\r\n" +
                            block) == "STORED");
  };
  tell(0, 5);
  tell(1, 4);
  ClientOptions options = options_for({ports[0], ports[1]});
  options.discovery = {.enabled = true, .interval = milliseconds(0)};
  const auto cache = make_client(options);
  tell(0, 6);
  CHECK(*cache->refresh());  // the first server that is asked may be any
}

TEST_CASE("without a thread there is no client that follows its list") {
  Told fleet;
  fleet.tell(1, {0});
  const ClientOptions options = fleet.options(milliseconds(10'000));
  {
    const NoThreads none;
    const auto made = Client::make(options);
    REQUIRE(fails_with(made, ErrorKind::Unreachable));
    CHECK(made.error().is_local);
    CHECK(made.error().text.find("thread") != std::string::npos);
  }
  CHECK(make_client(options)->nodes().size() == 1);
}

TEST_CASE("a client with a fixed list does not refresh it") {
  TempServer server;
  const auto refreshed = make_client(options_for({server.port()}))->refresh();
  REQUIRE_FALSE(refreshed.ok());
  CHECK(fails_with(refreshed, ErrorKind::BadRequest));
}
