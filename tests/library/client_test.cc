// Client: its operations over three servers, from one thread and from many.
#include "tools/client/client.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <set>
#include <thread>

#include "tests/library/fleet_support.h"
#include "tests/library/gate.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tools/client/ring.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;

namespace {

std::vector<std::string_view> views_of(const std::vector<std::string>& keys) {
  return {keys.begin(), keys.end()};
}

std::vector<std::string> numbered(const std::string& prefix, int count) {
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) keys.push_back(prefix + std::to_string(i));
  return keys;
}

}  // namespace

TEST_CASE("options that contradict each other make no client") {
  const auto refused = [](const ClientOptions& options) {
    const auto made = Client::make(options);
    return !made.ok() && made.error().kind == ErrorKind::BadRequest && !made.error().text.empty();
  };
  CHECK(refused({}));
  ClientOptions options = options_for({11211});
  CHECK(Client::make(options).ok());
  options.servers[0].weight = 2;
  CHECK(refused(options));  // the default ring knows no weights
  options.ring = RingKind::LibmemcachedKetamaWeighted;
  CHECK(Client::make(options).ok());
  options.health.failures_to_eject = 0;
  CHECK(refused(options));
  options = options_for({11211});
  options.request_timeout = milliseconds(0);
  CHECK(refused(options));
  options = options_for({11211});
  options.connection.dialect = Dialect::Binary;
  options.discovery.enabled = true;
  CHECK(refused(options));
  CHECK(refused(options_for({11211, 11211})));
}

TEST_CASE("connections without a bound in time or number stay open") {
  TempServer server;
  ClientOptions options = options_for({server.port()});
  SECTION("in time") { options.idle_timeout = milliseconds::max(); }
  SECTION("in number") { options.idle_connections = SIZE_MAX; }
  const auto cache = make_client(options);
  const int before = std::stoi(server.stat("total_connections"));
  for (int i = 0; i < 20; ++i) CHECK(is_miss(cache->get("k")));
  CHECK(std::stoi(server.stat("total_connections")) <= before + 3);  // a look is one, too
}

TEST_CASE("every operation does what it says, in each dialect") {
  const Dialect dialect = GENERATE(Dialect::Classic, Dialect::Meta, Dialect::Binary);
  ThreeServers servers;
  ClientOptions options = servers.options();
  options.connection.dialect = dialect;
  Client& cache = *servers.use(options);

  CHECK(is_miss(cache.get("k")));
  CHECK(says(cache.set("k", "v", {.client_flags = 7, .exptime = 100}), Outcome::Done));
  auto item = cache.get("k");
  REQUIRE(item.ok());
  REQUIRE(item->has_value());
  CHECK((*item)->value == "v");
  CHECK((*item)->client_flags == 7);
  const uint64_t version = (*item)->cas;
  CHECK(version != 0);

  CHECK(says(cache.add("k", "x"), Outcome::NotStored));
  CHECK(says(cache.add("k2", "x"), Outcome::Done));
  CHECK(says(cache.replace("k2", "y"), Outcome::Done));
  CHECK(says(cache.replace("k3", "y"), Outcome::NotStored));
  CHECK(says(cache.append("k2", ">"), Outcome::Done));
  CHECK(says(cache.prepend("k2", "<"), Outcome::Done));
  CHECK(value_of(cache.get("k2")) == "<y>");

  CHECK(says(cache.cas("k", "w", version), Outcome::Done));
  CHECK(says(cache.cas("k", "z", version), Outcome::Exists));
  CHECK(says(cache.cas("k4", "z", version), Outcome::Missing));
  CHECK(fails_with(cache.cas("k", "z", 0), ErrorKind::BadRequest));
  CHECK(value_of(cache.get("k")) == "w");

  CHECK(says(cache.touch("k", 50), Outcome::Done));
  CHECK(says(cache.touch("nothing", 50), Outcome::Missing));
  CHECK(value_of(cache.get_and_touch("k", 200)) == "w");
  CHECK(is_miss(cache.get_and_touch("nothing", 200)));

  CHECK(says(cache.set("n", "10"), Outcome::Done));
  CHECK(*cache.increment("n", 5) == std::optional<uint64_t>(15));
  CHECK(*cache.decrement("n", 20) == std::optional<uint64_t>(0));
  CHECK(*cache.increment("nothing") == std::optional<uint64_t>());
  CHECK(fails_with(cache.increment("k"), ErrorKind::Refused));

  CHECK(says(cache.remove("k"), Outcome::Done));
  CHECK(says(cache.remove("k"), Outcome::Missing));
  CHECK(fails_with(cache.get(""), ErrorKind::BadRequest));
  CHECK(fails_with(cache.get(std::string(251, 'k')), ErrorKind::BadRequest));
}

