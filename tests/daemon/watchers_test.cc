#include "daemon/watchers.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <string>

#include "tests/support/failing_allocations.h"

using namespace larder::daemon;
using larder::test::FailingAllocations;

namespace {

constexpr size_t kRingBytes = 64 << 10;
constexpr size_t kBufferBytes = 4096;
constexpr int kPatienceMs = 60'000;

// Both ends of a stream; what is read waits for it.
struct Pair {
  Pair() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    REQUIRE(::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    server = Socket(ends[0]);
    client = Socket(ends[1]);
  }
  // A line without its end; "" at the end of the stream.
  std::string line() {
    for (;;) {
      const size_t end = received.find('\n');
      if (end != std::string::npos) {
        std::string line = received.substr(0, end);
        received.erase(0, end + 1);
        return line;
      }
      pollfd readable = {client.fd(), POLLIN, 0};
      REQUIRE(poll(&readable, 1, kPatienceMs) == 1);
      char bytes[4096];
      const ssize_t n = ::recv(client.fd(), bytes, sizeof bytes, 0);
      if (n <= 0) return "";
      received.append(bytes, static_cast<size_t>(n));
    }
  }
  bool readable() const {
    pollfd readable = {client.fd(), POLLIN, 0};
    return received.find('\n') != std::string::npos || poll(&readable, 1, 0) == 1;
  }
  Socket server, client;
  std::string received;
};

Event fetch() { return Event{}; }

}  // namespace

TEST_CASE("a watcher is told OK and what happens on its streams, in the order of the numbers") {
  EventLog log(3, kRingBytes);
  Watchers watchers(log, 2, kBufferBytes, [] {});
  const auto write = [&](uint32_t writer, EventKind kind, const char* key) {
    std::thread([&] {
      log.become_writer(writer);
      Event event;
      event.kind = kind;
      log.write(event, key);
    }).join();
  };
  write(0, EventKind::ItemGet, "before");

  Pair fetchers;
  Pair all;
  REQUIRE(watchers.admit() == Watchers::Admission::Granted);
  watchers.add(std::move(fetchers.server), Streams::kFetchers, 5);
  REQUIRE(watchers.admit() == Watchers::Admission::Granted);
  watchers.add(std::move(all.server), Streams::kFetchers | Streams::kMutations, 5);
  CHECK(log.wants(Streams::kMutations));
  CHECK(watchers.counters().watchers == 2);
  CHECK(fetchers.line() == "OK\r");
  CHECK(all.line() == "OK\r");

  write(1, EventKind::ItemGet, "a");
  CHECK(all.line().find("key=a ") != std::string::npos);
  write(0, EventKind::ItemStore, "b");
  CHECK(all.line().find("type=item_store key=b ") != std::string::npos);
  write(1, EventKind::ItemGet, "c");
  CHECK(all.line().find("key=c ") != std::string::npos);
  CHECK(fetchers.line().find("type=item_get key=a ") != std::string::npos);
  CHECK(fetchers.line().find("type=item_get key=c ") != std::string::npos);
  CHECK(watchers.counters().written == 4);
  CHECK(watchers.counters().sent == 5);
  CHECK(watchers.counters().skipped == 0);

  std::vector<ConnectionRow> rows;
  watchers.list(7, rows);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].state == "conn_watch");
  CHECK(rows[0].secs_since_last_cmd == 2);
  watchers.reset_counters();
  CHECK(watchers.counters().written == 0);
  CHECK(watchers.counters().sent == 0);
  CHECK(watchers.counters().watchers == 2);
}

TEST_CASE("a watcher for whom there was no memory is told OK once there is some") {
  EventLog log(2, kRingBytes);
  Watchers watchers(log, 1, kBufferBytes, [] {});
  Pair pair;
  REQUIRE(watchers.admit() == Watchers::Admission::Granted);
  {
    const FailingAllocations none("larder-watch");
    watchers.add(std::move(pair.server), Streams::kFetchers, 5);
    while (none.failed() == 0) std::this_thread::yield();
  }
  CHECK(pair.line() == "OK\r");
}

