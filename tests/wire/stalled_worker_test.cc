// A worker that is held up inside its turn, and what the clients of another one notice. The test
// takes the part of the idle worker 1: it enters that worker's turn itself.
#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/cache.h"
#include "proto/base64.h"
#include "tests/proto/binary_request.h"
#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::big_endian;
using larder::test::BinaryRequest;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempServer;
using larder::test::WireClient;
using namespace larder::core;

namespace {

constexpr size_t kValueBytes = 1000;

std::string set_line(const std::string& key, const std::string& value) {
  return "set " + key + " 0 0 " + std::to_string(value.size()) + "\r\n" + value + "\r\n";
}

std::string value_reply(const std::string& key, const std::string& value) {
  return "VALUE " + key + " 0 " + std::to_string(value.size()) + "\r\n" + value + "\r\n";
}

uint64_t stat(WireClient& client, const std::string& name, const std::string& group = "") {
  client.send("stats" + group + "\r\n");
  const std::string all = client.receive_until("END\r\n");
  const size_t at = all.find("STAT " + name + " ");
  if (at == std::string::npos) throw std::runtime_error("no figure named " + name);
  return std::stoull(all.substr(at + name.size() + 6));
}

uint64_t larder_stat(WireClient& client, const std::string& name) {
  return stat(client, name, " larder");
}

std::string encoded(std::string_view key) {
  std::string text(larder::proto::base64_encoded_bytes(key.size()), '\0');
  larder::proto::base64_encode(key, text.data());
  return text;
}

// Binary replies with a CAS of 0, which depends on what others store; text as it is.
std::string without_cas(std::string replies) {
  constexpr char kMagic = '\x81';
  constexpr size_t kHeaderBytes = 24, kCasAt = 16, kBodyBytesAt = 8;
  size_t at = 0;
  while (at + kHeaderBytes <= replies.size() && replies[at] == kMagic) {
    uint32_t body = 0;
    for (size_t i = 0; i < 4; ++i) {
      body = body << 8 | static_cast<uint8_t>(replies[at + kBodyBytesAt + i]);
    }
    std::fill_n(replies.begin() + static_cast<ptrdiff_t>(at + kCasAt), 8, '\0');
    at += kHeaderBytes + body;
  }
  return replies;
}

// In a turn of that worker.
bool store_as(uint32_t worker, Cache& cache, const std::string& key, uint32_t value_bytes) {
  ItemShape shape;
  shape.value_bytes = value_bytes;
  ItemDraft draft;
  return cache.allocate(worker, {key, cache.hash(key)}, shape, kFirstSecond, draft) ==
             AllocateStatus::Ok &&
         draft.append(std::string(value_bytes, 's')) &&
         cache.store(worker, std::move(draft), {}, kFirstSecond).status == StoreStatus::Stored;
}

Settings settings() {
  Settings s = loopback_settings();
  s.memory_bytes = 64_MiB;
  return s;
}

// The server with a full cache and a clock that stands still, so that nobody loses patience.
// Connections come to workers 0 and 1 in turn.
class StalledServer {
 public:
  StalledServer() : server_(settings()), cache_(server_.server().cache()) {
    server_.server().clock().freeze();
    for (uint64_t n = 0; n < 75'000; ++n) {
      cache_.begin_turn(1);
      REQUIRE(store("fill" + std::to_string(n)));
      cache_.end_turn(1);
    }
  }
  ~StalledServer() { end_stall(); }

  // Holds worker 1 in its turn and stores there until nothing finds memory any more.
  void stall() {
    cache_.begin_turn(1);
    stalled_ = true;
    uint64_t n = 0;
    while (store("stall" + std::to_string(n))) ++n;
    REQUIRE(n > 3'000);
  }
  void end_stall() {
    if (std::exchange(stalled_, false)) cache_.end_turn(1);
  }
  void advance_clock(Seconds seconds) { server_.server().clock().advance(seconds); }
  // A client of worker 0.
  WireClient connect() {
    WireClient client = server_.connect();
    idle_.push_back(server_.connect());
    return client;
  }

 private:
  bool store(const std::string& key) { return store_as(1, cache_, key, kValueBytes); }

  TempServer server_;
  Cache& cache_;
  bool stalled_ = false;
  std::vector<WireClient> idle_;  // of worker 1
};

// The lock of the first shard that has an item of this class.
class HeldLock {
 public:
  HeldLock(Cache& cache, uint32_t size_class)
      : holder_([this, &cache, size_class] {
          cache.visit_class(size_class, kFirstSecond, [this](const Item&) {
            visited_.set_value();
            let_go_.get_future().wait();
            return false;
          });
        }) {
    visited_.get_future().wait();
  }
  ~HeldLock() {
    let_go_.set_value();
    holder_.join();
  }
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;

