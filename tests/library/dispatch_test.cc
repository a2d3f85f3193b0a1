// Nodes that are not there, threads, and memory that runs out: whom they concern.
#include "tools/client/dispatch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <new>
#include <thread>

#include "tests/library/child_server.h"
#include "tests/library/fleet_support.h"
#include "tests/library/gate.h"
#include "tests/library/no_threads.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/no_descriptors.h"
#include "tests/support/temp_server.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;

namespace {

// A port at which nobody answers, at any address of loopback: its queue of connections is full.
class BlackHole {
 public:
  BlackHole() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t bytes = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(listener_, any, bytes) == 0);
    REQUIRE(listen(listener_, 0) == 0);
    REQUIRE(getsockname(listener_, any, &bytes) == 0);
    port_ = ntohs(address.sin_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int& waiting : waiting_) {
      waiting = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      static_cast<void>(connect(waiting, any, bytes));
    }
  }
  ~BlackHole() {
    for (const int waiting : waiting_) close(waiting);
    close(listener_);
  }
  int port() const { return port_; }

 private:
  int listener_;
  int port_ = 0;
  int waiting_[4];
};

// While one lives, this process gets so many descriptors and no more.
class FewDescriptors {
 public:
  explicit FewDescriptors(int count) {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    int fd = dup(STDERR_FILENO);
    for (; fd >= 0 && fd < kAbove; fd = dup(STDERR_FILENO)) taken_.push_back(fd);
    close(fd);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(kAbove + count);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  ~FewDescriptors() {
    setrlimit(RLIMIT_NOFILE, &before_);
    for (const int fd : taken_) close(fd);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  static constexpr int kAbove = 200;
  rlimit before_{};
  std::vector<int> taken_;
};

std::vector<std::string> numbered(int count) {
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) keys.push_back("key" + std::to_string(i));
  return keys;
}

// So many nodes that are not there, and then some that are. Each call has 3 s, as has each connect.
ClientOptions with_away(const BlackHole& away, int count, std::initializer_list<int> well) {
  ClientOptions options = options_for(well);
  for (int i = 0; i < count; ++i) {
    const std::string host = "127.1." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    options.servers.insert(options.servers.begin(),
                           {.host = host, .port = static_cast<uint16_t>(away.port())});
  }
  options.connect_timeout = options.request_timeout = std::chrono::seconds(3);
  options.retries = 0;
  return options;
}

// Keys of nodes that are there, for which a first call to all nodes found out nothing.
size_t lost_keys(Client& cache, const BlackHole& away) {
  const std::vector<std::string> keys = numbered(2'000);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  const std::string port = ":" + std::to_string(away.port());
  const auto found = cache.get_many(views);
  size_t lost = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool is_away = cache.node_of(keys[i]).ends_with(port);
    if (is_away) CHECK_FALSE(found[i].ok());
    if (!is_away && !is_miss(found[i])) ++lost;
  }
  return lost;
}

int closed_port() { return Gate(1).port(); }

}  // namespace

TEST_CASE("nodes that nobody answers at cost the others no key, from the first call on") {
  TempServer well[2];
  BlackHole away[2];
  ClientOptions options =
      options_for({away[0].port(), well[0].port(), away[1].port(), well[1].port()});
  options.connect_timeout = ClientOptions().connect_timeout;
  options.request_timeout = ClientOptions().request_timeout;
  const auto is_well = [&](const Client& cache, const std::string& key) {
    const std::string node = cache.node_of(key);
    return node.ends_with(":" + std::to_string(well[0].port())) ||
           node.ends_with(":" + std::to_string(well[1].port()));
  };
  const std::vector<std::string> keys = numbered(100);
  {
    const auto filler = make_client(options);
    for (const std::string& key : keys) {
      if (is_well(*filler, key)) REQUIRE(says(filler->set(key, key), Outcome::Done));
    }
  }
  const auto cache = make_client(options);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  for (int call = 0; call < 4; ++call) {
    const auto found = cache->get_many(views);
    size_t lost = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (is_well(*cache, keys[i])) {
        lost += value_of(found[i]) != keys[i];
      } else {
        CHECK_FALSE(found[i].ok());
      }
    }
    CHECK(lost == 0);
  }
}

TEST_CASE("more nodes that are not there than threads cost the others no key") {
  TempServer well[2];
  const BlackHole away;
  const auto cache = make_client(with_away(away, 150, {well[0].port(), well[1].port()}));
  CHECK(lost_keys(*cache, away) == 0);
}

TEST_CASE("more nodes that are not there than are connected to at once cost healthy ones no key") {
  TempServer well[2];
  const BlackHole away;
  ClientOptions options = with_away(away, 600, {well[0].port(), well[1].port()});
  const auto cache = make_client(options);
  // Some of the last may not have been asked in the first call; they are before those that failed.
  static_cast<void>(lost_keys(*cache, away));
  CHECK(lost_keys(*cache, away) == 0);
}