TEST_CASE("an event for which a watcher finds no memory is skipped there and told once elsewhere") {
  EventLog log(2, kRingBytes);
  Watchers watchers(log, 1, kBufferBytes, [] {});
  log.become_writer(0);
  Pair first, second;
  const auto add = [&](Pair& pair) {
    REQUIRE(watchers.admit() == Watchers::Admission::Granted);
    watchers.add(std::move(pair.server), Streams::kFetchers, 5);
    CHECK(pair.line() == "OK\r");
  };
  const auto shows = [](Pair& pair, const std::string& key) {
    return pair.line().find("key=" + key + ' ') != std::string::npos;
  };
  const std::string a(200, 'a'), b(200, 'b');
  add(first);
  log.write(fetch(), a);  // the line and what is sent to the first have their memory now
  CHECK(shows(first, a));
  add(second);
  {
    const FailingAllocations none("larder-watch");
    log.write(fetch(), b);
    while (none.failed() == 0) std::this_thread::yield();
  }
  log.write(fetch(), "last");
  CHECK(shows(first, b));
  CHECK(shows(first, "last"));
  CHECK(second.line() == "skipped=1");
  CHECK(shows(second, "last"));
}

TEST_CASE("there is room for so many watchers, and again when one has gone") {
  EventLog log(2, kRingBytes);
  std::atomic<int> closed{0};
  Watchers watchers(log, 1, kBufferBytes, [&] { ++closed; });
  std::vector<Pair> pairs(Watchers::kMost);
  for (Pair& pair : pairs) {
    REQUIRE(watchers.admit() == Watchers::Admission::Granted);
    watchers.add(std::move(pair.server), Streams::kFetchers, 5);
  }
  CHECK(watchers.admit() == Watchers::Admission::TooMany);
  pairs.front().client.close();
  while (watchers.counters().watchers == Watchers::kMost) std::this_thread::yield();
  CHECK(watchers.admit() == Watchers::Admission::Granted);
  pairs.resize(1);
  while (watchers.counters().watchers > 0) std::this_thread::yield();
  CHECK_FALSE(log.wants(~0u));
  watchers.stop();
  CHECK(closed == static_cast<int>(Watchers::kMost));
}

TEST_CASE("a watcher that does not read loses lines and is told how many") {
  EventLog log(2, 16 << 20);
  Watchers watchers(log, 1, kBufferBytes, [] {});
  Pair slow;
  const int least = 1;
  ::setsockopt(slow.server.fd(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  REQUIRE(watchers.admit() == Watchers::Admission::Granted);
  watchers.add(std::move(slow.server), Streams::kFetchers, 5);
  log.become_writer(0);
  uint64_t written = 0;
  const auto write = [&] {
    log.write(fetch(), "key" + std::to_string(++written));
    std::this_thread::yield();
  };
  while (watchers.counters().skipped < 100) write();

  // Now it reads: at each line it knows what has become of all before.
  CHECK(slow.line() == "OK\r");
  uint64_t seen = 0;
  uint64_t told = 0;
  for (bool after_told = false; !after_told;) {
    while (!slow.readable()) write();  // with a line that fits it is told
    const std::string line = slow.line();
    if (line.starts_with("skipped=")) {
      told += std::stoull(line.substr(8));
      continue;
    }
    const size_t key = line.find(" type=item_get key=key");
    REQUIRE(key != std::string::npos);
    ++seen;
    REQUIRE(std::stoull(line.substr(key + 22)) == seen + told);
    after_told = told > 0;
  }
  const EventCounters counters = watchers.counters();
  CHECK(counters.written == written);
  CHECK(counters.dropped == 0);
  CHECK(counters.sent >= seen);
  CHECK(counters.skipped >= told);
}

TEST_CASE("stopping shows what has happened and closes") {
  EventLog log(2, kRingBytes);
  std::atomic<int> closed{0};
  Pair pair;
  {
    Watchers watchers(log, 1, kBufferBytes, [&] { ++closed; });
    REQUIRE(watchers.admit() == Watchers::Admission::Granted);
    watchers.add(std::move(pair.server), Streams::kFetchers, 5);
    log.become_writer(0);
    log.write(fetch(), "last");
  }
  CHECK(closed == 1);
  CHECK(pair.line() == "OK\r");
  CHECK(pair.line().find("key=last ") != std::string::npos);
  CHECK(pair.line() == "");
}