TEST_CASE("many keys go to their nodes and come back in order") {
  ThreeServers servers;
  Client& cache = *servers.use(servers.options());
  const std::vector<std::string> keys = numbered("key", 1000);
  std::vector<Entry> entries;
  for (const std::string& key : keys) entries.push_back({key, key, {.client_flags = 3}});
  for (const Result<Outcome>& stored : cache.set_many(entries)) CHECK(says(stored, Outcome::Done));
  for (int i = 0; i < 3; ++i) CHECK(std::stoi(servers[i].stat("curr_items")) > 200);

  std::vector<std::string> asked = keys;
  asked.insert(asked.begin() + 500, "nothing");
  asked.push_back("key7");
  asked.push_back(std::string(300, 'k'));
  const auto items = cache.get_many(views_of(asked));
  REQUIRE(items.size() == asked.size());
  for (size_t i = 0; i + 1 < asked.size(); ++i) {
    if (asked[i] == "nothing") {
      CHECK(is_miss(items[i]));
    } else {
      CHECK(value_of(items[i]) == asked[i]);
    }
  }
  CHECK(fails_with(items.back(), ErrorKind::BadRequest));

  CHECK(says(cache.remove("key0"), Outcome::Done));
  const auto removed = cache.remove_many(views_of(keys));
  REQUIRE(removed.size() == keys.size());
  CHECK(says(removed[0], Outcome::Missing));
  for (size_t i = 1; i < removed.size(); ++i) CHECK(says(removed[i], Outcome::Done));
  CHECK(cache.get_many({}).empty());
}

TEST_CASE("all nodes are flushed, and asked for their version") {
  ThreeServers servers;
  Client& cache = *servers.use(servers.options());
  const std::vector<std::string> keys = numbered("key", 100);
  for (const std::string& key : keys) CHECK(says(cache.set(key, "v"), Outcome::Done));
  const auto versions = cache.version();
  REQUIRE(versions.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(versions[i].node == cache.nodes()[i]);
    CHECK(versions[i].result->starts_with("1."));
  }
  const auto flushed = cache.flush_all();
  REQUIRE(flushed.size() == 3);
  for (const auto& node : flushed) CHECK(node.result.ok());
  for (const auto& item : cache.get_many(views_of(keys))) CHECK(is_miss(item));
}

TEST_CASE("operations of all kinds may be run together, but for such without a key") {
  ThreeServers servers;
  Client& cache = *servers.use(servers.options());
  const Operation mixed[] = {{.verb = Verb::Set, .key = "a", .value = "1"},
                             {.verb = Verb::Increment, .key = "a"},
                             {.verb = Verb::Get, .key = "a"},
                             {.verb = Verb::Delete, .key = "b"}};
  Answer answers[4];
  cache.run(mixed, answers);
  CHECK(answers[0].outcome == Outcome::Done);
  CHECK(answers[1].number == 2);
  CHECK(answers[2].value == "2");
  CHECK(answers[3].outcome == Outcome::Missing);

  const Operation keyless[] = {{.verb = Verb::Get, .key = "a"}, {.verb = Verb::FlushAll}};
  cache.run(keyless, {answers, 2});
  for (int i = 0; i < 2; ++i) {
    REQUIRE(answers[i].error);
    CHECK(answers[i].error->kind == ErrorKind::BadRequest);
  }
  CHECK(value_of(cache.get("a")) == "2");

  const Operation two[] = {{.verb = Verb::Delete, .key = "a"}, {.verb = Verb::Delete, .key = "b"}};
  for (const size_t count : {0u, 1u}) {
    answers[0] = {};
    cache.run(two, {answers, count});
    if (count == 0) continue;
    REQUIRE(answers[0].error);
    CHECK(answers[0].error->kind == ErrorKind::BadRequest);
  }
  CHECK(value_of(cache.get("a")) == "2");
}

