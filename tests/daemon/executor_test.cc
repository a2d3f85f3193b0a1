// What every command answers and counts, in all dialects: requests go through the real parsers, a
// real cache and the real writers, without a socket. Expected bytes are those of memcached 1.6.45.
#include "daemon/executor.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/emptied.h"
#include "daemon/event_log.h"
#include "daemon/prefix_stats.h"
#include "daemon/server_control.h"
#include "daemon/stats_report.h"
#include "daemon/tuning.h"
#include "daemon/watchers.h"
#include "proto/binary_protocol.h"
#include "proto/text_protocol.h"
#include "tests/support/figures.h"

namespace larder::daemon {
namespace {

using core::Seconds;
using proto::Command;
using proto::Reply;

constexpr int64_t kUnixTimeOfZero = 1700000000;

class FakeControl final : public ServerControl {
 public:
  const Settings& settings() const override { return settings_; }
  int verbosity() const override { return verbosity_; }
  void set_verbosity(int level) override { verbosity_ = level; }
  void request_shutdown(bool graceful) override { shutdown_ = graceful; }
  Seconds now() const override { return now_; }
  int64_t unix_time_of_zero() const override { return kUnixTimeOfZero; }
  bool debug_time(std::string_view argument) override {
    debug_time_ = argument;
    return argument != "nonsense";
  }
  Tuning& tuning() override { return tuning_; }
  void wake_workers() override { ++wakes_; }
  void schedule_flush(Seconds when) override { flush_at_ = when; }
  void cancel_scheduled_flush() override { flush_at_.reset(); }
  Emptied& emptied() override { return emptied_; }
  void stats_general(proto::StatList& rows) override { rows.emplace_back("general", "1"); }
  void stats_settings(proto::StatList& rows) override { rows.emplace_back("settings", "1"); }
  void stats_conns(proto::StatList& rows) override { rows.emplace_back("conns", "1"); }
  void stats_larder(proto::StatList& rows) override { rows.emplace_back("larder", "1"); }
  void stats_items(proto::StatList& rows) override { rows.emplace_back("items", "1"); }
  void stats_slabs(proto::StatList& rows) override { rows.emplace_back("slabs", "1"); }
  void stats_sizes(proto::StatList& rows) override { rows.emplace_back("sizes", "1"); }
  void stats_latency(proto::StatList& rows) override { rows.emplace_back("latency", "1"); }
  void stats_hot_keys(proto::StatList& rows) override { rows.emplace_back("hotkeys", "1"); }
  void stats_prefixes(proto::StatList& rows) override { rows.emplace_back("prefixes", "1"); }
  void stats_reset() override { ++resets_; }
  PrefixStats& prefix_stats() override { return prefixes_; }
  std::string refresh_certificates() override { return certificate_error_; }
  Discovery* discovery() override { return discovery_; }
  EventLog& event_log() override { return events_; }
  Watchers& watchers() override { return watchers_; }

  Settings settings_;
  Tuning tuning_{settings_.accepted};
  int wakes_ = 0;
  int verbosity_ = 0;
  std::optional<bool> shutdown_;
  Seconds now_ = 1000;
  std::string debug_time_;
  std::optional<Seconds> flush_at_;
  Emptied emptied_;
  int resets_ = 0;
  std::string certificate_error_;
  Discovery* discovery_ = nullptr;
  PrefixStats prefixes_{':', false};
  EventLog events_{2, 64 << 10};  // of the test, and of the watchers' thread
  Watchers watchers_{events_, 1, 64 << 10, [] {}};
};

// One client and what stands behind it.
class Client {
 public:
  explicit Client(const core::CacheConfig& config = test::small_cache())
      : cache_(config), executor_(0, cache_, control_, stats_) {}

  // Sends it all at once, gathering as many reads as there are (or `gather` of them), and returns
  // all replies.
  std::string ask(std::string input, size_t gather = core::kBatchKeys) {
    return play(text_, std::move(input), gather);
  }
  std::string ask_binary(std::string input, size_t gather = core::kBatchKeys) {
    return play(binary_, std::move(input), gather);
  }
  // Many lines, each with the reply that it must get. Lines are written without \r\n.
  void expect(const std::vector<std::pair<std::string, std::string>>& lines) {
    for (const auto& [line, reply] : lines) {
      INFO("asked: " << line);
      CHECK(ask(with_ends(line)) == with_ends(reply));
    }
  }
  static std::string with_ends(const std::string& lines) {
    if (lines.empty()) return lines;
    std::string out;
    for (const char c : lines) {
      if (c == '\n') out += '\r';
      out += c;
    }
    return out + "\r\n";
  }

  std::map<std::string, uint64_t> counters() {
    StatsSources sources;
    sources.cache = &cache_;
    sources.settings = &control_.settings_;
    sources.workers = {&stats_};
    proto::StatList rows;
    append_general_stats(sources, rows);
    std::map<std::string, uint64_t> all;
    for (const auto& [key, value] : rows) all[key] = std::strtoull(value.c_str(), nullptr, 10);
    return all;
  }

  FakeControl control_;
  WorkerStats stats_;
  core::Cache cache_;
  Executor executor_;

 private:
  template <class P>
  std::string play(P& parser, std::string input, size_t gather) {
    std::string replies;
    std::vector<Command> commands;
    const auto run_batch = [&] {
      if (commands.empty()) return;
      std::vector<core::KeyHash> hashes;
      for (const Command& command : commands) hashes.push_back(cache_.hash(command.key));
      std::vector<Reply> answers(commands.size());
      executor_.run_reads(commands, hashes, answers, control_.now_);
      for (size_t i = 0; i < commands.size(); ++i) replies += spell<P>(commands[i], answers[i]);
      executor_.release_scratch();
      commands.clear();
    };
    cache_.begin_turn(0);
    size_t used = 0;
    while (used < input.size()) {
      Command command;
      const proto::Parsed parsed = parser.parse(input.data() + used, input.size() - used, command);
      used += parsed.consumed;
      if (parsed.status != proto::Parsed::Status::Complete) break;
      if (Executor::is_read(command)) {
        commands.push_back(command);
        if (commands.size() == gather) run_batch();
        continue;
      }
      run_batch();
      Reply reply;
      if (command.op == proto::Op::Store) {
        used += store<P>(command, std::string_view(input).substr(used), reply);
      } else {
        REQUIRE(executor_.run_one(command, reply, control_.now_));
        used += command.op == proto::Op::Error ? command.swallow_bytes : 0;
      }
      replies += spell<P>(command, reply);
      executor_.release_scratch();
    }
    run_batch();
    cache_.end_turn(0);
    return replies;
  }

  template <class P>
  size_t store(const Command& command, std::string_view rest, Reply& reply) {
    const size_t body = command.value_bytes + P::kTrailerBytes;
    REQUIRE(rest.size() >= body);
    StoreStart start = executor_.begin_store(command, control_.now_);
    if (!start.draft) {
      reply.status = proto::Status::Error;
      reply.error = start.refused;
      return body;
    }
    if (!start.draft.append(rest.substr(0, command.value_bytes))) {
      executor_.abandon_store(command, std::move(start.draft), proto::ErrorId::OutOfMemoryReading,
                              reply);
    } else if (P::kTrailerBytes != 0 && rest.substr(command.value_bytes, 2) != "\r\n") {
      executor_.abandon_store(command, std::move(start.draft), proto::ErrorId::BadDataChunk, reply);
    } else {
      REQUIRE(executor_.finish_store(command, start.draft, reply, control_.now_));
    }
    return body;
  }

  template <class P>
  static std::string spell(const Command& command, const Reply& reply) {
    proto::ReplyBuffer out;
    P::write(command, reply, out);
    std::string bytes;
    for (const auto& piece : out.pieces()) bytes.append(piece.data, piece.bytes);
    return bytes;
  }