 private:
  std::promise<void> visited_;
  std::promise<void> let_go_;
  std::thread holder_;  // last: it uses the others
};

}  // namespace

TEST_CASE("while a worker is held up another one rests once, however many connections store") {
  StalledServer server;
  WireClient observer = server.connect();
  std::vector<WireClient> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(server.connect());
  REQUIRE(larder_stat(observer, "rests_for_readers") == 0);
  server.stall();
  const std::string value(kValueBytes, 'v');
  std::string request;
  for (int i = 0; i < 50; ++i) request += set_line("key" + std::to_string(i), value);
  for (WireClient& client : clients) client.send(request);
  // The others are served meanwhile, and those that wait have asked in many passes.
  for (int i = 0; i < 200; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  CHECK(larder_stat(observer, "rests_for_readers") <= 1);
  CHECK(larder_stat(observer, "overdraft_bytes") > 2_MiB);
  server.end_stall();
  for (WireClient& client : clients) {
    for (int i = 0; i < 50; ++i) REQUIRE(client.receive_line() == "STORED\r\n");
  }
  CHECK(eventually([&] { return larder_stat(observer, "overdraft_bytes") == 0; }));
  CHECK(larder_stat(observer, "overdraft_peak_bytes") > 2_MiB);
  CHECK(larder_stat(observer, "rests_for_readers") <= 1);
}

TEST_CASE("stores that wait for memory leave what follows them in the packet whole") {
  StalledServer server;
  WireClient client = server.connect();
  WireClient observer = server.connect();
  server.stall();
  const std::string value(kValueBytes, 'v');
  // Each of the three finds no memory: then the get line behind it has been begun already.
  client.send(set_line("a", value) + set_line("b", value) + set_line("c", value) +
              "get a b c\r\nget c b\r\nmn\r\n");
  for (int i = 0; i < 20; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  server.end_stall();
  const std::string reply = "STORED\r\nSTORED\r\nSTORED\r\n" + value_reply("a", value) +
                            value_reply("b", value) + value_reply("c", value) + "END\r\n" +
                            value_reply("c", value) + value_reply("b", value) + "END\r\nMN\r\n";
  CHECK(client.receive_until("MN\r\n") == reply);
}

TEST_CASE("what copies an item or creates one waits for memory as a store does, and counts once") {
  StalledServer server;
  WireClient observer = server.connect();
  const std::string value(kValueBytes - 1, ' ');
  for (const char* key : {"append", "prepend", "incr", "touch", "gat", "gat2", "mg", "md", "ma"}) {
    REQUIRE(observer.answers(set_line(key, "5" + value), "STORED\r\n"));
  }
  REQUIRE(observer.answers(set_line("tiny", "tail"), "STORED\r\n"));  // room for the pieces
  const std::string created(150, 'n');  // of a size that nothing else has
  struct Case {
    std::string request;
    std::string reply;
  };
  const std::vector<Case> cases = {
      {"append append 0 0 4\r\ntail\r\n", "STORED\r\n"},
      {"prepend prepend 0 0 4\r\nhead\r\n", "STORED\r\n"},
      {"incr incr 2\r\n", "7\r\n"},
      {"touch touch 100\r\n", "TOUCHED\r\n"},
      {"gat 100 gat gat2\r\n",
       value_reply("gat", "5" + value) + value_reply("gat2", "5" + value) + "END\r\n"},
      {"mg mg T100 t h\r\n", "HD t100 h0\r\n"},
      {"mg mg1" + created + " N30 t\r\n", "HD t30 W\r\n"},
      {"md md I\r\n", "HD\r\n"},
      {"ma ma D3 v\r\n", "VA 1\r\n8\r\n"},
      {"ma ma1" + created + " N0 J40 v\r\n", "VA 2\r\n40\r\n"},
  };
  std::vector<WireClient> clients;
  for (size_t i = 0; i < cases.size(); ++i) clients.push_back(server.connect());
  const uint64_t touches = stat(observer, "cmd_touch");
  const uint64_t refused = stat(observer, "store_no_memory");
  server.stall();
  // Another behind each: what waits holds up the connection's next commands, and nobody else's.
  for (size_t i = 0; i < cases.size(); ++i) clients[i].send(cases[i].request + "mn\r\n");
  for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  server.end_stall();
  for (size_t i = 0; i < cases.size(); ++i) {
    INFO(cases[i].request);
    CHECK(clients[i].receive_until("MN\r\n") == cases[i].reply + "MN\r\n");
  }
  CHECK(stat(observer, "cmd_touch") == touches + 4);  // mg with T is one, and each key of gat
  CHECK(stat(observer, "store_no_memory") == refused);
}

TEST_CASE("what has waited a second for the memory of a copy is refused, and nothing has changed") {
  StalledServer server;
  WireClient observer = server.connect();
  const std::string value(kValueBytes - 1, ' ');
  for (const char* key : {"append", "incr", "touch", "mg", "md"}) {
    REQUIRE(observer.answers(set_line(key, "5" + value), "STORED\r\n"));
  }
  REQUIRE(observer.answers(set_line("tiny", "tail"), "STORED\r\n"));
  const std::string refusal = "SERVER_ERROR out of memory";
  const std::vector<std::string> requests = {"append append 0 0 4\r\ntail", "incr incr 2",
                                             "touch touch 100", "mg mg T100", "md md I"};
  std::vector<WireClient> clients;
  for (size_t i = 0; i < requests.size(); ++i) clients.push_back(server.connect());
  server.stall();
  for (size_t i = 0; i < requests.size(); ++i) clients[i].send(requests[i] + "\r\n");
  for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  server.advance_clock(2);
  for (size_t i = 0; i < requests.size(); ++i) {
    INFO(requests[i]);
    CHECK(clients[i].receive_line().starts_with(refusal));
  }
  server.end_stall();
  for (const char* key : {"append", "incr", "touch", "mg", "md"}) {
    CHECK(observer.answers("mg " + std::string(key) + " s t\r\n", "HD s1000 t-1\r\n"));
  }
}

TEST_CASE(
    "gets of a pipeline that wait for memory are answered in order, and what follows them too") {
  // A client's request, of keys of its own: the first three gets take memory.
  const auto requests = [](const std::string& id) {
    const std::string a = "a" + id, b = "b" + id, c = "c" + id, d = "d" + id, n = "n" + id;
    const std::string reads = "mg " + a + " T100 s k\r\nmg none T9 s\r\nmg " + encoded(b) +
                              " b T100 s k\r\nget none\r\nmg " + a + " t\r\n";
    std::string many;
    for (int i = 0; i < 100; ++i) many += ' ' + c + " none " + d + ' ' + a;
    std::vector<std::string> all = {
        "",
        set_line(n, "abc") + "get " + n + "\r\n",
        "set " + n + " 0 0 3 noreply\r\nabc\r\nappend " + n + " 0 0 1\r\nd\r\nget " + n + "\r\n",
        "ms " + encoded(n) + " 3 b k O7\r\nabc\r\nget " + n + "\r\n",
        "md " + encoded(a) + " b k q\r\nget " + a + "\r\nmn\r\n",
        "ma " + encoded(n) + " b N0 J40 v\r\nma " + encoded(n) + " b v\r\n",
        "mg " + encoded(a) + " b v k\r\ndelete " + a + "\r\nget " + a + "\r\n",
        "get" + many + "\r\nmn\r\n",
        "gat 100" + many + "\r\nmn\r\n",
        "gat 100 " + c + ' ' + std::string(251, 'k') + ' ' + d + "\r\nget " + c + "\r\n",
        "version\r\ncache_memlimit 64\r\nverbosity 1\r\n",
        "get\r\nbogus\r\nset s 0 0 x\r\nget " + a + "\r\n",
        "set " + std::string(251, 'k') + " 0 0 3\r\nabc\r\nget " + a + "\r\n",
        "set " + n + " 0 0 3\r\nabcd\r\nget " + a + "\r\n",
        "watch\r\nget " + a + "\r\n",
        "quit\r\nget " + a + "\r\n",
        std::string(3'000, 'x'),
        "set " + n + " 0 0 3\r\na",
    };
    for (std::string& request : all) request.insert(0, reads);
    const auto gat = [](uint8_t opcode, const std::string& key) {
      return BinaryRequest{.opcode = opcode, .key = key, .extras = big_endian(100, 4)}.bytes();
    };
    constexpr uint8_t kGat = 0x1d, kGatQuietly = 0x1e, kGet = 0x00, kSet = 0x01, kNoop = 0x0a;
    constexpr uint8_t kVersion = 0x0b, kQuit = 0x07, kListMechanisms = 0x20, kStat = 0x10;
    const std::string binary_reads = gat(kGat, a) + gat(kGatQuietly, "none") + gat(kGatQuietly, b);
    for (const std::string& rest :
         {BinaryRequest{.opcode = kSet, .key = n, .extras = big_endian(0, 8), .value = "abc"}
                  .bytes() +
              BinaryRequest{.opcode = kGet, .key = n}.bytes(),
          BinaryRequest{.opcode = kVersion}.bytes() + BinaryRequest{.opcode = kNoop}.bytes(),
          BinaryRequest{.opcode = kListMechanisms}.bytes() + BinaryRequest{.opcode = kNoop}.bytes(),
          BinaryRequest{.opcode = kStat, .key = "detail dump"}.bytes() +
              BinaryRequest{.opcode = kNoop}.bytes(),
          BinaryRequest{.opcode = kQuit}.bytes() + BinaryRequest{.opcode = kNoop}.bytes(),
          std::string(24, 'x')}) {
      all.push_back(binary_reads + rest);
    }
    return all;
  };
  const size_t count = requests("").size();
  const auto run = [&](bool stalls) {
    StalledServer server;
    WireClient observer = server.connect();
    const std::string value(kValueBytes - 1, ' ');
    std::vector<WireClient> clients;
    for (size_t i = 0; i < count; ++i) {
      clients.push_back(server.connect());
      for (const char* key : {"a", "b", "c", "d"}) {
        REQUIRE(observer.answers(set_line(key + std::to_string(i), "5" + value), "STORED\r\n"));
      }
    }
    if (stalls) server.stall();
    for (size_t i = 0; i < count; ++i) {
      clients[i].send(requests(std::to_string(i))[i]);
      clients[i].finish_sending();
    }
    for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
    if (stalls) {
      for (WireClient& client : clients) CHECK_FALSE(client.has_input());
      server.end_stall();
    }
    std::vector<std::string> replies;
    for (WireClient& client : clients) replies.push_back(client.receive_until_closed());
    return replies;
  };
  const std::vector<std::string> expected = run(false);
  const std::vector<std::string> replies = run(true);
  CHECK(expected[0] == "HD s1000 ka0\r\nEN\r\nHD s1000 kb0\r\nEND\r\nHD t100\r\n");
  for (size_t i = 0; i < count; ++i) {
    INFO(i);
    CHECK(without_cas(replies[i]) == without_cas(expected[i]));
  }
}

TEST_CASE("what clients send or end while they wait for memory does not wake their worker") {
  StalledServer server;
  WireClient observer = server.connect();
  const std::string value(kValueBytes, ' ');
  std::vector<WireClient> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(server.connect());
    REQUIRE(observer.answers(set_line("key" + std::to_string(i), value), "STORED\r\n"));
  }
  server.stall();
  for (int i = 0; i < 4; ++i) {
    clients[i].send(i < 2 ? "gat 100 key" + std::to_string(i) + "\r\n"
                          : set_line("key" + std::to_string(i), value));
  }
  for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  for (int i = 0; i < 4; i += 2) {
    clients[i].send("mn\r\n");
    clients[i + 1].finish_sending();
  }
  const uint64_t passes = larder_stat(observer, "passes");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // One for each tick of a millisecond, and not one after the other.
  CHECK(larder_stat(observer, "passes") - passes < 1'000);
  server.end_stall();
  CHECK(clients[0].receive_until("MN\r\n") == value_reply("key0", value) + "END\r\nMN\r\n");
  CHECK(clients[1].receive_until_closed() == value_reply("key1", value) + "END\r\n");
  CHECK(clients[2].receive_until("MN\r\n") == "STORED\r\nMN\r\n");
  CHECK(clients[3].receive_until_closed() == "STORED\r\n");
}

TEST_CASE("gets of a pipeline that have waited a second for memory are refused together") {
  StalledServer server;
  WireClient observer = server.connect();
  WireClient client = server.connect();
  constexpr int kGets = 200;
  const std::string value(kValueBytes, ' ');
  std::string request;
  for (int i = 0; i < kGets; ++i) {
    const std::string key = "key" + std::to_string(i);
    REQUIRE(observer.answers(set_line(key, value), "STORED\r\n"));
    request += "mg " + key + " T100 O" + std::to_string(i) + "\r\nmg none O" + std::to_string(i) +
               " k\r\n";
  }
  server.stall();
  client.send(request + "mn\r\n");
  for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  CHECK_FALSE(client.has_input());
  // Each batch waits for its second.
  std::string reply;
  while (!reply.ends_with("MN\r\n")) {
    server.advance_clock(2);
    for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
    while (client.has_input()) reply += client.receive_line();
  }
  int refused = 0;
  for (size_t at = 0; (at = reply.find("SERVER_ERROR out of memory", at)) != reply.npos; ++at) {
    ++refused;
  }
  CHECK(refused == kGets);
  CHECK(std::count(reply.begin(), reply.end(), '\n') == 2 * kGets + 1);
  server.end_stall();
  for (int i = 0; i < kGets; ++i) {
    CHECK(observer.answers("mg key" + std::to_string(i) + " s t\r\n", "HD s1000 t-1\r\n"));
  }
}

TEST_CASE("a line of gat that has been refused waits for no memory any more") {
  StalledServer server;
  WireClient observer = server.connect();
  WireClient client = server.connect();
  const std::string value(kValueBytes, ' ');
  std::string line = "gat 100";
  for (int i = 0; i < 300; ++i) {
    const std::string key = "key" + std::to_string(i);
    REQUIRE(observer.answers(set_line(key, value), "STORED\r\n"));
    line += ' ' + key;
  }
  server.stall();
  client.send(line + "\r\nmn\r\n");
  for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  CHECK_FALSE(client.has_input());
  server.advance_clock(2);
  CHECK(client.receive_until("MN\r\n").starts_with("SERVER_ERROR out of memory"));
}

TEST_CASE("clients that go while gets of theirs wait for memory take nothing with them") {
  StalledServer server;
  WireClient observer = server.connect();
  const std::string value(kValueBytes, ' ');
  for (const char* key : {"a", "b", "c"}) {
    REQUIRE(observer.answers(set_line(key, value), "STORED\r\n"));
  }
  server.stall();
  for (int i = 0; i < 20; ++i) {
    WireClient client = server.connect();
    client.send("mg a T100 v\r\nmg b T100 v\r\nmd " + encoded("c") + " b\r\n");
    REQUIRE(observer.answers("get none\r\n", "END\r\n"));
    if (i % 2 == 0) client.reset();
  }
  REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  server.end_stall();
  CHECK(observer.answers("mg a s\r\nmg b s\r\n", "HD s1000\r\nHD s1000\r\n"));
}

TEST_CASE("copies of large values that wait for memory hold up nobody else of their worker") {
  StalledServer server;
  WireClient observer = server.connect();
  constexpr int kCopies = 10;
  const std::string value(20'000, 'l');
  std::vector<WireClient> clients;
  for (int i = 0; i < kCopies; ++i) {
    clients.push_back(server.connect());
    REQUIRE(observer.answers(set_line("large" + std::to_string(i), value), "STORED\r\n"));
  }
  server.stall();
  const uint64_t rests = larder_stat(observer, "rests_for_readers");
  const uint64_t passes = larder_stat(observer, "passes");
  for (int i = 0; i < kCopies; ++i) clients[i].send("md large" + std::to_string(i) + " I\r\n");
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) REQUIRE(observer.answers("get none\r\n", "END\r\n"));
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(larder_stat(observer, "passes") - passes >= 100);
  // Two copies and a store might each try once whether a rest helps.
  CHECK(larder_stat(observer, "rests_for_readers") - rests <= 2);
  // Resting in each pass, they took more than a second for one get.
  CHECK(took < std::chrono::seconds(20));
  server.end_stall();
  for (WireClient& client : clients) CHECK(client.receive_line() == "HD\r\n");
}

TEST_CASE("what waits for memory is told to those who watch once") {
  StalledServer server;
  WireClient observer = server.connect();
  WireClient watcher = server.connect();
  watcher.send("watch fetchers\r\n");
  REQUIRE(watcher.receive_line() == "OK\r\n");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"ma created N0 J40", "HD\r\n"}, {"mg vivified N30 t", "HD t30 W\r\n"}};
  std::vector<WireClient> clients;
  for (size_t i = 0; i < cases.size(); ++i) clients.push_back(server.connect());
  server.stall();
  for (size_t i = 0; i < cases.size(); ++i) clients[i].send(cases[i].first + "\r\n");
  for (int i = 0; i < 50; ++i) REQUIRE(observer.answers("mn\r\n", "MN\r\n"));
  server.end_stall();
  for (size_t i = 0; i < cases.size(); ++i) CHECK(clients[i].receive_line() == cases[i].second);
  REQUIRE(observer.answers("get last\r\n", "END\r\n"));
  const std::string told = watcher.receive_until("key=last");
  const auto count = [&](const std::string& key) {
    int n = 0;
    for (size_t at = 0; (at = told.find("key=" + key, at)) != std::string::npos; ++at) ++n;
    return n;
  };
  // The look of the incr, and that of the add which creates the number.
  CHECK(count("created") == 2);
  CHECK(count("vivified") == 1);
}

TEST_CASE("commands that may take long end a connection's share of a pass") {
  Settings s = settings();
  s.track_sizes = true;
  TempServer server(s);
  WireClient client = server.connect();
  const uint64_t before = std::stoull(server.stat("conn_yields"));
  constexpr int kCommands = 10;
  std::string request;
  for (int i = 0; i < kCommands; ++i) request += "stats sizes\r\n";
  client.send(request + "mn\r\n");
  client.receive_until("MN\r\n");
  CHECK(std::stoull(server.stat("conn_yields")) - before == kCommands);
}

#if defined(LARDER_DEBUG)
TEST_CASE("the list of connections is let go between a few rows of stats conns and the next") {
  TempServer server(settings());
  std::vector<WireClient> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(server.connect());
  for (WireClient& client : clients) REQUIRE(client.answers("mn\r\n", "MN\r\n"));
  larder::proto::StatList rows;
  const uint64_t before = shared_writes.read_modify_writes;
  server.server().stats_conns(rows);
  // A lock and an unlock for each 32 of the 100 connections that a worker has.
  CHECK(shared_writes.read_modify_writes - before >= 2 * 2 * (100 / 32));
  CHECK(rows.size() > 200 * 4);
}
#endif

TEST_CASE("a worker that lists sizes is in no turn: what others replace comes free meanwhile") {
  Settings s = settings();
  s.memory_bytes = 512_MiB;  // two shards; worker 1 looks after the second
  s.track_sizes = true;
  TempServer server(s);
  Cache& cache = server.server().cache();
  REQUIRE(cache.shard_count() == 2);
  WireClient client = server.connect();
  std::vector<std::string> keys;  // of the second shard
  for (int i = 0; keys.size() < 2'000; ++i) {
    std::string key = "key" + std::to_string(i);
    if (cache.hash(key).shard_bits() >= 128) keys.push_back(std::move(key));
  }
  const auto store = [&](const std::string& key) {
    cache.begin_turn(1);
    const bool stored = store_as(1, cache, key, 100);
    cache.end_turn(1);
    return stored;
  };
  int i = 0;
  while (cache.hash("other" + std::to_string(i)).shard_bits() >= 128) ++i;
  const std::string other = "other" + std::to_string(i);
  REQUIRE(client.answers(set_line(other, std::string(100, 'v')), "STORED\r\n"));
  for (const std::string& key : keys) REQUIRE(store(key));

  // The first shard's lock is held while its item is visited: there the command has to wait.
  const uint32_t size_class = [&] {
    const Probe probe{other, cache.hash(other), false};
    Found found;
    cache.begin_turn(1);
    cache.lookup(1, {&probe, 1}, {&found, 1}, kFirstSecond);
    const uint32_t its_class = cache.class_of(*found.item);
    cache.end_turn(1);
    return its_class;
  }();
  const auto is_working = [&] {
    larder::proto::StatList rows;
    server.server().stats_conns(rows);
    for (const auto& row : rows) {
      if (row.second == "conn_parse_cmd") return true;
    }
    return false;
  };
  // Upkeep may wait for the lock as well, and keeps the command from its worker then.
  std::optional<HeldLock> held;
  bool began = false;
  for (int attempt = 0; attempt < 20 && !began; ++attempt) {
    if (held) {
      held.reset();
      client.receive_until("END\r\n");
    }
    held.emplace(cache, size_class);
    client.send("stats sizes\r\n");
    for (int look = 0; look < 500 && !began; ++look) {
      began = is_working();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  // Each store retires what it replaces, and upkeep of the shard frees it if no turn is in the way.
  const bool freed = eventually([&] {
    for (size_t k = 0; k < 100; ++k) {
      if (!store(keys[k])) return false;
    }
    for (int slice = 0; slice < 20; ++slice) {
      if (cache.tend(1, kFirstSecond, 0)) return true;
    }
    return false;
  });
  held.reset();
  CHECK(began);
  CHECK(freed);
  client.receive_until("END\r\n");
}