TEST_CASE("answers that are used again keep nothing of those before") {
  ThreeServers servers;
  Gate gate(servers[2].port());
  ClientOptions options = quick(options_for({servers[0].port(), servers[1].port(), gate.port()}));
  options.retries = 0;
  const auto cache = make_client(options);
  const std::vector<std::string> keys = numbered("key", 100);
  std::vector<Operation> gets(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    gets[i].key = keys[i];
    REQUIRE(says(cache->set(keys[i], std::string(i % 50 * 10, 'v')), Outcome::Done));
  }
  std::vector<Answer> answers(keys.size());
  cache->run(gets, answers);
  const char* const held = answers[49].value.data();
  for (size_t i = 0; i < keys.size(); i += 2) REQUIRE(cache->remove(keys[i]).ok());
  cache->run(gets, answers);
  CHECK(answers[49].value.data() == held);  // the memory of the value of 490 bytes
  for (size_t i = 0; i < keys.size(); ++i) {
    CHECK(answers[i].outcome == (i % 2 == 0 ? Outcome::Missing : Outcome::Done));
    CHECK(answers[i].value == std::string(i % 2 == 0 ? 0 : i % 50 * 10, 'v'));
  }
  gate.shut();
  const std::string gone = "127.0.0.1:" + std::to_string(gate.port());
  for (int again = 0; again < 5; ++again) {  // refused, then ejected
    cache->run(gets, answers);
    for (size_t i = 0; i < keys.size(); ++i) {
      if (cache->node_of(keys[i]) != gone) continue;
      CHECK(answers[i].error);
      CHECK(answers[i].value.empty());
    }
  }
}

TEST_CASE("where memory runs out, answers that are used again are blank or whole") {
  TempServer servers[2];
  const auto cache = make_client(options_for({servers[0].port(), servers[1].port()}));
  const std::vector<std::string> keys = numbered("k", 12);
  std::vector<Operation> operations;
  for (const std::string& key : keys) {
    REQUIRE(says(cache->set(key, "value of " + key), Outcome::Done));
    operations.push_back({.key = key});
  }
  std::vector<Answer> answers(keys.size());
  uint64_t nth = 1;
  for (bool failed = true; failed; ++nth) {
    CAPTURE(nth);
    REQUIRE(nth < 2'000);
    cache->run(operations, answers);
    bool threw = false;
    {
      const OneFailingAllocation one(nth);
      try {
        cache->run(operations, answers);
      } catch (const std::bad_alloc&) {
        threw = true;
      }
      failed = one.failed();
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      CAPTURE(i);
      if (answers[i].outcome == Outcome::Done) CHECK(answers[i].value == "value of " + keys[i]);
      if (threw && answers[i].outcome == Outcome::Failed) CHECK(answers[i].value.empty());
    }
  }
  CHECK(nth > 3);
}

#ifndef NDEBUG
TEST_CASE("to store what the same answers hold is a mistake of the caller") {
  TempServer server;
  const auto cache = make_client(options_for({server.port()}));
  for (const size_t bytes : {5, 40}) {
    for (const bool is_copied : {true, false}) {
      CAPTURE(bytes, is_copied);
      const pid_t child = fork();
      if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        std::vector<Answer> answers(2);
        answers[1].value.assign(bytes, 'v');
        const std::string copy = answers[1].value;
        const Operation operations[] = {
            {.key = "a"},
            {.verb = Verb::Set, .key = "b", .value = is_copied ? copy : answers[1].value}};
        cache->run(operations, answers);
        _exit(0);
      }
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) == !is_copied);
    }
  }
}
#endif

TEST_CASE("a key lives on the node that the ring names") {
  ThreeServers servers;
  Client& cache = *servers.use(servers.options());
  for (const std::string& key : numbered("key", 30)) {
    CHECK(says(cache.set(key, "v"), Outcome::Done));
    const std::string node = cache.node_of(key);
    for (int i = 0; i < 3; ++i) {
      WireClient client = servers[i].connect();
      const bool here = node == "127.0.0.1:" + std::to_string(servers[i].port());
      CHECK(client.ask_line("mg " + key) == (here ? "HD" : "EN"));
    }
  }
}