  proto::TextProtocol text_;
  proto::BinaryProtocol binary_;
};

std::string big_endian(uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out += static_cast<char>(value >> shift);
  }
  return out;
}

struct Frame {
  uint8_t opcode = 0;
  std::string extras;
  std::string key;
  std::string value;
  uint64_t cas = 0;
};

std::string request(const Frame& frame) {
  const size_t body = frame.extras.size() + frame.key.size() + frame.value.size();
  return "\x80" + big_endian(frame.opcode, 1) + big_endian(frame.key.size(), 2) +
         big_endian(frame.extras.size(), 1) + big_endian(0, 3) + big_endian(body, 4) + "OPAQ" +
         big_endian(frame.cas, 8) + frame.extras + frame.key + frame.value;
}

// A reply in words: "status [extras in hex] key=... value=..."; CAS apart.
struct Answer {
  uint16_t status = 0;
  uint64_t cas = 0;
  std::string extras;
  std::string key;
  std::string value;
};

std::vector<Answer> answers(std::string_view bytes) {
  const auto number = [](std::string_view digits) {
    uint64_t value = 0;
    for (const char c : digits) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  };
  std::vector<Answer> all;
  while (!bytes.empty()) {
    REQUIRE(bytes.size() >= 24);
    REQUIRE(bytes[0] == '\x81');
    REQUIRE(bytes.substr(12, 4) == "OPAQ");
    const size_t key = number(bytes.substr(2, 2));
    const size_t extras = number(bytes.substr(4, 1));
    const size_t body = number(bytes.substr(8, 4));
    REQUIRE(bytes.size() >= 24 + body);
    Answer answer;
    answer.status = static_cast<uint16_t>(number(bytes.substr(6, 2)));
    answer.cas = number(bytes.substr(16, 8));
    answer.extras = bytes.substr(24, extras);
    answer.key = bytes.substr(24 + extras, key);
    answer.value = bytes.substr(24 + extras + key, body - extras - key);
    all.push_back(answer);
    bytes.remove_prefix(24 + body);
  }
  return all;
}

// -- Classic -------------------------------------------------------------------------------------

TEST_CASE("get answers each key in order, also twice, and says nothing of what is missing") {
  Client client;
  client.expect({
      {"set a 0 0 1\n1", "STORED"},
      {"set b 4294967295 0 3\nabc", "STORED"},
      {"get a", "VALUE a 0 1\n1\nEND"},
      {"get b nope a b",
       "VALUE b 4294967295 3\nabc\nVALUE a 0 1\n1\nVALUE b 4294967295 3\nabc\nEND"},
      {"get nope", "END"},
      {"set empty 5 0 0\n", "STORED"},
      {"get empty", "VALUE empty 5 0\n\nEND"},
  });
}

TEST_CASE("gets shows the CAS, which changes with every store") {
  Client client;
  client.expect({{"ms a 1 E77\n1", "HD"},
                 {"gets a nope", "VALUE a 0 1 77\n1\nEND"},
                 {"get a", "VALUE a 0 1\n1\nEND"}});
  client.ask("set a 0 0 1\r\n1\r\n");
  const std::string first = client.ask("gets a\r\n");
  client.ask("set a 0 0 1\r\n1\r\n");
  CHECK(client.ask("gets a\r\n") != first);
}

TEST_CASE("a batch may be of any size and may end anywhere") {
  for (const size_t gather : {1, 2, 3, 7, 64}) {
    Client client;
    std::string line = "get";
    std::string expected;
    for (int i = 0; i < 64 - 1; ++i) {
      const std::string key = "key" + std::to_string(i);
      line += " " + key;
      if (i % 3 == 0) continue;
      client.ask("set " + key + " 0 0 " + std::to_string(key.size()) + "\r\n" + key + "\r\n");
      expected += "VALUE " + key + " 0 " + std::to_string(key.size()) + "\r\n" + key + "\r\n";
    }
    CHECK(client.ask(line + "\r\n", gather) == expected + "END\r\n");
  }
}

TEST_CASE("several large values in one batch keep their pieces apart") {
  Client client;
  std::string a(200000, 'a');
  std::string b(100001, 'b');
  a[0] = 'A';
  b[100000] = 'B';
  CHECK(client.ask("set a 1 0 200000\r\n" + a + "\r\n") == "STORED\r\n");
  CHECK(client.ask("set b 2 0 100001\r\n" + b + "\r\n") == "STORED\r\n");
  const std::string of_a = "VALUE a 1 200000\r\n" + a + "\r\n";
  const std::string of_b = "VALUE b 2 100001\r\n" + b + "\r\n";
  CHECK(client.ask("get a b a nope b\r\n") == of_a + of_b + of_a + of_b + "END\r\n");
  CHECK(client.ask("mg a v s\r\n") == "VA 200000 s200000\r\n" + a + "\r\n");
}

TEST_CASE("add, replace, append and prepend store only where they may") {
  Client client;
  client.expect({
      {"replace d 0 0 1\n1", "NOT_STORED"},
      {"append d 0 0 1\n1", "NOT_STORED"},
      {"prepend d 0 0 1\n1", "NOT_STORED"},
      {"add d 7 0 1\n1", "STORED"},
      {"add d 0 0 1\n2", "NOT_STORED"},
      {"append d 9 50 1\nX", "STORED"},
      {"prepend d 9 50 1\nY", "STORED"},
      {"mg d v f t", "VA 3 f7 t-1\nY1X"},
      {"replace d 8 0 1\nr", "STORED"},
      {"get d", "VALUE d 8 1\nr\nEND"},
  });
}

TEST_CASE("cas stores only over the value it has seen") {
  Client client;
  client.expect({
      {"cas c 0 0 1 5\n2", "NOT_FOUND"},
      {"cas c 0 0 1 0\n2", "NOT_FOUND"},
      {"ms c 1 E5\n1", "HD"},
      {"cas c 0 0 1 4\n2", "EXISTS"},
      {"cas c 0 0 1 0\n2", "EXISTS"},
      {"cas c 3 0 1 5\n2", "STORED"},
      {"cas c 0 0 1 5\n3", "EXISTS"},
      {"get c", "VALUE c 3 1\n2\nEND"},
  });
}

TEST_CASE("with -C every CAS is 0 and cas never stores") {
  core::CacheConfig config = test::small_cache();
  config.cas = false;
  Client client(config);
  client.expect({{"set c 0 0 1\n1", "STORED"},
                 {"gets c", "VALUE c 0 1 0\n1\nEND"},
                 {"cas c 0 0 1 0\n2", "EXISTS"},
                 {"cas c 0 0 1 5\n2", "EXISTS"},
                 {"get c", "VALUE c 0 1\n1\nEND"}});
}

TEST_CASE("delete takes the item away once") {
  Client client;
  client.expect({{"set d 0 0 1\n1", "STORED"},
                 {"delete d 0", "DELETED"},
                 {"delete d", "NOT_FOUND"},
                 {"set d 0 0 1\n1", "STORED"},
                 {"delete d noreply", ""},
                 {"get d", "END"}});
}

TEST_CASE("incr wraps, decr stops at 0, and what is shorter is padded") {
  Client client;
  client.expect({
      {"incr n 1", "NOT_FOUND"},
      {"set n 7 0 2\n10", "STORED"},
      {"incr n 5", "15"},
      {"decr n 10", "5"},
      {"get n", "VALUE n 7 2\n5 \nEND"},
      {"decr n 100", "0"},
      {"incr n 18446744073709551615", "18446744073709551615"},
      {"incr n 1", "0"},
      {"get n", "VALUE n 7 20\n0                   \nEND"},
      {"set n 0 0 3\nabc", "STORED"},
      {"incr n 1", "CLIENT_ERROR cannot increment or decrement non-numeric value"},
      {"set n 0 0 0\n", "STORED"},
      {"incr n 1", "CLIENT_ERROR cannot increment or decrement non-numeric value"},
      {"set n 0 0 2\n 5", "STORED"},
      {"incr n 1", "6"},
      {"set n 0 0 3\n5 6", "STORED"},
      {"incr n 1", "6"},
      {"get n", "VALUE n 0 3\n6  \nEND"},
      {"set n 0 100 1\n1", "STORED"},
      {"incr n 9", "10"},
      {"mg n v t", "VA 2 t100\n10"},
  });
  const std::string long_number = "9 " + std::string(30000, 'x');
  CHECK(client.ask("set long 0 0 30002\r\n" + long_number + "\r\nincr long 1\r\nget long\r\n") ==
        "STORED\r\n10\r\nVALUE long 0 30002\r\n10" + std::string(30000, ' ') + "\r\nEND\r\n");
  const std::string large(100000, '1');
  CHECK(client.ask("set large 0 0 100000\r\n" + large + "\r\nincr large 1\r\n") ==
        "STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
}

TEST_CASE("a longer number is a new item, any other counts as the same") {
  Client client;
  client.expect({
      {"set n 0 0 1\n8", "STORED"},
      {"mg n h", "HD h0"},
      {"incr n 1", "9"},
      {"mg n h", "HD h1"},
      {"incr n 1", "10"},
      {"mg n h", "HD h0"},
      {"append n 0 0 1\n0", "STORED"},
      {"mg n h", "HD h0"},
      {"md n I", "HD"},
      {"ma n D899 v", "VA 3\n999"},
      {"ma n v", "VA 4\n1000"},
      {"mg n v", "VA 4\n1000"},  // no longer stale
      {"set e 0 0 0\n", "STORED"},
      {"ma e C1", "CLIENT_ERROR cannot increment or decrement non-numeric value"},
      {"ms w 3\nabc", "HD"},
      {"ma w C1", "EX"},
  });
  // What memcached keeps in pieces (more than 512 KiB with 60 bytes of its own here) is no number
  // to it before it looks at the CAS.
  for (const size_t bytes : {524'228, 524'229}) {
    const std::string size = std::to_string(bytes);
    CHECK(client.ask("ms l " + size + "\r\n" + std::string(bytes, 'x') + "\r\nma l C1\r\n") ==
          (bytes == 524'228
               ? "HD\r\nEX\r\n"
               : "HD\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"));
  }
}

TEST_CASE("touch and gat give the item another time to live") {
  Client client;
  client.expect({
      {"touch d 100", "NOT_FOUND"},
      {"gat 100 d nope", "END"},
      {"set d 3 0 1\n1", "STORED"},
      {"touch d 100", "TOUCHED"},
      {"mg d t", "HD t100"},
      {"gat 50 d nope d", "VALUE d 3 1\n1\nVALUE d 3 1\n1\nEND"},
      {"mg d t", "HD t50"},
      {"touch d 0", "TOUCHED"},
      {"mg d t", "HD t-1"},
      {"ms e 1 E9\n2", "HD"},
      {"gats 0 e", "VALUE e 0 1 9\n2\nEND"},
      {"gats 10 e", "VALUE e 0 1 9\n2\nEND"},
      {"touch d -1", "TOUCHED"},
      {"get d", "END"},
  });
}

TEST_CASE("a get after a gat in the same batch sees the new time") {
  Client client;
  client.ask("set d 0 0 1\r\n1\r\n");
  CHECK(client.ask("mg d t\r\ngat 30 d\r\nmg d t\r\nmg d T7\r\nmg d t\r\n") ==
        "HD t-1\r\nVALUE d 0 1\r\n1\r\nEND\r\nHD t30\r\nHD\r\nHD t7\r\n");
  CHECK(client.ask("gat -1 d\r\nget d\r\n") == "VALUE d 0 1\r\n1\r\nEND\r\nEND\r\n");
}

TEST_CASE("an exptime is relative up to 30 days and a unix time above") {
  Client client;
  const int64_t unix_now = kUnixTimeOfZero + client.control_.now_;
  const auto set = [&](int64_t exptime) { return "set e 0 " + std::to_string(exptime) + " 1\n1"; };
  client.expect({
      {set(2592000), "STORED"},
      {"mg e t", "HD t2592000"},
      {set(unix_now + 77), "STORED"},
      {"mg e t", "HD t77"},
      {set(unix_now), "STORED"},
      {"get e", "END"},
      {set(2592001), "STORED"},  // in 1970
      {"get e", "END"},
      {set(-1), "STORED"},
      {"get e", "END"},
      {set(0), "STORED"},
      {"mg e t", "HD t-1"},
      {set(1), "STORED"},
      {"get e", "VALUE e 0 1\n1\nEND"},
  });
  client.control_.now_ += 1;
  CHECK(client.ask("get e\r\n") == "END\r\n");
}

TEST_CASE("a wrong trailer leaves the old value, a value too large does away with it") {
  Client client;
  client.expect({
      {"set a 0 0 1\n1", "STORED"},
      {"set a 0 0 2\nabc", "CLIENT_ERROR bad data chunk\nCLIENT_ERROR bad command line format"},
      {"get a", "VALUE a 0 1\n1\nEND"},
  });
  const std::string body = "\r\n" + std::string(2000000, 'x') + "\r\n";
  const std::string refused = "SERVER_ERROR object too large for cache\r\n";
  CHECK(client.ask("add a 0 0 2000000" + body) == refused);
  CHECK(client.ask("replace a 0 0 2000000" + body) == refused);
  CHECK(client.ask("append a 0 0 2000000" + body) == refused);
  CHECK(client.ask("cas a 0 0 2000000 1" + body) == refused);
  CHECK(client.ask("get a\r\n") == "VALUE a 0 1\r\n1\r\nEND\r\n");
  CHECK(client.ask("set a 0 0 2000000" + body) == refused);
  CHECK(client.ask("get a\r\n") == "END\r\n");
  client.ask("set a 0 0 1\r\n1\r\n");
  CHECK(client.ask("ms a 2000000 MA" + body) == refused);
  CHECK(client.ask("get a\r\n") == "END\r\n");
  CHECK(client.ask("set a 0 0 2000000 noreply" + body) == "");
}

TEST_CASE("what an append would make too large stays as it was") {
  Client client;
  const std::string body(1000000, 'x');
  client.ask("set a 0 0 1000000\r\n" + body + "\r\n");
  CHECK(client.ask("append a 0 0 100000\r\n" + body.substr(0, 100000) + "\r\n") ==
        "NOT_STORED\r\n");
  CHECK(client.ask("ms a 100000 MP s\r\n" + body.substr(0, 100000) + "\r\n") == "NS s100000\r\n");
  CHECK(client.ask("mg a s\r\n") == "HD s1000000\r\n");
}

TEST_CASE("without eviction a full cache says so, and the old value goes") {
  core::CacheConfig config = test::small_cache();
  config.evict = false;
  Client client(config);
  const std::string body = "\r\n" + std::string(100000, 'x') + "\r\n";
  client.ask("set old 0 0 1\r\n1\r\n");
  int stored = 0;
  while (stored < 1000 &&
         client.ask("set k" + std::to_string(stored) + " 0 0 100000" + body) == "STORED\r\n") {
    ++stored;
  }
  REQUIRE(stored > 50);
  REQUIRE(stored < 1000);
  const std::string reply = client.ask("set old 0 0 100000" + body);
  CHECK((reply == "SERVER_ERROR out of memory storing object\r\n" ||
         reply == "SERVER_ERROR Out of memory during read\r\n"));
  CHECK(client.ask("get old\r\n") == "END\r\n");
  CHECK(client.counters()["store_no_memory"] == 2);
}

TEST_CASE("flush_all empties the cache now, later, or not at all") {
  Client client;
  const auto fill = [&] { client.ask("set a 0 0 1\r\n1\r\n"); };
  const std::string there = "VALUE a 0 1\r\n1\r\nEND\r\n";
  for (const char* line : {"flush_all\r\n", "flush_all 0\r\n", "flush_all -1\r\n"}) {
    fill();
    CHECK(client.ask(line) == "OK\r\n");
    CHECK(client.ask("get a\r\n") == "END\r\n");
  }
  fill();
  CHECK(client.ask("get a\r\n") == there);
  CHECK(client.ask("flush_all noreply\r\nget a\r\n") == "END\r\n");

  fill();
  CHECK(client.ask("flush_all 10\r\n") == "OK\r\n");
  CHECK(client.control_.flush_at_ == client.control_.now_ + 10);
  CHECK(client.ask("get a\r\n") == there);
  const int64_t then = kUnixTimeOfZero + client.control_.now_ + 20;
  CHECK(client.ask("flush_all " + std::to_string(then) + "\r\n") == "OK\r\n");
  CHECK(client.control_.flush_at_ == client.control_.now_ + 20);
  CHECK(client.ask("flush_all\r\n") == "OK\r\n");
  CHECK_FALSE(client.control_.flush_at_);

  fill();
  CHECK(client.ask("flush_all 2592001\r\n") == "OK\r\n");  // 1970: nothing is as old as that
  CHECK(client.ask("get a\r\n") == there);
  CHECK(client.ask("flush_all " + std::to_string(then - 100) + "\r\n") == "OK\r\n");
  CHECK(client.ask("get a\r\n") == "END\r\n");

  client.control_.settings_.allow_flush = false;
  fill();
  CHECK(client.ask("flush_all\r\n") == "CLIENT_ERROR flush_all not allowed\r\n");
  CHECK(client.ask("flush_all 10\r\n") == "CLIENT_ERROR flush_all not allowed\r\n");
  CHECK(client.ask("get a\r\n") == there);
}

TEST_CASE("version, verbosity and the memory limit") {
  Client client;
  client.expect({{"version", "VERSION 1.6.45"}, {"verbosity 1", "OK"}});
  CHECK(client.control_.verbosity_ == 1);
  client.expect({{"verbosity 4000000000", "OK"}});
  CHECK(client.control_.verbosity_ == 2);
  client.expect({
      {"cache_memlimit 7", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m"},
      {"cache_memlimit 24", "OK"},
  });
  CHECK(client.cache_.memory_limit() == size_t{24} << 20);
  client.expect({
      {"cache_memlimit 900000000", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust"},
      {"cache_memlimit 2000000000", "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes"},
  });
  CHECK(client.cache_.memory_limit() == size_t{24} << 20);
}

TEST_CASE("watch is refused with -W, behind other commands, for an unknown word, and to the 21st") {
  Client client;
  client.expect({{"watch nonsense", "ERROR"}, {"watch fetchers nonsense", "ERROR"}});
  client.control_.settings_.allow_watch = false;
  client.expect({{"watch", "CLIENT_ERROR watch commands not allowed"},
                 {"watch nonsense", "CLIENT_ERROR watch commands not allowed"}});
  client.control_.settings_.allow_watch = true;

  Command command;
  command.op = proto::Op::Watch;
  command.args = "mutations e";
  command.want = proto::Want::kBehindOthers;
  Reply reply;
  REQUIRE(client.executor_.run_one(command, reply, 1000));
  CHECK(reply.error == proto::ErrorId::WatchBehindOthers);
  command.want = 0;
  for (size_t i = 0; i < Watchers::kMost; ++i) {
    REQUIRE(client.executor_.run_one(command, reply, 1000));
    CHECK(reply.status == proto::Status::Ok);
    CHECK(reply.number == (Streams::kMutations | Streams::kEvictions));
  }
  REQUIRE(client.executor_.run_one(command, reply, 1000));
  CHECK(reply.error == proto::ErrorId::TooManyWatchers);
  client.expect({{"watch", "WATCHER_TOO_MANY log watcher limit reached"}});
}

TEST_CASE("shutdown needs -A and one of two modes") {
  Client client;
  client.expect({{"shutdown", "SERVER_ERROR: shutdown not enabled"},
                 {"shutdown graceful", "SERVER_ERROR: shutdown not enabled"},
                 {"shutdown foo", "SERVER_ERROR: shutdown not enabled"}});
  CHECK_FALSE(client.control_.shutdown_);
  client.control_.settings_.allow_shutdown = true;
  client.expect({{"shutdown foo", "CLIENT_ERROR invalid shutdown mode"}});
  CHECK_FALSE(client.control_.shutdown_);
  client.expect({{"shutdown graceful", ""}});
  CHECK(client.control_.shutdown_ == true);
  client.expect({{"shutdown", ""}});
  CHECK(client.control_.shutdown_ == false);
}

TEST_CASE("debugtime is there in the debug build only") {
  Client client;
#ifdef LARDER_DEBUG
  client.expect({{"debugtime p", "OK"}, {"debugtime 300", "OK"}, {"debugtime nonsense", "ERROR"}});
  CHECK(client.control_.debug_time_ == "nonsense");
#else
  client.expect({{"debugtime p", "ERROR"}});
  CHECK(client.control_.debug_time_.empty());
#endif
}

TEST_CASE("refresh_certs answers what was wrong with the certificates, if anything") {
  Client client;
  client.expect({{"refresh_certs", "OK"}});
  client.control_.certificate_error_ = "Error loading the key";
  client.expect({{"refresh_certs", "Error loading the key"}});
}

TEST_CASE("stats finds its sub-commands as memcached does, some by any prefix") {
  Client client;
  client.expect({
      {"stats", "STAT general 1\nEND"},
      {"stats settings", "STAT settings 1\nEND"},
      {"stats s", "STAT settings 1\nEND"},
      {"stats settings more", "STAT settings 1\nEND"},
      {"stats items", "STAT items 1\nEND"},
      {"stats slabs", "STAT slabs 1\nEND"},
      {"stats sizes", "STAT sizes 1\nEND"},
      {"stats conns", "STAT conns 1\nEND"},
      {"stats co", "STAT conns 1\nEND"},
      {"stats larder", "STAT larder 1\nEND"},
      {"stats latency", "STAT latency 1\nEND"},
      {"stats hotkeys", "STAT hotkeys 1\nEND"},
      {"stats prefixes", "STAT prefixes 1\nEND"},
      {"stats lat", "ERROR"},
      {"stats extstore", "END"},
      {"stats item", "ERROR"},
      {"stats itemss", "ERROR"},
      {"stats lard", "ERROR"},
      {"stats foo", "ERROR"},
      {"stats proxy", "ERROR"},
  });
  CHECK(client.control_.resets_ == 0);
  client.expect({{"stats reset", "RESET"}, {"stats r", "RESET"}});
  CHECK(client.control_.resets_ == 2);
}

TEST_CASE("stats detail counts by the prefix of keys while it is on") {
  Client client;
  client.expect({
      {"stats detail dump", "END"},
      {"set foo:1 0 0 1\n1", "STORED"},
      {"stats detail on", "OK"},
      {"get foo:1 foo:2 nothing", "VALUE foo:1 0 1\n1\nEND"},
      {"set foo:1 0 0 1\n1", "STORED"},
      {"stats detail dump", "PREFIX foo get 2 hit 1 set 1 del 0\nEND"},
      {"gat 0 foo:1", "VALUE foo:1 0 1\n1\nEND"},
      {"delete foo:3", "NOT_FOUND"},
      {"stats d d", "PREFIX foo get 3 hit 2 set 1 del 1\nEND"},
      {"stats detail off", "OK"},
      {"get foo:1", "VALUE foo:1 0 1\n1\nEND"},
      {"stats detail dump", "PREFIX foo get 3 hit 2 set 1 del 1\nEND"},
      {"stats detail", "CLIENT_ERROR usage: stats detail on|off|dump"},
      {"stats detail nonsense", "CLIENT_ERROR usage: stats detail on|off|dump"},
  });
  client.control_.settings_.allow_dumps = false;
  client.expect({
      {"stats detail on", "CLIENT_ERROR stats detail not allowed"},
      {"stats cachedump 1 1", "CLIENT_ERROR stats cachedump not allowed"},
  });
}

TEST_CASE("stats cachedump lists the items of a class") {
  Client client;
  const std::string from_zero = std::to_string(kUnixTimeOfZero + client.control_.now_ + 100);
  client.expect({
      {"stats cachedump 1 0", "END"},
      {"set a 0 0 1\n1", "STORED"},
      {"stats cachedump 1 0", "ITEM a [1 b; 0 s]\nEND"},
      {"ms Yg== 1 b\n1", "HD"},  // not text: left out
      {"stats cachedump 1 10", "ITEM a [1 b; 0 s]\nEND"},
      {"set c 0 0 1\n1", "STORED"},
      {"stats cachedump 1 1", "ITEM a [1 b; 0 s]\nEND"},
      {"stats cachedump 2 0", "END"},
      {"flush_all", "OK"},
      {"set c 0 100 1\n1", "STORED"},
      {"stats cachedump 1 0", "ITEM c [1 b; " + from_zero + " s]\nEND"},
      {"stats cachedump 0 0", "END"},
      {"stats cachedump 1", "CLIENT_ERROR bad command line"},
      {"stats cachedump", "CLIENT_ERROR bad command line"},
      {"stats cachedump one 0", "CLIENT_ERROR bad command line format"},
      {"stats cachedump 1 -1", "CLIENT_ERROR bad command line format"},
      {"stats cachedump 1000 1", "CLIENT_ERROR Illegal slab id"},
  });
}

TEST_CASE("stats cachedump of memcached's last class lists what is in ours beyond it, too") {
  core::CacheConfig config = test::small_cache();
  config.growth_factor = 1.05;  // well over 64 classes
  Client client(config);
  client.expect({
      {"set a 0 0 1\n1", "STORED"},
      {"set b 0 0 3000\n" + std::string(3000, 'x'), "STORED"},
      {"set c 0 0 6000\n" + std::string(6000, 'x'), "STORED"},
      {"stats cachedump 63 0", "ITEM b [3000 b; 0 s]\nITEM c [6000 b; 0 s]\nEND"},
      {"stats cachedump 63 1", "ITEM b [3000 b; 0 s]\nEND"},
      {"stats cachedump 62 0", "END"},
      {"stats cachedump 64 0", "END"},
  });
}

// -- Meta ----------------------------------------------------------------------------------------

TEST_CASE("mg returns what its flags ask for, in their order") {
  Client client;
  client.expect({
      {"mg nope", "EN"},
      {"mg nope v k O123", "EN knope O123"},
      {"mg nope q", ""},
      {"mg nope q k\nmn", "MN"},
      {"ms a 2 T100 F7 E29\nhi", "HD"},
      {"mg a", "HD"},
      {"mg a v", "VA 2\nhi"},
      {"mg a t f v c s k O9 u", "VA 2 t100 f7 c29 s2 ka O9\nhi"},
      {"mg a k c f", "HD ka c29 f7"},
      {"mg a P1 L2 v", "VA 2\nhi"},
      {"mg a q v", "VA 2\nhi"},
  });
}

TEST_CASE("h and l tell what was before this request, u leaves no trace") {
  Client client;
  client.ask("ms a 1\r\n1\r\n");
  client.control_.now_ += 100;
  client.expect(
      {{"mg a h l u", "HD h0 l100"}, {"mg a h l", "HD h0 l100"}, {"mg a h l", "HD h1 l0"}});
}

TEST_CASE("what only gets in the way of an add is not fetched") {
  Client client;
  client.expect({
      {"set a 0 0 1\n1", "STORED"},
      {"add a 0 0 1\n1", "NOT_STORED"},
      {"ms a 1 ME\n1", "NS"},
      {"mg a u h", "HD h0"},
      {"mg a u T10", "HD"},
      {"mg a u T20", "HD"},
      {"mg a u h t", "HD h0 t20"},
      {"mg a T30", "HD"},
      {"mg a h t", "HD h1 t30"},
  });
}

TEST_CASE("mg with C leaves out a value that the client has") {
  Client client;
  client.expect({{"ms a 1 E5\n1", "HD"},
                 {"mg a C5 v c s", "HD c5 s1"},
                 {"mg a C6 v c s", "VA 1 c5 s1\n1"},
                 {"mg a C5 v T30 t", "HD t30"},
                 {"mg nope C5 v", "EN"}});
}

TEST_CASE("mg with N creates what is missing, for one client to fill") {
  Client client;
  client.expect({
      {"mg viv N30 v t", "VA 0 t30 W\n"},
      {"mg viv N30 v t", "VA 0 t30 Z\n"},
      {"mg viv v", "VA 0 Z\n"},
      {"mg e N30 E88 c", "HD c88 W"},
      {"mg q2 t N30", "HD t-1 W"},
      {"mg q2 t", "HD t30 Z"},
      {"mg q3 T60 N30 t", "HD t30 W"},
      {"mg q3 t", "HD t30 Z"},
      {"mg q4 N30 T60 t", "HD t60 W"},
      {"mg q4 t T20", "HD t60 Z"},
      {"mg q4 t", "HD t20 Z"},
      {"mg q1 T-1 N30 t", "HD t30 W"},
      {"mg q5 t N30 h l", "HD t-1 h0 l0 W"},
      {"mg q5 h l", "HD h1 l0 Z"},
      {"ms viv 1\n1", "HD"},
      {"mg viv v N30", "VA 1\n1"},
  });
  CHECK(client.ask("mg two N30 v\r\nmg two N30 v\r\nmg two v\r\n") ==
        "VA 0 W\r\n\r\nVA 0 Z\r\n\r\nVA 0 Z\r\n\r\n");
  CHECK(client.ask("mg past N-1 k\r\nmg past\r\n") == "HD kpast W\r\nEN\r\n");
}

TEST_CASE("mg with R lets one client recache what is about to expire") {
  Client client;
  client.expect({
      {"ms r 1 T20\n1", "HD"},
      {"mg r R10 v", "VA 1\n1"},
      {"mg r R30 v t", "VA 1 t20 W\n1"},
      {"mg r R30 v t", "VA 1 t20 Z\n1"},
      {"mg r R10 v", "VA 1 Z\n1"},
      {"ms never 1\n1", "HD"},
      {"mg never R30", "HD"},
      {"ms s 1 T100\n1", "HD"},
      {"mg s R30 T10", "HD"},  // R looks at the time before T
      {"mg s T10 R30 t", "HD t10 W"},
      {"mg s R300 t", "HD t10 Z"},
  });
  client.ask("ms b 1 T20\r\n1\r\n");
  CHECK(client.ask("mg b R30\r\nmg b R30\r\nmg b R30\r\n") == "HD W\r\nHD Z\r\nHD Z\r\n");
}

TEST_CASE("a stale item hands out one token and then tells who waits") {
  Client client;
  client.expect({
      {"ms s 1 E41\n1", "HD"},
      {"md s I T30 E50", "HD"},
      {"mg s v c t", "VA 1 c50 t30 X W\n1"},
      {"mg s v t", "VA 1 t30 Z X\n1"},
      {"mg s v t R99", "VA 1 t30 Z X\n1"},
      {"get s", "VALUE s 0 1\n1\nEND"},
      {"md s I", "HD"},
      {"mg s t", "HD t30 X W"},
      {"ms s 1\n2", "HD"},
      {"mg s v", "VA 1\n2"},
  });
  client.ask("md s I\r\n");
  CHECK(client.ask("mg s\r\nmg s\r\nmg s\r\n") == "HD X W\r\nHD Z X\r\nHD Z X\r\n");
  client.expect({{"md s I", "HD"}, {"touch s 5", "TOUCHED"}, {"mg s v t", "VA 1 t5 X W\n2"}});
}

TEST_CASE("ms stores by its mode and returns what its flags ask for") {
  Client client;
  client.expect({
      {"ms a 2 T100 F7 E29 c k O55 s\nhi", "HD c29 ka O55 s2"},
      {"ms a 1 ME\n2", "NS"},
      {"ms nope2 1 MR\n2", "NS"},
      {"ms a 1 MA s\n2", "HD s3"},
      {"ms a 1 MP\n0", "HD"},
      {"mg a v f t", "VA 4 f7 t100\n0hi2"},
      {"ms nope 2 MA s k c O9\nab", "NS s2 knope c0 O9"},
      {"ms nope 2 MP\nab", "NS"},
      {"ms newa 1 MA N60 F3\n2", "HD"},
      {"mg newa v t f", "VA 1 t60 f3\n2"},
      {"ms newa 1 MA N90 F4 s\n3", "HD s2"},
      {"mg newa v t f", "VA 2 t60 f3\n23"},
      {"ms newp 1 MP N-1\n2", "HD"},
      {"mg newp", "EN"},
      {"ms a 1 MR\n9", "HD"},
      {"ms a 1 MSET\n8", "HD"},
      {"mg a v f t", "VA 1 f0 t-1\n8"},
      {"ms a 1 q\n1", ""},
      {"ms a 1 q C5\n1\nmn", "EX\nMN"},
      {"ms b 3 ME q s\nabc", ""},
      {"ms b 3 ME q s O1\nabc", "NS s3 O1"},
  });
}

TEST_CASE("ms compares with C, and E chooses the CAS") {
  Client client;
  client.expect({
      {"ms a 1 C1\nx", "NF"},
      {"ms a 1 E77 c\n1", "HD c77"},
      {"mg a c v", "VA 1 c77\n1"},
      {"ms a 1 C1 s k c\nx", "EX s1 ka c0"},
      {"ms a 1 C77 E78\n2", "HD"},
      {"ms a 1 C78 MR E79\n3", "HD"},
      {"ms a 1 MA C5\n4", "EX"},
      {"ms a 1 MA C79 E80 c\n4", "HD c80"},
      {"ms a 1 MP C0 E81\n5", "HD"},
      {"mg a v c", "VA 3 c81\n534"},
      {"ms a 1 C0\n1", "EX"},
      {"ms zz 1 C0\n1", "NF"},
      {"ms zz 1 ME C5\n1", "HD"},
      {"ms zz 1 ME C5\n1", "NS"},
      {"ms zz 1 MR C5\n1", "EX"},
      {"ms no 1 MA C5\n1", "NS"},
      {"ms yy 1 MA N0 C5\n1", "HD"},
  });
  client.ask("ms z 1 E0\r\n1\r\n");
  CHECK(client.ask("mg z c\r\n") != "HD c0\r\n");
}

TEST_CASE("ms with I and a CAS that is behind stores a stale value") {
  Client client;
  client.expect({
      {"ms a 1 T100 E50\n1", "HD"},
      {"ms a 1 C10 I T500 E60\nZ", "HD"},
      {"mg a c v t", "VA 1 c60 t100 X W\nZ"},  // the time of the value before
      {"mg a v", "VA 1 Z X\nZ"},
      {"ms a 1 C20 I E70\nY", "HD"},
      {"mg a v c t", "VA 1 c70 t100 Z X\nY"},  // whose token was out
      {"ms a 1 C99 I\nx", "EX"},
      {"ms a 1 C70 I\nx", "HD"},
      {"mg a v", "VA 1\nx"},
      {"ms nope 1 C5 I\nx", "NF"},
      {"ms b 1 E50\nb", "HD"},  // for ever
      {"mg b", "HD"},
      {"ms b 1 C10 I T-1 E60\nB", "HD"},
      {"mg b v t h c", "VA 1 t-1 h0 c60 X W\nB"},
      {"ms d 1 E50 T100 F3\nd", "HD"},
      {"ms d 1 C10 I E60 F4\nD", "HD"},  // without a time of its own
      {"mg d v t h c f", "VA 1 t100 h0 c60 f4 X W\nD"},
  });
}

TEST_CASE("md deletes, compares, invalidates or blanks") {
  Client client;
  client.expect({
      {"md s", "NF"},
      {"md s k O1", "NF ks O1"},
      {"md s q\nmn", "NF\nMN"},
      {"ms s 1 E5\na", "HD"},
      {"md s C1 k", "EX ks"},
      {"md s q k O1 C5\nmn", "MN"},
      {"mg s", "EN"},
      {"ms s 2 F9 T50\nab", "HD"},
      {"md s x", "HD"},
      {"mg s v f t s", "VA 0 f0 t-1 s0\n"},
      {"ms s 1 T60\n1", "HD"},
      {"md s T5 x", "HD"},
      {"mg s t", "HD t5"},
      {"ms s 2 F9\nab", "HD"},
      {"ms b 1 E7 T10 F2\nb", "HD"},
      {"md b I E9", "HD"},
      {"md b x", "HD"},
      {"mg b v c f t", "VA 0 c9 f0 t-1\n"},  // the CAS of the mark before, and no longer stale
      {"ms c 1 E7\nb", "HD"},
      {"mg c", "HD"},
      {"md c x F5", "HD"},
      {"mg c v f c h", "VA 0 f5 c7 h0\n"},
      {"md c x F6 E8", "HD"},
      {"mg c f c", "HD f6 c8"},
      {"md s I x T30 E9", "HD"},
      {"mg s v f t c", "VA 0 f0 t30 c9 X W\n"},
      {"ms s 1\na", "HD"},
      {"md s E55 I", "HD"},
      {"mg s c v", "VA 1 c55 X W\na"},
      {"md s I q", ""},
      {"md s T30", "HD"},
      {"mg s", "EN"},
  });
}

TEST_CASE("ma counts, creates and returns") {
  Client client;
  client.expect({
      {"ma cnt", "NF"},
      {"ma cnt k O1", "NF kcnt O1"},
      {"ma cnt N60 J13 v t", "VA 2 t60\n13"},
      {"ma cnt v", "VA 2\n14"},
      {"ma cnt D10 E49 v c t k O1", "VA 2 c49 t60 kcnt O1\n24"},
      {"ma cnt MD D100 v", "VA 1\n0"},
      {"ma cnt MI v", "VA 1\n1"},
      {"ma cnt M- v", "VA 1\n0"},
      {"ma cnt M+ v T5 t", "VA 1 t5\n1"},
      {"ma cnt t T9 v", "VA 1 t5\n2"},
      {"mg cnt t v", "VA 2 t9\n2 "},
      {"ma cnt C1 v", "EX"},
      {"ma cnt E999 c", "HD c999"},
      {"ma cnt C999 E5", "HD"},
      {"ma cnt C0 v", "VA 1\n5"},
      {"ma cnt E0 c", "HD c0"},
      {"ma cnt q", ""},
      {"ma cnt q v", ""},
      {"ma nope q", "NF"},
      {"ma cnt k O1 q C1", "EX kcnt O1"},
      {"ma m N5 t T9", "HD t5"},
      {"mg m t", "HD t9"},
      {"ma m2 T9 N5 t", "HD t5"},
      {"ma m3 N5 T9 t", "HD t9"},
      {"ma m4 t N5", "HD t-1"},
      {"mg m4 t", "HD t5"},
      {"ma m5 N0 E77 c J5 v", "VA 1 c77\n5"},
      {"ma big N0 J18446744073709551615 v", "VA 20\n18446744073709551615"},
      {"set t 0 0 1\na", "STORED"},
      {"ma t", "CLIENT_ERROR cannot increment or decrement non-numeric value"},
  });
}

TEST_CASE("base64 keys are decoded, kept, and shown as they were stored") {
  Client client;
  client.expect({
      {"ms Zm9v 3 b\nbar", "HD"},
      {"mg foo v k", "VA 3 kZm9v b\nbar"},
      {"mg Zm9v b v k", "VA 3 kZm9v b\nbar"},
      {"get foo", "VALUE foo 0 3\nbar\nEND"},
      {"mg AAEC b k", "EN kAAEC b"},
      {"ms AAEC 1 b c E5 k\n1", "HD c5 kAAEC b"},
      {"mg AAEC b k v", "VA 1 kAAEC b\n1"},
      {"md AAEC b k", "HD kAAEC b"},
      {"md AAEC b k q", "NF kAAEC b"},
      {"ma AAEF b N0 k", "HD kAAEF b"},
      {"ma AAEF b k v", "VA 1 kAAEF b\n1"},
      // memcached forgets here that the key is binary and sends it raw, line ends and all.
      {"mg AAED b N30 k", "HD kAAED b W"},
      {"mg AAED b k", "HD kAAED b Z"},
  });
}

TEST_CASE("me describes an item and leaves it alone") {
  Client client;
  client.expect({{"me nope", "EN"}});
  client.ask("ms a 3 T100 E5\r\nabc\r\n");
  client.control_.now_ += 10;
  const std::string before = client.ask("me a\r\n");
  CHECK(before.substr(0, before.find(" cls=")) == "ME a exp=90 la=10 cas=5 fetch=no");
  CHECK(client.ask("me a\r\n") == before);
  client.ask("get a\r\n");
  CHECK(client.ask("me a\r\n").find("fetch=yes") != std::string::npos);
  client.ask("ms AAEC 1 b\r\n1\r\n");
  CHECK(client.ask("me AAEC b x\r\n").substr(0, 8) == "ME AAEC ");
  client.ask("ms large 100000\r\n" + std::string(100000, 'x') + "\r\n");
  const std::string large = client.ask("me large\r\n");
  CHECK(std::stoi(large.substr(large.find("size=") + 5)) > 100000);
}

// -- Binary --------------------------------------------------------------------------------------

constexpr uint8_t kGet = 0x00, kSet = 0x01, kAdd = 0x02, kReplace = 0x03, kDelete = 0x04;
constexpr uint8_t kIncr = 0x05, kDecr = 0x06, kFlush = 0x08, kGetQ = 0x09, kNoop = 0x0a;
constexpr uint8_t kVersion = 0x0b, kGetK = 0x0c, kAppend = 0x0e, kPrepend = 0x0f, kStat = 0x10;
constexpr uint8_t kSetQ = 0x11, kAddQ = 0x12, kDeleteQ = 0x14, kTouchOp = 0x1c, kGatOp = 0x1d;
constexpr uint8_t kGatKOp = 0x23;

Answer one(Client& client, const Frame& frame) {
  const std::vector<Answer> all = answers(client.ask_binary(request(frame)));
  REQUIRE(all.size() == 1);
  return all[0];
}

Frame store(uint8_t opcode, const std::string& key, const std::string& value, uint64_t cas = 0,
            uint32_t flags = 0, uint32_t exptime = 0) {
  return {opcode, big_endian(flags, 4) + big_endian(exptime, 4), key, value, cas};
}

Frame count(uint8_t opcode, const std::string& key, uint64_t delta, uint64_t initial,
            uint32_t exptime, uint64_t cas = 0) {
  return {opcode, big_endian(delta, 8) + big_endian(initial, 8) + big_endian(exptime, 4), key, "",
          cas};
}

TEST_CASE("binary get, getk and their misses") {
  Client client;
  const Answer stored = one(client, store(kSet, "bk", "val", 0, 0xdeadbeef));
  CHECK(stored.status == 0);
  CHECK(stored.cas != 0);
  const Answer got = one(client, {kGet, "", "bk", ""});
  CHECK(got.status == 0);
  CHECK(got.cas == stored.cas);
  CHECK(got.extras == "\xde\xad\xbe\xef");
  CHECK(got.key.empty());
  CHECK(got.value == "val");
  CHECK(one(client, {kGetK, "", "bk", ""}).key == "bk");
  const Answer missed = one(client, {kGet, "", "no", ""});
  CHECK(missed.status == 1);
  CHECK(missed.value == "Not found");
  const Answer missed_key = one(client, {kGetK, "", "no", ""});
  CHECK(missed_key.status == 1);
  CHECK(missed_key.key == "no");
  CHECK(missed_key.value.empty());

  const std::vector<Answer> run =
      answers(client.ask_binary(request({kGetQ, "", "no", ""}) + request({kGetQ, "", "bk", ""}) +
                                request({kNoop, "", "", ""})));
  REQUIRE(run.size() == 2);
  CHECK(run[0].value == "val");
}

TEST_CASE("binary add, replace and set compare a CAS if they carry one") {
  Client client;
  CHECK(one(client, store(kReplace, "k", "1")).status == 1);
  CHECK(one(client, store(kSet, "k", "1", 5)).status == 1);
  CHECK(one(client, store(kAdd, "k", "1", 5)).status == 1);
  const Answer first = one(client, store(kAdd, "k", "1"));
  CHECK(first.status == 0);
  CHECK(one(client, store(kAdd, "k", "1")).status == 2);
  CHECK(one(client, store(kSet, "k", "1", first.cas + 9)).status == 2);
  const Answer second = one(client, store(kSet, "k", "2", first.cas));
  CHECK(second.status == 0);
  CHECK(second.cas != first.cas);
  CHECK(one(client, store(kReplace, "k", "3", first.cas)).status == 2);
  CHECK(one(client, store(kReplace, "k", "3", second.cas)).status == 0);
  CHECK(one(client, {kGet, "", "k", ""}).value == "3");
}

TEST_CASE("binary append and prepend") {
  Client client;
  CHECK(one(client, {kAppend, "", "k", "x"}).status == 5);
  CHECK(one(client, {kPrepend, "", "k", "x"}).status == 5);
  const Answer stored = one(client, store(kSet, "k", "m", 0, 7));
  CHECK(one(client, {kAppend, "", "k", "z", stored.cas + 1}).status == 2);
  CHECK(one(client, {kAppend, "", "k", "z", stored.cas}).status == 0);
  CHECK(one(client, {kPrepend, "", "k", "a"}).status == 0);
  const Answer got = one(client, {kGet, "", "k", ""});
  CHECK(got.value == "amz");
  CHECK(got.extras == big_endian(7, 4));
}

TEST_CASE("binary delete compares a CAS") {
  Client client;
  CHECK(one(client, {kDelete, "", "k", ""}).status == 1);
  const Answer stored = one(client, store(kSet, "k", "1"));
  CHECK(one(client, {kDelete, "", "k", "", stored.cas + 1}).status == 2);
  const Answer deleted = one(client, {kDelete, "", "k", "", stored.cas});
  CHECK(deleted.status == 0);
  CHECK(deleted.cas == 0);
  CHECK(client.counters()["delete_misses"] == 1);
}

TEST_CASE("binary incr creates unless the exptime forbids it") {
  Client client;
  CHECK(one(client, count(kIncr, "n", 3, 5, 0xffffffff)).status == 1);
  const Answer created = one(client, count(kIncr, "n", 3, 5, 60));
  CHECK(created.status == 0);
  CHECK(created.value == big_endian(5, 8));
  CHECK(created.cas != 0);
  CHECK(client.ask("mg n t v\r\n") == "VA 1 t60\r\n5\r\n");
  const Answer counted = one(client, count(kIncr, "n", 3, 5, 0));
  CHECK(counted.value == big_endian(8, 8));
  CHECK(counted.cas != created.cas);
  CHECK(one(client, count(kDecr, "n", 10, 0, 0)).value == big_endian(0, 8));
  CHECK(one(client, count(kIncr, "n", 1, 0, 0, 12345)).status == 2);
  one(client, store(kSet, "t", "abc"));
  const Answer refused = one(client, count(kIncr, "t", 1, 0, 0));
  CHECK(refused.status == 6);
  CHECK(refused.value == "Non-numeric server-side value for incr or decr");
}

TEST_CASE("binary touch and gat") {
  Client client;
  CHECK(one(client, {kTouchOp, big_endian(10, 4), "k", ""}).status == 1);
  one(client, store(kSet, "k", "v", 0, 3));
  const Answer touched = one(client, {kTouchOp, big_endian(10, 4), "k", ""});
  CHECK(touched.status == 0);
  CHECK(touched.extras == big_endian(3, 4));
  CHECK(touched.value.empty());
  CHECK(client.ask("mg k t\r\n") == "HD t10\r\n");
  const Answer got = one(client, {kGatOp, big_endian(20, 4), "k", ""});
  CHECK(got.value == "v");
  CHECK(got.cas != 0);
  CHECK(one(client, {kGatKOp, big_endian(30, 4), "k", ""}).key == "k");
  CHECK(client.ask("mg k t\r\n") == "HD t30\r\n");
}

TEST_CASE("binary exptimes are unsigned") {
  Client client;
  one(client, store(kSet, "k", "v", 0, 0, 0xfffffff0));  // the year 2106
  CHECK(one(client, {kGet, "", "k", ""}).status == 0);
  one(client, store(kSet, "k", "v", 0, 0, 2592001));  // 1970
  CHECK(one(client, {kGet, "", "k", ""}).status == 1);
}

TEST_CASE("quiet commands report only what went wrong") {
  Client client;
  const std::vector<Answer> all =
      answers(client.ask_binary(request(store(kSetQ, "k", "1")) + request(store(kAddQ, "k", "1")) +
                                request({kDeleteQ, "", "k", ""}) +
                                request({kDeleteQ, "", "k", ""}) + request({kNoop, "", "", ""})));
  REQUIRE(all.size() == 3);
  CHECK(all[0].status == 2);
  CHECK(all[1].status == 1);
  CHECK(all[2].status == 0);
}

#ifndef NDEBUG
// Whether a process ends by an assert that runs such a command alone.
bool asserts(Client& client, proto::Op op) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    close(STDERR_FILENO);
    Command command;
    command.op = op;
    command.key = "k";
    Reply reply;
    (void)client.executor_.run_one(command, reply, client.control_.now_);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST_CASE("reads and stores have calls of their own: to run one alone is a mistake of the caller") {
  Client client;
  for (const proto::Op op :
       {proto::Op::Get, proto::Op::EndOfKeys, proto::Op::Noop, proto::Op::Store}) {
    INFO(static_cast<int>(op));
    CHECK(asserts(client, op));
  }
  for (const proto::Op op : {proto::Op::Crawler, proto::Op::Slabs, proto::Op::Lru,
                             proto::Op::Version, proto::Op::Quit}) {
    INFO(static_cast<int>(op));
    CHECK_FALSE(asserts(client, op));
  }
}
#endif

TEST_CASE("the operator's commands that run alone are answered, and dump nothing") {
  Client client;
  const auto alone = [&](proto::Op op, std::string_view args) {
    Command command;
    command.op = op;
    command.args = args;
    Reply reply;
    REQUIRE(client.executor_.run_one(command, reply, client.control_.now_));
    return reply.status == proto::Status::Error ? reply.error : proto::ErrorId::None;
  };
  CHECK(alone(proto::Op::Crawler, "metadump all") == proto::ErrorId::MetaDumpNotAllowed);
  CHECK(alone(proto::Op::Crawler, "mgdump all") == proto::ErrorId::MgDumpNotAllowed);
  CHECK(client.control_.tuning_.dumps_running == 0);
  CHECK(alone(proto::Op::Crawler, "tocrawl 7") == proto::ErrorId::None);
  CHECK(client.control_.tuning_.crawler_tocrawl == 7);
  CHECK(alone(proto::Op::Slabs, "automove 2") == proto::ErrorId::None);
  CHECK(client.control_.tuning_.automove == 2);
  CHECK(alone(proto::Op::Lru, "mode flat") == proto::ErrorId::None);
  CHECK(alone(proto::Op::Lru, "mode nonsense") == proto::ErrorId::UnknownCommand);
}

TEST_CASE("binary version, flush and stat") {
  Client client;
  CHECK(one(client, {kVersion, "", "", ""}).value == "1.6.45");
  one(client, store(kSet, "k", "1"));
  CHECK(one(client, {kFlush, big_endian(10, 4), "", ""}).status == 0);
  CHECK(client.control_.flush_at_ == client.control_.now_ + 10);
  CHECK(one(client, {kGet, "", "k", ""}).status == 0);
  CHECK(one(client, {kFlush, "", "", ""}).status == 0);
  CHECK(one(client, {kGet, "", "k", ""}).status == 1);
  client.control_.settings_.allow_flush = false;
  CHECK(one(client, {kFlush, "", "", ""}).status == 0x20);
  CHECK(client.counters()["cmd_flush"] == 2);

  for (const char* name :
       {"", "settings", "settings_and_more", "items", "slabs", "sizes", "larder"}) {
    INFO(name);
    const std::vector<Answer> rows = answers(client.ask_binary(request({kStat, "", name, ""})));
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].value == "1");
    CHECK(rows[1].key.empty());
  }
  CHECK(one(client, {kStat, "", "detail on", ""}).status == 0);
  one(client, store(kSet, "p:k", "1"));
  const std::vector<Answer> detail =
      answers(client.ask_binary(request({kStat, "", "detail dump", ""})));
  REQUIRE(detail.size() == 2);
  CHECK(detail[0].key == "detailed");
  CHECK(detail[0].value == "PREFIX p get 0 hit 0 set 1 del 0\r\nEND\r\n");
  CHECK(one(client, {kStat, "", "detail off", ""}).status == 0);
  CHECK_FALSE(client.control_.prefixes_.enabled());
  CHECK(one(client, {kStat, "", "detail", ""}).status == 1);
  CHECK(one(client, {kStat, "", "reset", ""}).status == 0);
  CHECK(client.control_.resets_ == 1);
  CHECK(one(client, {kStat, "", "conns", ""}).status == 1);
  CHECK(one(client, {kStat, "", "set", ""}).status == 1);
}

TEST_CASE("a binary value too large is refused and does away with the old one") {
  Client client;
  one(client, store(kSet, "k", "1"));
  const Answer add = one(client, store(kAdd, "k", std::string(2000000, 'x')));
  CHECK(add.status == 3);
  CHECK(one(client, {kGet, "", "k", ""}).status == 0);
  CHECK(one(client, store(kAdd, "k", std::string(2000000, 'x'), 1)).status == 3);
  CHECK(one(client, store(kReplace, "k", std::string(2000000, 'x'), 1)).status == 3);
  CHECK(one(client, {kGet, "", "k", ""}).status == 0);
  const Answer set = one(client, store(kSet, "k", std::string(2000000, 'x')));
  CHECK(set.status == 3);
  CHECK(set.value == "Too large.");
  CHECK(one(client, {kGet, "", "k", ""}).status == 1);
}

// -- Counters ------------------------------------------------------------------------------------

struct Counted {
  const char* asked;
  std::map<std::string, uint64_t> changes;
};

TEST_CASE("every command counts what it counts in memcached") {
  Client client;
  const std::vector<Counted> steps = {
      {"set a 0 0 1\n1", {{"cmd_set", 1}, {"total_items", 1}}},
      {"get a", {{"cmd_get", 1}, {"get_hits", 1}}},
      {"get a nope a", {{"cmd_get", 3}, {"get_hits", 2}, {"get_misses", 1}}},
      {"gat 0 a", {{"cmd_touch", 1}, {"touch_hits", 1}}},
      {"gat 0 nope", {{"cmd_touch", 1}, {"touch_misses", 1}}},
      {"touch a 0", {{"cmd_touch", 1}, {"touch_hits", 1}}},
      {"touch nope 0", {{"cmd_touch", 1}, {"touch_misses", 1}}},
      {"mg a v", {{"cmd_get", 1}, {"get_hits", 1}, {"cmd_meta", 1}}},
      {"mg nope", {{"cmd_get", 1}, {"get_misses", 1}, {"cmd_meta", 1}}},
      {"mg a T0", {{"cmd_touch", 1}, {"touch_hits", 1}, {"cmd_meta", 1}}},
      {"mg nope T0", {{"cmd_get", 1}, {"get_misses", 1}, {"cmd_meta", 1}}},
      {"mg viv N0", {{"cmd_get", 1}, {"get_hits", 1}, {"total_items", 1}, {"cmd_meta", 1}}},
      {"mg viv N0 v", {{"cmd_get", 1}, {"get_hits", 1}, {"cmd_meta", 1}}},
      {"mg viv T5 N0", {{"cmd_touch", 1}, {"touch_hits", 1}, {"cmd_meta", 1}}},
      {"me a", {{"cmd_meta", 1}}},
      {"me nope", {{"cmd_meta", 1}}},
      {"mn", {{"cmd_meta", 1}}},
      {"ms a 1\n1", {{"cmd_set", 1}, {"total_items", 1}, {"cmd_meta", 1}}},
      {"ms a 1 C1\n1", {{"cmd_set", 1}, {"cas_badval", 1}, {"cmd_meta", 1}}},
      {"ms nope 1 C1\n1", {{"cmd_set", 1}, {"cas_misses", 1}, {"cmd_meta", 1}}},
      {"ms a 1 ME\n1", {{"cmd_set", 1}, {"cmd_meta", 1}}},
      {"ms a 1 MA\n1", {{"cmd_set", 1}, {"total_items", 1}, {"cmd_meta", 1}}},
      {"ms a 1 MA C1\n1", {{"cmd_set", 1}, {"cmd_meta", 1}}},
      {"ms nope 1 MA\n1", {{"cmd_set", 1}, {"cmd_meta", 1}}},
      {"ms appviv 1 MA N0\n1", {{"cmd_set", 1}, {"total_items", 1}, {"cmd_meta", 1}}},
      {"ms a 1 E9\n1", {{"cmd_set", 1}, {"total_items", 1}, {"cmd_meta", 1}}},
      {"ms a 1 C9\n1", {{"cmd_set", 1}, {"total_items", 1}, {"cas_hits", 1}, {"cmd_meta", 1}}},
      {"md a C1", {{"delete_misses", 1}, {"cmd_meta", 1}}},
      {"md a", {{"delete_hits", 1}, {"cmd_meta", 1}}},
      {"md a", {{"delete_misses", 1}, {"cmd_meta", 1}}},
      {"set n 0 0 1\n1", {{"cmd_set", 1}, {"total_items", 1}}},
      {"incr nope 1", {{"incr_misses", 1}}},
      {"decr nope 1", {{"decr_misses", 1}}},
      {"ma nope", {{"incr_misses", 1}, {"cmd_meta", 1}}},
      {"ma nope MD", {{"decr_misses", 1}, {"cmd_meta", 1}}},
      {"ma n C1", {{"cmd_meta", 1}}},
      {"ma vv N0", {{"total_items", 1}, {"cmd_meta", 1}}},
      {"set s 0 0 1\na", {{"cmd_set", 1}, {"total_items", 1}}},
      {"incr s 1", {}},
      {"cas s 0 0 1 1\n1", {{"cmd_set", 1}, {"cas_badval", 1}}},
      {"cas s 0 0 1 0\n1", {{"cmd_set", 1}, {"cas_badval", 1}}},
      {"cas nope 0 0 1 1\n1", {{"cmd_set", 1}, {"cas_misses", 1}}},
      {"add s 0 0 1\n1", {{"cmd_set", 1}}},
      {"replace nope 0 0 1\n1", {{"cmd_set", 1}}},
      {"append s 0 0 1\n1", {{"cmd_set", 1}, {"total_items", 1}}},
      {"append nope 0 0 1\n1", {{"cmd_set", 1}}},
      {"delete s", {{"delete_hits", 1}}},
      {"delete s", {{"delete_misses", 1}}},
      {"set e 0 -1 1\n1", {{"cmd_set", 1}, {"total_items", 1}}},
      {"get e", {{"cmd_get", 1}, {"get_misses", 1}, {"get_expired", 1}}},
      {"set x 0 0 1\n1x", {{"cmd_set", 1}}},
      {"flush_all", {{"cmd_flush", 1}}},
      {"get n", {{"cmd_get", 1}, {"get_misses", 1}, {"get_flushed", 1}}},
      {"flush_all 5", {{"cmd_flush", 1}}},
      {"version", {}},
  };
  const char* const kLookedAt[] = {
      "cmd_get",     "cmd_set",         "cmd_flush",      "cmd_touch",   "cmd_meta",
      "get_hits",    "get_misses",      "get_expired",    "get_flushed", "delete_misses",
      "delete_hits", "incr_misses",     "incr_hits",      "decr_misses", "decr_hits",
      "cas_misses",  "cas_hits",        "cas_badval",     "touch_hits",  "touch_misses",
      "total_items", "store_too_large", "store_no_memory"};
  std::map<std::string, uint64_t> before = client.counters();
  for (const Counted& step : steps) {
    client.ask(Client::with_ends(step.asked));
    const std::map<std::string, uint64_t> after = client.counters();
    std::map<std::string, uint64_t> changes;
    for (const char* key : kLookedAt) {
      if (after.at(key) != before.at(key)) changes[key] = after.at(key) - before.at(key);
    }
    INFO("asked: " << step.asked);
    CHECK(changes == step.changes);
    before = after;
  }
}

TEST_CASE("hits of counters and invalidations count apart from other stores") {
  Client client;
  client.ask("set n 0 0 1\r\n1\r\n");
  const auto before = client.counters();
  client.ask("incr n 1\r\ndecr n 1\r\nma n\r\nma n MD\r\nmd n I\r\nmd n x\r\n");
  auto after = client.counters();
  CHECK(after["incr_hits"] == 2);
  CHECK(after["decr_hits"] == 2);
  CHECK(after["delete_hits"] == 1);  // of the two md the one that blanks
  CHECK(after["cmd_set"] == before.at("cmd_set"));
  client.ask("set big 0 0 2000000\r\n" + std::string(2000000, 'x') + "\r\n");
  after = client.counters();
  CHECK(after["store_too_large"] == 1);
  CHECK(after["cmd_set"] == before.at("cmd_set"));
}

TEST_CASE("what a class counts is found under the class of its items") {
  Client client;
  client.ask("set small 0 0 1\r\n1\r\nset wide 0 0 5000\r\n" + std::string(5000, 'x') + "\r\n");
  client.ask("get small small wide\r\n");
  client.cache_.begin_turn(0);
  core::Probe probes[2] = {{"small", client.cache_.hash("small"), false},
                           {"wide", client.cache_.hash("wide"), false}};
  core::Found found[2];
  client.cache_.lookup(0, probes, found, client.control_.now_);
  REQUIRE(found[0].item != nullptr);
  REQUIRE(found[1].item != nullptr);
  const uint32_t small = client.cache_.class_of(*found[0].item);
  const uint32_t wide = client.cache_.class_of(*found[1].item);
  client.cache_.end_turn(0);
  REQUIRE(small != wide);
  CHECK(client.stats_.classes[small].get_hits.get() == 2);
  CHECK(client.stats_.classes[wide].get_hits.get() == 1);
  CHECK(client.stats_.classes[small].set_cmds.get() == 1);
  CHECK(client.stats_.classes[wide].set_cmds.get() == 1);
}

}  // namespace
}  // namespace larder::daemon