TEST_CASE("more nodes that are not there than descriptors cost the others no key") {
  const ChildServer well[2];
  const BlackHole away;
  const auto cache = make_client(with_away(away, 60, {well[0].port(), well[1].port()}));
  {
    const FewDescriptors few(20);
    CHECK(lost_keys(*cache, away) == 0);
    CHECK(cache->counters().node_failures > 0);
  }
  const auto all = make_client(with_away(away, 600, {well[0].port(), well[1].port()}));
  CHECK(lost_keys(*all, away) == 0);
}

TEST_CASE("idle connections are closed where descriptors are needed") {
  const ChildServer well[2];
  ClientOptions options = options_for({well[0].port(), well[1].port()});
  options.idle_connections = 20;
  options.retries = 0;
  const auto cache = make_client(options);
  const std::vector<std::string> keys = numbered(20);
  const std::string first = cache->node_of(keys[0]);
  size_t other = 0;
  while (cache->node_of(keys[other]) == first) ++other;
  const FewDescriptors few(10);
  // The first node's connections take all of them.
  std::vector<std::thread> threads;
  std::atomic<int> waiting = 0;
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([&] {
      ++waiting;
      while (waiting < 10) std::this_thread::yield();
      for (int i = 0; i < 50; ++i) static_cast<void>(cache->get(keys[0]).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string_view both[] = {keys[0], keys[other]};
  for (const auto& found : cache->get_many(both)) CHECK(is_miss(found));
}

TEST_CASE("where no thread can be had, nodes that are not there cost the others no key") {
  TempServer well[2];
  const BlackHole away;
  const auto cache = make_client(with_away(away, 10, {well[0].port(), well[1].port()}));
  const NoThreads none;
  CHECK(lost_keys(*cache, away) == 0);
}

TEST_CASE("nodes that are asked in threads are asked by the calling one where there is none") {
  TempServer servers[3];
  ClientOptions options = options_for({servers[0].port(), servers[1].port(), servers[2].port()});
  for (Server& server : options.servers) server.host = "localhost";  // has to be looked up
  const auto cache = make_client(options);
  const std::vector<std::string> keys = numbered(30);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  const NoThreads none;
  for (const auto& found : cache->get_many(views)) CHECK(is_miss(found));
}

TEST_CASE("what this process lacks does not count against a node") {
  const bool by_name = GENERATE(false, true);
  TempServer servers[2];
  ClientOptions options = options_for({servers[0].port(), servers[1].port()});
  options.health.failures_to_eject = 1;
  options.retries = 0;
  options.idle_connections = 0;
  if (by_name) {
    for (Server& server : options.servers) server.host = "localhost";
  }
  const auto cache = make_client(options);
  const std::vector<std::string> keys = numbered(20);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  for (const std::string& key : keys) REQUIRE(says(cache->set(key, "old"), Outcome::Done));
  {
    const NoDescriptors none;
    for (const auto& found : cache->get_many(views)) {
      REQUIRE(fails_with(found, ErrorKind::Unreachable));
      CHECK(found.error().is_local);
    }
    const auto stored = cache->set(keys[0], "new");
    REQUIRE(fails_with(stored, ErrorKind::Unreachable));
    CHECK(stored.error().is_local);
  }
  CHECK(cache->counters().node_failures == 0);
  CHECK(cache->counters().ejections == 0);
  const auto found = cache->get_many(views);
  CHECK(is_miss(found[0]));
  for (size_t i = 1; i < keys.size(); ++i) CHECK(value_of(found[i]) == "old");
}

TEST_CASE("a probe for which this process lacks a descriptor does not prolong an ejection") {
  TempServer server;
  Gate gate(server.port());
  ClientOptions options = quick(options_for({gate.port()}));
  options.request_timeout = options.connect_timeout = std::chrono::seconds(30);
  options.health = {.failures_to_eject = 1,
                    .first_ejection = milliseconds(1),
                    .longest_ejection = std::chrono::hours(1)};
  const auto cache = make_client(options);
  gate.shut();
  REQUIRE_FALSE(cache->get("k").ok());
  gate.open();
  // It may be probed: each of the three tries may have doubled the ejection.
  std::this_thread::sleep_for(milliseconds(20));
  {
    const NoDescriptors none;
    // Each of these would double the ejection.
    for (int i = 0; i < 30; ++i) CHECK(fails_with(cache->get("k"), ErrorKind::Unreachable));
  }
  CHECK(is_miss(cache->get("k")));
}

TEST_CASE("a call counts once, however often it tries") {
  ClientOptions options = options_for({closed_port()});
  options.retry_pause = milliseconds(1);
  REQUIRE(options.retries == 2);
  REQUIRE(options.health.failures_to_eject == 3);
  const auto cache = make_client(options);
  for (int call = 0; call < 2; ++call) {
    CHECK(fails_with(cache->get("k"), ErrorKind::Unreachable));
  }
  // The third ejects it, and finds that out when it tries again.
  CHECK(fails_with(cache->get("k"), ErrorKind::Ejected));
}

TEST_CASE("a deadline that had passed before a node was asked does not count against it") {
  TempServer server;
  const ClientOptions options = options_for({server.port()});
  Node node({"127.0.0.1", static_cast<uint16_t>(server.port()), {}}, options);
  for (int call = 0; call < 10; ++call) {
    CHECK(fails_with(node.acquire(std::chrono::steady_clock::now()), ErrorKind::Timeout));
  }
  CHECK(node.healthy());
}

TEST_CASE("32 threads share connections that stay open") {
  TempServer server;
  const ClientOptions options = options_for({server.port()});
  const auto cache = make_client(options);
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  for (int t = 0; t < 32; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) failed += cache->set("k", "v").ok() ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  // One for each thread, and those that ask for this.
  CHECK(std::stoi(server.stat("total_connections")) <= 32 + 2);
}

TEST_CASE("where there is no memory for a thread the calling one asks") {
  const char* const host = GENERATE("127.0.0.1", "localhost");  // which has to be looked up
  TempServer servers[3];
  ClientOptions options = options_for({servers[0].port(), servers[1].port(), servers[2].port()});
  for (Server& server : options.servers) server.host = host;
  const std::vector<std::string> keys = numbered(30);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  for (uint64_t nth = 1; nth < 60; ++nth) {
    const auto cache = make_client(options);  // without a connection
    const OneFailingAllocation one(nth);
    try {
      static_cast<void>(cache->get_many(views));
    } catch (const std::bad_alloc&) {
      // It may be the call's own.
    }
  }
  const auto cache = make_client(options);
  for (const auto& found : cache->get_many(views)) CHECK(is_miss(found));
}

TEST_CASE("wherever memory runs out, every node can be used afterwards") {
  const int state = GENERATE(0, 1, 2);
  CAPTURE(state);
  TempServer servers[2];
  Gate gate(servers[0].port());
  ClientOptions options = quick(options_for({gate.port(), servers[1].port()}));
  options.request_timeout = options.connect_timeout = std::chrono::seconds(10);
  options.health.failures_to_eject = 1;
  options.retries = 0;
  const auto cache = make_client(options);
  const std::vector<std::string> keys = numbered(30);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<Entry> entries;
  for (const std::string& key : keys) entries.push_back({key, "new"});
  const auto is_well = [&] {
    return eventually([&] {
      for (const auto& found : cache->get_many(views)) {
        if (!found.ok()) return false;
      }
      return true;
    });
  };
  uint64_t nth = 1;
  for (bool failed = true; failed; ++nth) {
    CAPTURE(nth);
    REQUIRE(nth < 2'000);
    for (const std::string& key : keys) static_cast<void>(cache->set(key, "old").ok());
    if (state > 0) {  // the call probes, and pays
      gate.shut();
      static_cast<void>(cache->set_many(entries));
      gate.open();
      if (state == 2) REQUIRE(is_well());
      std::this_thread::sleep_for(milliseconds(state == 1 ? 40 : 0));  // it may be probed
    }
    std::vector<Result<Outcome>> stored;
    {
      const OneFailingAllocation one(nth);
      try {
        stored = cache->set_many(entries);
      } catch (const std::bad_alloc&) {
        stored.clear();
      }
      failed = one.failed();
    }
    REQUIRE(is_well());
    if (stored.empty()) continue;
    size_t old = 0;
    for (const auto& found : cache->get_many(views)) old += value_of(found) == "old";
    CHECK(old == 0);
  }
  CHECK(nth > 10);
}

TEST_CASE("where memory runs out before a retry, what was not sent is owed") {
  const size_t count = GENERATE(1, 2);
  ClientOptions options = options_for({closed_port()});
  options.retry_pause = milliseconds(1);
  const Endpoint endpoint{"127.0.0.1", options.servers[0].port, {}};
  const std::vector<std::string> keys = numbered(static_cast<int>(count));
  std::vector<Operation> operations;
  for (const std::string& key : keys) {
    operations.push_back({.verb = Verb::Set, .key = key, .value = "new"});
  }
  uint64_t nth = count;  // the first allocation for many comes before any of them is begun
  for (bool failed = true; failed; ++nth) {
    CAPTURE(count, nth);
    REQUIRE(nth < 2'000);
    Node node(endpoint, options);
    const std::vector<Node*> nodes(count, &node);
    std::vector<Answer> answers(count);
    {
      const OneFailingAllocation one(nth);
      try {
        dispatch(nodes, operations, answers, options,
                 std::chrono::steady_clock::now() + std::chrono::seconds(30));
      } catch (const std::bad_alloc&) {
        // It is owed all the same.
      }
      failed = one.failed();
    }
    CHECK(node.owed() >= count);
  }
  CHECK(nth > 5);
}