TEST_CASE("many threads use one client") {
  ThreeServers servers;
  Client& cache = *servers.use(servers.options());
  constexpr int kThreads = 8;
  constexpr int kRounds = 100;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::vector<std::string> keys = numbered("t" + std::to_string(t) + ":", 20);
      for (int round = 0; round < kRounds; ++round) {
        const std::string& key = keys[static_cast<size_t>(round) % keys.size()];
        const std::string value = std::to_string(round);
        const auto stored = cache.set(key, value);
        if (!stored || *stored != Outcome::Done || value_of(cache.get(key)) != value) ++wrong;
        if (round % 10 == 0) {
          for (const auto& item : cache.get_many(views_of(keys))) {
            if (!item) ++wrong;
          }
        }
        const auto counted = cache.increment("shared");
        if (!counted) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("connections that the server has closed are not used again") {
  ThreeServers servers;
  Gate gate(servers[0].port());
  const auto cache = make_client(options_for({gate.port()}));
  CHECK(says(cache->set("k", "v"), Outcome::Done));
  gate.shut();
  gate.open();
  CHECK(says(cache->set("k", "w"), Outcome::Done));
  CHECK(value_of(cache->get("k")) == "w");
}

TEST_CASE("a node that hangs costs the others nothing but the time") {
  ThreeServers servers;
  Gate gate(servers[2].port());
  ClientOptions options = quick(options_for({servers[0].port(), servers[1].port(), gate.port()}));
  options.retries = 0;
  options.connect_timeout = options.request_timeout = std::chrono::seconds(1);
  const auto cache = make_client(options);
  const std::vector<std::string> keys = numbered("key", 300);
  for (const std::string& key : keys) REQUIRE(says(cache->set(key, "v"), Outcome::Done));
  gate.hold();
  const std::string hung = "127.0.0.1:" + std::to_string(gate.port());
  const auto items = cache->get_many(views_of(keys));
  for (size_t i = 0; i < keys.size(); ++i) {
    if (cache->node_of(keys[i]) == hung) {
      REQUIRE_FALSE(items[i].ok());
      CHECK(fails_with(items[i], ErrorKind::Timeout));
      CHECK(items[i].error().text.find(hung) != std::string::npos);
    } else {
      CHECK(value_of(items[i]) == "v");
    }
  }
  gate.open();
  CHECK(eventually([&] { return value_of(cache->get(keys[0])) == "v"; }));
}

TEST_CASE("a node that is gone is ejected, fails at once and comes back") {
  ThreeServers servers;
  Gate gate(servers[0].port());
  ClientOptions options = quick(options_for({gate.port()}));
  const auto cache = make_client(options);
  CHECK(eventually([&] { return says(cache->set("k", "v"), Outcome::Done); }));
  gate.shut();
  std::set<ErrorKind> kinds;
  CHECK(eventually([&] {
    const auto item = cache->get("k");
    REQUIRE_FALSE(item.ok());
    kinds.insert(item.error().kind);
    return item.error().kind == ErrorKind::Ejected;
  }));
  CHECK(kinds.contains(ErrorKind::Unreachable));
  gate.open();
  CHECK(eventually([&] { return value_of(cache->get("k")) == "v"; }));
}

TEST_CASE("a call ends by its deadline, whatever the node does") {
  ThreeServers servers;
  Gate gate(servers[0].port());
  ClientOptions options = quick(options_for({gate.port()}));
  options.retries = 100;
  options.health.failures_to_eject = 1'000'000;
  const auto cache = make_client(options);
  CHECK(eventually([&] { return says(cache->set("k", "v"), Outcome::Done); }));
  for (const bool shut : {false, true}) {
    shut ? gate.shut() : gate.hold();
    const auto begun = std::chrono::steady_clock::now();
    CHECK_FALSE(cache->get("k").ok());
    const auto took = std::chrono::steady_clock::now() - begun;
    CHECK(took < 25 * options.request_timeout);  // a busy machine
  }
}

TEST_CASE("a Unix socket needs its path alone, and the ring hashes that") {
  const TempFolder folder;
  const std::string paths[] = {folder.file("a"), folder.file("b")};
  larder::daemon::Settings settings;
  settings.port = 0;
  settings.threads = 1;
  settings.unix_socket = paths[0];
  const TempServer first(settings);
  settings.unix_socket = paths[1];
  const TempServer second(settings);

  ClientOptions options = options_for({});
  for (const std::string& path : paths) options.servers.push_back({.host = "", .path = path});
  options.ring = RingKind::PymemcacheRendezvous;
  const auto cache = make_client(options);
  const RingResult ring = Ring::make(options.ring, {{paths[0], 0}, {paths[1], 0}});
  REQUIRE(ring.ring);
  for (const std::string& key : numbered("k", 50)) {
    CHECK(says(cache->set(key, "v"), Outcome::Done));
    CHECK(value_of(cache->get(key)) == "v");
    CHECK(cache->node_of(key) == paths[ring.ring->node_of(key)]);
  }
}
