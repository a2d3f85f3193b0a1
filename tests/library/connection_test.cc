#include "tools/client/connection.h"

#include <poll.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <future>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/library/scripted_server.h"
#include "tests/support/no_descriptors.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"

using namespace larder::client;
using larder::test::NoDescriptors;
using larder::test::Peer;
using larder::test::ScriptedServer;
using larder::test::TempFolder;
using larder::test::TempServer;

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What the client asks where a reply has no opaque.
constexpr std::string_view kBarrier = "md larder-barrier ";

constexpr Dialect kDialects[] = {Dialect::Classic, Dialect::Meta, Dialect::Binary};

Deadline patience() { return steady_clock::now() + larder::test::kPatience; }
Deadline soon() { return steady_clock::now() + milliseconds(30); }

Endpoint at(int port) { return {"127.0.0.1", static_cast<uint16_t>(port), {}}; }

std::unique_ptr<Connection> connected(int port, const ConnectionOptions& options = {}) {
  auto opened = Connection::open(at(port), options, patience());
  INFO((opened.ok() ? "" : opened.error().text));
  REQUIRE(opened.ok());
  return std::move(*opened);
}

std::unique_ptr<Connection> connected(int port, Dialect dialect) {
  ConnectionOptions options;
  options.dialect = dialect;
  return connected(port, options);
}

Answer run_one(Connection& connection, const Operation& operation, Deadline deadline = patience()) {
  Answer answer;
  connection.run({&operation, 1}, {&answer, 1}, deadline);
  return answer;
}

Operation get(std::string_view key) { return {.verb = Verb::Get, .key = key}; }
Operation store(Verb verb, std::string_view key, std::string_view value) {
  return {.verb = verb, .key = key, .value = value};
}

bool failed_with(const Answer& answer, ErrorKind kind) {
  return answer.outcome == Outcome::Failed && answer.error && answer.error->kind == kind;
}

std::string noise(size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// A server of meta: answers each barrier, and each other request with these bytes, until the client
// closes. Values have no line end.
void answer_all(Peer& peer, const std::string& reply) {
  std::string came;
  const auto line = [&] {
    size_t end;
    while ((end = came.find("\r\n")) == came.npos) {
      const std::string some = peer.read_some();
      if (some.empty()) return std::string();
      came += some;
    }
    std::string first = came.substr(0, end);
    came.erase(0, end + 2);
    return first;
  };
  for (std::string request; !(request = line()).empty();) {
    if (request.starts_with("ms ")) line();
    if (request.starts_with("mn")) {
      peer.write("MN\r\n");
    } else {
      request.starts_with(kBarrier) ? peer.answer_barrier() : peer.answer(reply);
    }
  }
}

// Runs one operation against a server that answers it with these bytes and waits.
Answer answered_with(const std::string& bytes, const Operation& operation,
                     ConnectionOptions options = {}, milliseconds limit = milliseconds(200)) {
  ScriptedServer server([&](Peer& peer) {
    peer.read_some();
    peer.answer(bytes);
    peer.read_until_closed();
  });
  auto connection = connected(server.port(), options);
  const Answer answer = run_one(*connection, operation, steady_clock::now() + limit);
  connection.reset();
  return answer;
}

void await_failure(Connection& connection) {
  const Deadline deadline = patience();
  while (!connection.failed() && steady_clock::now() < deadline) connection.advance_by(soon());
}

// Waits for this answer and then gives up, as at a deadline.
void give_up_behind(Connection& connection, const Answer& answer) {
  const Deadline deadline = patience();
  while (answer.outcome == Outcome::Failed && !connection.failed() &&
         steady_clock::now() < deadline) {
    connection.advance_by(soon());
  }
  connection.fail({ErrorKind::Timeout, "did not answer in time"});
}

}  // namespace

TEST_CASE("every operation does in each dialect what it says") {
  TempServer server;
  for (const Dialect dialect : kDialects) {
    CAPTURE(static_cast<int>(dialect));
    const bool tells_cas = dialect != Dialect::Classic;
    auto connection = connected(server.port(), dialect);
    const auto run = [&](const Operation& operation) { return run_one(*connection, operation); };
    run({.verb = Verb::FlushAll});

    CHECK(run(get("a")).outcome == Outcome::Missing);
    CHECK(run(store(Verb::Replace, "a", "x")).outcome == Outcome::NotStored);
    CHECK(run(store(Verb::Append, "a", "x")).outcome == Outcome::NotStored);
    CHECK(run(store(Verb::Prepend, "a", "x")).outcome == Outcome::NotStored);
    Operation set = store(Verb::Set, "a", "one");
    set.client_flags = 4294967295u;
    const Answer stored = run(set);
    CHECK(stored.outcome == Outcome::Done);
    CHECK((stored.cas != 0) == tells_cas);
    CHECK(run(store(Verb::Add, "a", "x")).outcome == Outcome::NotStored);

    const Answer first = run(get("a"));
    CHECK(first.outcome == Outcome::Done);
    CHECK(first.value == "one");
    CHECK(first.client_flags == 4294967295u);
    CHECK(first.cas != 0);
    if (tells_cas) CHECK(first.cas == stored.cas);
    CHECK_FALSE((first.won || first.stale || first.others));

    set.cas = first.cas + 1000;
    CHECK(run(set).outcome == Outcome::Exists);
    set.cas = first.cas;
    CHECK(run(set).outcome == Outcome::Done);
    set.key = "nobody";
    CHECK(run(set).outcome == Outcome::Missing);

    CHECK(run(store(Verb::Append, "a", "!")).outcome == Outcome::Done);
    CHECK(run(store(Verb::Prepend, "a", "?")).outcome == Outcome::Done);
    CHECK(run(get("a")).value == "?one!");
    CHECK(run(store(Verb::Replace, "a", "")).outcome == Outcome::Done);
    const Answer empty = run(get("a"));
    CHECK(empty.outcome == Outcome::Done);
    CHECK(empty.value.empty());

    CHECK(run({.verb = Verb::Touch, .key = "a", .exptime = 100}).outcome == Outcome::Done);
    CHECK(run({.verb = Verb::Touch, .key = "b", .exptime = 100}).outcome == Outcome::Missing);
    CHECK(run({.verb = Verb::Get, .key = "b", .exptime = 100, .touch = true}).outcome ==
          Outcome::Missing);
    // Touched into the past.
    CHECK(run({.verb = Verb::Get, .key = "a", .exptime = -1, .touch = true}).outcome ==
          Outcome::Done);
    CHECK(run(get("a")).outcome == Outcome::Missing);

    CHECK(run({.verb = Verb::Increment, .key = "n"}).outcome == Outcome::Missing);
    run(store(Verb::Set, "n", "18446744073709551614"));
    CHECK(run({.verb = Verb::Increment, .key = "n"}).number == 18446744073709551615u);
    CHECK(run({.verb = Verb::Decrement, .key = "n", .delta = 15}).number == 18446744073709551600u);
    const Answer counted = run({.verb = Verb::Decrement, .key = "n", .delta = ~uint64_t{0}});
    CHECK(counted.outcome == Outcome::Done);
    CHECK(counted.number == 0);
    CHECK(counted.value.empty());
    run(store(Verb::Set, "w", "word"));
    CHECK(failed_with(run({.verb = Verb::Increment, .key = "w"}), ErrorKind::Refused));

    const uint64_t cas = run(get("w")).cas;
    if (tells_cas) {
      CHECK(run({.verb = Verb::Delete, .key = "w", .cas = cas + 1000}).outcome == Outcome::Exists);
      CHECK(run({.verb = Verb::Delete, .key = "w", .cas = cas}).outcome == Outcome::Done);
    } else {
      CHECK(
          failed_with(run({.verb = Verb::Delete, .key = "w", .cas = cas}), ErrorKind::BadRequest));
      CHECK(run({.verb = Verb::Delete, .key = "w"}).outcome == Outcome::Done);
    }
    CHECK(run({.verb = Verb::Delete, .key = "w"}).outcome == Outcome::Missing);

    CHECK_FALSE(run({.verb = Verb::Version}).value.empty());
    CHECK(run({.verb = Verb::Noop}).outcome == Outcome::Done);
    run(store(Verb::Set, "f", "x"));
    CHECK(run({.verb = Verb::FlushAll, .exptime = 100}).outcome == Outcome::Done);
    CHECK(run(get("f")).outcome == Outcome::Done);
    CHECK(run({.verb = Verb::FlushAll}).outcome == Outcome::Done);
    CHECK(run(get("f")).outcome == Outcome::Missing);
    CHECK(connection->idle());
    CHECK_FALSE(connection->failed());
    CHECK_FALSE(connection->is_stale());
  }
}

TEST_CASE("a counter is created with its first number, but not in classic") {
  TempServer server;
  const Operation count{
      .verb = Verb::Increment, .key = "n", .exptime = 100, .delta = 5, .initial = 40};
  auto classic = connected(server.port(), Dialect::Classic);
  CHECK(failed_with(run_one(*classic, count), ErrorKind::BadRequest));
  for (const Dialect dialect : {Dialect::Meta, Dialect::Binary}) {
    auto connection = connected(server.port(), dialect);
    run_one(*connection, {.verb = Verb::Delete, .key = "n"});
    CHECK(run_one(*connection, count).number == 40);
    CHECK(run_one(*connection, count).number == 45);
    // At once expired, and created all the same.
    Operation gone = count;
    gone.key = "gone";
    gone.exptime = -1;
    CHECK(run_one(*connection, gone).number == 40);
    CHECK(run_one(*connection, get("gone")).outcome == Outcome::Missing);
  }
}

TEST_CASE("one of many wins what is missing, stale, or about to expire") {
  TempServer server;
  auto connection = connected(server.port(), Dialect::Meta);
  const auto run = [&](const Operation& operation) { return run_one(*connection, operation); };
  const Operation vivify{.verb = Verb::Get, .key = "k", .vivify_seconds = 30};
  const Answer first = run(vivify);
  CHECK(first.outcome == Outcome::Done);
  CHECK(first.won);
  CHECK(first.value.empty());
  const Answer second = run(vivify);
  CHECK_FALSE(second.won);
  CHECK(second.others);

  run({.verb = Verb::Set, .key = "k", .value = "v", .exptime = 20});
  CHECK_FALSE(run({.verb = Verb::Get, .key = "k", .recache_seconds = 10}).won);
  CHECK(run({.verb = Verb::Get, .key = "k", .recache_seconds = 30}).won);

  run({.verb = Verb::Set, .key = "s", .value = "old"});
  CHECK(run({.verb = Verb::Delete, .key = "s", .exptime = 30, .invalidate = true}).outcome ==
        Outcome::Done);
  const Answer stale = run(get("s"));
  CHECK(stale.value == "old");
  CHECK(stale.stale);
  CHECK(stale.won);
  CHECK(run(get("s")).others);
  CHECK(run({.verb = Verb::Delete, .key = "s", .invalidate = true, .keep_expiry = true}).outcome ==
        Outcome::Done);
  CHECK(run(get("s")).won);
  CHECK(failed_with(run({.verb = Verb::Delete, .key = "s", .keep_expiry = true}),
                    ErrorKind::BadRequest));

  for (const Dialect dialect : {Dialect::Classic, Dialect::Binary}) {
    auto other = connected(server.port(), dialect);
    CHECK(failed_with(run_one(*other, vivify), ErrorKind::BadRequest));
    CHECK(failed_with(run_one(*other, {.verb = Verb::Delete, .key = "s", .invalidate = true}),
                      ErrorKind::BadRequest));
  }
}

TEST_CASE("keys of any bytes go where the dialect can carry them") {
  TempServer server;
  const std::string odd("a b\0\r\n\x7f\xff", 8);
  const std::string high = "schl\xc3\xbcssel";
  const std::string long_high(250, '\xe9');
  for (const Dialect dialect : {Dialect::Meta, Dialect::Binary}) {
    auto connection = connected(server.port(), dialect);
    for (const std::string& key : {odd, high, long_high, odd + std::string(178, ' ')}) {
      run_one(*connection, store(Verb::Set, key, "v" + key));
      CHECK(run_one(*connection, get(key)).value == "v" + key);
      CHECK(run_one(*connection, {.verb = Verb::Touch, .key = key}).outcome == Outcome::Done);
      run_one(*connection, store(Verb::Set, key, "1"));
      CHECK(run_one(*connection, {.verb = Verb::Increment, .key = key}).number == 2);
    }
  }
  // All see the same item.
  auto classic = connected(server.port(), Dialect::Classic);
  CHECK(run_one(*classic, get(high)).value == "2");
  auto meta = connected(server.port(), Dialect::Meta);
  CHECK(run_one(*meta, {.verb = Verb::Delete, .key = high}).outcome == Outcome::Done);
  CHECK(run_one(*classic, get(high)).outcome == Outcome::Missing);

  CHECK(failed_with(run_one(*classic, get(odd)), ErrorKind::BadRequest));
  CHECK(failed_with(run_one(*meta, get(odd + std::string(179, ' '))), ErrorKind::BadRequest));
  for (const Dialect dialect : kDialects) {
    auto connection = connected(server.port(), dialect);
    CHECK(failed_with(run_one(*connection, get("")), ErrorKind::BadRequest));
    CHECK(failed_with(run_one(*connection, get(std::string(251, 'k'))), ErrorKind::BadRequest));
    CHECK(run_one(*connection, get(std::string(250, 'k'))).outcome == Outcome::Missing);
  }
}

TEST_CASE("what cannot be asked is answered at its place, and the others go on") {
  TempServer server;
  for (const Dialect dialect : kDialects) {
    auto connection = connected(server.port(), dialect);
    const Operation operations[] = {get(""), store(Verb::Set, "k", "v"), get(""), get("k"),
                                    get("")};
    std::vector<Answer> answers(std::size(operations));
    connection->run(operations, answers, patience());
    CHECK(failed_with(answers[0], ErrorKind::BadRequest));
    CHECK(answers[1].outcome == Outcome::Done);
    CHECK(failed_with(answers[2], ErrorKind::BadRequest));
    CHECK(answers[3].value == "v");
    CHECK(failed_with(answers[4], ErrorKind::BadRequest));
    // Nothing but those.
    connection->run({operations, 1}, {answers.data(), 1}, patience());
    CHECK(failed_with(answers[0], ErrorKind::BadRequest));
    connection->run({}, {}, patience());
    CHECK(connection->idle());
    CHECK(run_one(*connection, get("k")).value == "v");
  }
}

TEST_CASE("a server's refusal fails its own operation only") {
  larder::daemon::Settings settings = larder::test::loopback_settings();
  TempServer server(settings);
  const std::string large(4u << 20, 'x');
  for (const Dialect dialect : kDialects) {
    auto connection = connected(server.port(), dialect);
    const Operation operations[] = {store(Verb::Set, "large", large), store(Verb::Set, "k", "v"),
                                    get("k")};
    std::vector<Answer> answers(3);
    connection->run(operations, answers, patience());
    CHECK(failed_with(answers[0], ErrorKind::Refused));
    CHECK(answers[0].error->text.find("oo large") != std::string::npos);
    CHECK_FALSE(answers[0].in_doubt);
    CHECK(answers[1].outcome == Outcome::Done);
    CHECK(answers[2].value == "v");
  }
}

TEST_CASE(
    "gets that follow each other share a line in classic, and what it leaves out is missing") {
  std::string asked;
  std::optional<ScriptedServer> server;
  server.emplace([&](Peer& peer) {
    // At once, and then byte by byte.
    for (int round = 0; round < 2; ++round) {
      while (!asked.ends_with("gets a\r\n")) {
        const std::string some = peer.read_some();
        if (some.empty()) return;
        asked += some;
      }
      const std::string reply =
          "VALUE b 7 1 10\r\nB\r\nVALUE d 0 0 11\r\n\r\nEND\r\nEND\r\nSTORED\r\n"
          "VALUE a 0 1 12\r\nA\r\nEND\r\n";
      for (size_t i = 0; i < reply.size(); i += round == 0 ? reply.size() : 1) {
        peer.write(std::string_view(reply).substr(i, round == 0 ? reply.size() : 1));
      }
      asked += "|";
    }
    peer.read_until_closed();
  });
  auto connection = connected(server->port(), Dialect::Classic);
  for (int round = 0; round < 2; ++round) {
    const Operation operations[] = {get("a"),
                                    get("b"),
                                    get(""),
                                    get("c"),
                                    get("d"),
                                    get("e"),
                                    {.verb = Verb::Get, .key = "f", .exptime = 5, .touch = true},
                                    store(Verb::Set, "a", "A"),
                                    get("a")};
    std::vector<Answer> answers(std::size(operations));
    connection->run(operations, answers, patience());
    const Outcome expected[] = {Outcome::Missing, Outcome::Done, Outcome::Failed,
                                Outcome::Missing, Outcome::Done, Outcome::Missing,
                                Outcome::Missing, Outcome::Done, Outcome::Done};
    for (size_t i = 0; i < answers.size(); ++i) {
      CAPTURE(round, i);
      CHECK(answers[i].outcome == expected[i]);
    }
    CHECK(answers[1].value == "B");
    CHECK(answers[1].client_flags == 7);
    CHECK(answers[1].cas == 10);
    CHECK(answers[4].cas == 11);
    CHECK(answers[8].value == "A");
    CHECK(connection->idle());
    CHECK_FALSE(connection->failed());
  }
  connection.reset();
  server.reset();  // and with it the thread that writes `asked`
  const std::string once = "gets a b c d e\r\ngats 5 f\r\nset a 0 0 1\r\nA\r\ngets a\r\n";
  CHECK(asked == once + "|" + once + "|");
}

TEST_CASE("a line's keys that come in another order, twice or unasked are a protocol error") {
  ConnectionOptions options;
  options.dialect = Dialect::Classic;
  const std::string a = "VALUE a 0 1 1\r\nA\r\n";
  const std::string b = "VALUE b 0 1 2\r\nB\r\n";
  struct Case {
    std::string bytes;
    size_t good;  // answers that came before, without the last value: no reply proves it
    ErrorKind kind;
  };
  for (const Case& c :
       {Case{b + a + "END\r\n", 1, ErrorKind::Protocol},
        Case{a + a + "END\r\n", 0, ErrorKind::Protocol},
        Case{"VALUE x 0 1 1\r\nX\r\nEND\r\n", 0, ErrorKind::Protocol},
        Case{a + "STORED\r\n", 0, ErrorKind::Protocol},
        Case{a + "SERVER_ERROR out of memory writing get response\r\n", 0, ErrorKind::Closed},
        Case{"CLIENT_ERROR unauthenticated\r\n", 0, ErrorKind::Denied},
        Case{a + b + "VALUE c 0 1 3\r\nC\r\nSERVER_ERROR out of memory\r\n", 2, ErrorKind::Refused},
        Case{a + b + "VALUE c 0 1 3\r\nC\r\nVALUE d 0 1 3\r\nD\r\nEND\r\n", 2, ErrorKind::Protocol},
        Case{a, 0, ErrorKind::Timeout}}) {
    CAPTURE(c.bytes);
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.write(c.bytes);
      peer.read_until_closed();
    });
    auto connection = connected(server.port(), options);
    const Operation operations[] = {get("a"), get("b"), get("c")};
    std::vector<Answer> answers(3);
    connection->run(operations, answers, c.kind == ErrorKind::Timeout ? soon() : patience());
    CHECK(connection->failed());
    for (size_t i = 0; i < answers.size(); ++i) {
      CAPTURE(i);
      CHECK((answers[i].outcome != Outcome::Failed) == (i < c.good));
      if (i == c.good) CHECK(failed_with(answers[i], c.kind));
      if (i > c.good) CHECK(answers[i].error);
    }
    connection.reset();
  }
}

TEST_CASE("gets that were submitted apart, the same key again, and very many are told apart") {
  TempServer server;
  for (const Dialect dialect : kDialects) {
    auto connection = connected(server.port(), dialect);
    std::vector<std::string> keys;
    for (int i = 0; i < 5000; ++i) keys.push_back("key" + std::to_string(i % 3000));
    for (int i = 0; i < 3000; i += 3) {
      const std::string& key = keys[static_cast<size_t>(i)];
      run_one(*connection, store(Verb::Set, key, "value of " + key));
    }
    std::vector<Operation> operations;
    for (const std::string& key : keys) operations.push_back(get(key));
    std::vector<Answer> answers(operations.size());
    const std::span<const Operation> all = operations;
    connection->submit(all.subspan(0, 10), std::span(answers).subspan(0, 10));
    connection->submit(all.subspan(10, 1), std::span(answers).subspan(10, 1));
    connection->submit(all.subspan(11), std::span(answers).subspan(11));
    const Deadline deadline = patience();
    while (!connection->idle() && steady_clock::now() < deadline) connection->advance_by(deadline);
    for (size_t i = 0; i < keys.size(); ++i) {
      CAPTURE(i);
      const bool is_there = i % 3000 % 3 == 0;
      REQUIRE(answers[i].outcome == (is_there ? Outcome::Done : Outcome::Missing));
      REQUIRE(answers[i].value == (is_there ? "value of " + keys[i] : ""));
    }
  }
}

TEST_CASE("values of all sizes come back as they went, many at once") {
  larder::daemon::Settings settings = larder::test::loopback_settings();
  settings.item_size_max = 16u << 20;
  settings.memory_bytes = size_t{512} << 20;
  TempServer server(settings);
  for (const Dialect dialect : kDialects) {
    auto connection = connected(server.port(), dialect);
    std::vector<std::string> keys;
    std::vector<std::string> values;
    unsigned seed = 0;
    for (const size_t bytes : {0, 1, 2, 1023, 1024, 1025, 2047, 2048, 32767, 32768, 32769, 65536,
                               262143, 262144, 262145, 1 << 20, 9 << 20}) {
      keys.push_back("size" + std::to_string(bytes));
      values.push_back(noise(bytes, ++seed));
    }
    std::vector<Operation> operations;
    for (size_t i = 0; i < keys.size(); ++i) {
      operations.push_back(store(Verb::Set, keys[i], values[i]));
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      operations.push_back(get(keys[i]));
      operations.push_back(get("missing"));
    }
    std::vector<Answer> answers(operations.size());
    connection->run(operations, answers, patience());
    for (size_t i = 0; i < keys.size(); ++i) {
      INFO(keys[i]);
      CHECK(answers[i].outcome == Outcome::Done);
      const Answer& got = answers[keys.size() + 2 * i];
      CHECK(got.outcome == Outcome::Done);
      CHECK((got.value == values[i]));
      CHECK(answers[keys.size() + 2 * i + 1].outcome == Outcome::Missing);
    }
  }
}

TEST_CASE("a pipeline larger than all socket buffers neither stops nor mixes up its answers") {
  TempServer server;
  for (const Dialect dialect : kDialects) {
    auto connection = connected(server.port(), dialect);
    const std::string value(20000, 'v');
    run_one(*connection, store(Verb::Set, "k", value));
    run_one(*connection, store(Verb::Set, "n", "0"));
    std::vector<Operation> operations;
    for (int i = 0; i < 3000; ++i) {
      operations.push_back(get("k"));
      operations.push_back({.verb = Verb::Increment, .key = "n"});
      operations.push_back(store(Verb::Set, "other", value));
    }
    std::vector<Answer> answers(operations.size());
    connection->run(operations, answers, patience());
    size_t wrong = 0;
    for (size_t i = 0; i < answers.size(); i += 3) {
      wrong += answers[i].value != value;
      wrong += answers[i + 1].number != i / 3 + 1;
      wrong += answers[i + 2].outcome != Outcome::Done;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("one thread waits for several servers and several submits at once") {
  TempServer servers[2];
  for (const Dialect dialect : kDialects) {
    std::unique_ptr<Connection> connections[2];
    const std::string value(300000, 'v');
    const Operation first[] = {store(Verb::Set, "k", value), get("k")};
    const Operation second[] = {get("k"), get(""), get("k")};
    Answer first_answers[2][2];
    Answer second_answers[2][3];
    for (int i = 0; i < 2; ++i) {
      connections[i] = connected(servers[i].port(), dialect);
      CHECK(connections[i]->idle());
      connections[i]->submit(first, first_answers[i]);
      connections[i]->submit(second, second_answers[i]);
      CHECK_FALSE(connections[i]->idle());
      CHECK((connections[i]->events() & POLLOUT) != 0);
    }
    const Deadline end = patience();
    while (!connections[0]->idle() || !connections[1]->idle()) {
      REQUIRE(steady_clock::now() < end);
      pollfd entries[2];
      for (int i = 0; i < 2; ++i) {
        const bool idle = connections[i]->idle();
        entries[i] = {idle ? -1 : connections[i]->fd(), connections[i]->events(), 0};
      }
      REQUIRE(poll(entries, 2, 10000) > 0);
      for (int i = 0; i < 2; ++i) {
        if (entries[i].revents != 0) connections[i]->advance(end);
      }
    }
    for (int i = 0; i < 2; ++i) {
      CHECK((first_answers[i][1].value == value));
      CHECK((second_answers[i][0].value == value));
      CHECK(failed_with(second_answers[i][1], ErrorKind::BadRequest));
      CHECK((second_answers[i][2].value == value));
    }
  }
}

TEST_CASE("a Unix socket is as good as a port") {
  const TempFolder folder;
  larder::daemon::Settings settings = larder::test::loopback_settings();
  settings.unix_socket = folder.file("socket");
  TempServer server(settings);
  const Endpoint endpoint{"", 0, settings.unix_socket};
  CHECK(endpoint.text() == settings.unix_socket);
  auto opened = Connection::open(endpoint, {}, patience());
  REQUIRE(opened.ok());
  CHECK(run_one(**opened, store(Verb::Set, "k", "v")).outcome == Outcome::Done);
  CHECK(run_one(**opened, get("k")).value == "v");

  const auto missing = Connection::open({"", 0, folder.file("nothing")}, {}, patience());
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().kind == ErrorKind::Unreachable);
  const auto too_long = Connection::open({"", 0, std::string(300, 'x')}, {}, patience());
  REQUIRE_FALSE(too_long.ok());
  CHECK(too_long.error().kind == ErrorKind::BadRequest);
}

TEST_CASE("operations that have no answer to be written to are not sent") {
  TempServer server;
  auto opened = Connection::open(at(server.port()), {}, patience());
  REQUIRE(opened.ok());
  const Operation operations[] = {store(Verb::Set, "a", "v"), store(Verb::Set, "b", "v")};
  Answer answer;
  (*opened)->run(operations, {&answer, 1}, patience());
  REQUIRE(answer.error);
  CHECK(answer.error->kind == ErrorKind::BadRequest);
  CHECK((*opened)->is_in_step());
  CHECK(run_one(**opened, get("a")).outcome == Outcome::Missing);
}

TEST_CASE("where nobody listens the error names the place") {
  int port = 0;
  {
    ScriptedServer gone([](Peer&) {});
    port = gone.port();
  }
  const auto refused = Connection::open(at(port), {}, patience());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().kind == ErrorKind::Unreachable);
  CHECK(refused.error().text.find(at(port).text()) != std::string::npos);
  CHECK(refused.error().is_of_the_network());

  const auto unknown = Connection::open({"no-such-host.invalid", 11211, {}}, {}, patience());
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().kind == ErrorKind::Unreachable);
  CHECK(Endpoint{"::1", 11211, {}}.text() == "[::1]:11211");
}

// -- Servers that are none.

TEST_CASE("a server that says nothing, or half of it, is a timeout, and the connection is over") {
  for (const Dialect dialect : kDialects) {
    for (const std::string half : {"", "VALUE k 0 5\r\nab", "VA 5 f0 c1 O?\r\nabcde", "EN", "\x81",
                                   "VALUE k 0 5\r\nabcde\r\nEN"}) {
      CAPTURE(half);
      ConnectionOptions options;
      options.dialect = dialect;
      const bool fits = half.empty() || (half[0] == '\x81') == (dialect == Dialect::Binary);
      if (!fits || (half[0] == 'V' && (half[2] == 'L') != (dialect == Dialect::Classic))) continue;
      ScriptedServer server([&](Peer& peer) {
        peer.read_some();
        peer.answer(half);
        peer.read_until_closed();
      });
      auto connection = connected(server.port(), options);
      const Operation operations[] = {get("k"), get("k")};
      Answer answers[2];
      const auto begin = steady_clock::now();
      connection->run(operations, answers, soon());
      CHECK(steady_clock::now() - begin >= milliseconds(29));
      // The value may have lost its tail, as long as no reply follows.
      CHECK(failed_with(answers[0], ErrorKind::Timeout));
      CHECK(failed_with(answers[1], ErrorKind::Timeout));
      CHECK(answers[0].value.empty());
      CHECK(connection->failed());
      CHECK(connection->is_stale());
      CHECK(failed_with(run_one(*connection, get("k")), ErrorKind::Timeout));
    }
  }
}

TEST_CASE("a miss is not taken for the reply to a request that servers do not answer so") {
  ConnectionOptions classic;
  classic.dialect = Dialect::Classic;
  const Operation replace = {.verb = Verb::Set, .key = "k", .value = "v", .cas = 7};
  const Operation winner = {.verb = Verb::Get, .key = "k", .vivify_seconds = 5};
  for (const Operation& operation :
       {store(Verb::Set, "k", "v"), store(Verb::Add, "k", "v"), store(Verb::Append, "k", "v"),
        replace, winner, Operation{.verb = Verb::Delete, .key = "k"},
        Operation{.verb = Verb::Increment, .key = "k"}}) {
    CAPTURE(static_cast<int>(operation.verb));
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.answer("EN\r\n");  // which shows that misses have no opaque here
      peer.read_some();
      peer.answer("EN\r\n");
      peer.read_until_closed();
    });
    auto connection = connected(server.port());
    REQUIRE(run_one(*connection, get("x")).outcome == Outcome::Missing);
    const Answer answer = run_one(*connection, operation);
    CHECK(failed_with(answer, ErrorKind::Protocol));
    CHECK(answer.in_doubt);
    connection.reset();
  }
  for (const Verb verb : {Verb::Set, Verb::Add, Verb::Replace, Verb::Append, Verb::Prepend}) {
    CAPTURE(static_cast<int>(verb));
    const Answer answer =
        answered_with("NOT_FOUND\r\n", store(verb, "k", "v"), classic, larder::test::kPatience);
    CHECK(failed_with(answer, ErrorKind::Protocol));
    CHECK(answer.in_doubt);
  }
  CHECK(answered_with("NOT_FOUND\r\n", replace, classic, larder::test::kPatience).outcome ==
        Outcome::Missing);
  const Operation touch = {.verb = Verb::Touch, .key = "k"};
  CHECK(answered_with("EN\r\n", touch, {}, larder::test::kPatience).outcome == Outcome::Missing);
}

TEST_CASE("garbage is a protocol error, whatever it is") {
  ConnectionOptions classic;
  classic.dialect = Dialect::Classic;
  for (const std::string& bytes :
       {std::string("HTTP/1.1 400 Bad Request\r\n"), std::string("STORED\r\n"),
        std::string("VA 1\r\nx\r\n"), std::string("VALUE other 0 1\r\nx\r\nEND\r\n"),
        std::string("VALUE k 0 1\r\nxx\r\nEND\r\n"), std::string("VALUE k 0 -1\r\n"),
        std::string("VALUE k 0 99999999999\r\n"), std::string("VALUE k\r\n"),
        std::string("VALUE k 0 1\r\nx\r\nVALUE k 0 1\r\nx\r\nEND\r\n"), std::string("5\r\n"),
        std::string("\r\n"), std::string(1, '\0') + "\n", std::string(5000, 'x'),
        std::string("END\r\nEND\r\n")}) {
    CAPTURE(bytes);
    const Answer answer = answered_with(bytes, get("k"), classic);
    // What comes behind a miss fails the connection, not the answer.
    if (bytes == "END\r\nEND\r\n") {
      CHECK(answer.outcome == Outcome::Missing);
    } else {
      CHECK(failed_with(answer, ErrorKind::Protocol));
    }
  }
  for (const std::string& bytes :
       {std::string("HD O?\r\n"), std::string("END\r\n"), std::string("VA\r\n"),
        std::string("VA x O?\r\n"), std::string("VA 1 fx O?\r\nx\r\n"),
        std::string("VA 1 c O?\r\nx\r\n"), std::string("NS O?\r\n"), std::string("MN\r\n"),
        std::string("VA 1\r\nx\r\n"), std::string("VA 1 O\r\nx\r\n"),
        std::string("VA 1 O000000\r\nx\r\n"), std::string("EN O000000\r\n"),
        std::string("VA 1 O?\r\nx\r\n"), std::string("VA 1 f0 O?\r\nx\r\n"),
        std::string("VA 1 c1 O?\r\nx\r\n"), std::string("STORED\r\n")}) {
    CAPTURE(bytes);
    CHECK(failed_with(answered_with(bytes, get("k")), ErrorKind::Protocol));
  }
  const Operation count{.verb = Verb::Increment, .key = "k"};
  for (const std::string number :
       {"VA 0 c1 O?\r\n\r\n", "VA 1 c1 O?\r\nx\r\n", "VA 2 c1 O?\r\n-1\r\n",
        "VA 21 c1 O?\r\n000000000000000000001\r\n", "HD c1 O?\r\n", "VA 1 O?\r\n7\r\n"}) {
    CAPTURE(number);
    CHECK(failed_with(answered_with(number, count), ErrorKind::Protocol));
  }
  CHECK(answered_with("VA 1 c0 O?\r\n7\r\n", count).number == 7);
}

TEST_CASE("a meta store without the version that was asked for is not believed") {
  for (const std::string version : {"", " c0", " c5"}) {
    CAPTURE(version);
    ScriptedServer server([&](Peer& peer) { answer_all(peer, "HD O?" + version + "\r\n"); });
    auto connection = connected(server.port());
    const Answer answer = run_one(*connection, store(Verb::Set, "k", "v"));
    CHECK(answer.outcome == (version.empty() ? Outcome::Failed : Outcome::Done));
    CHECK(answer.in_doubt == version.empty());
    connection.reset();
  }
}

TEST_CASE("a server cannot make the client hold more than was agreed on") {
  ConnectionOptions options;
  options.most_value_bytes = 1000;
  CHECK(answered_with("VA 1000 f0 c1 O?\r\n" + std::string(1000, 'v') + "\r\n", get("k"), options)
            .value.size() == 1000);
  CHECK(failed_with(answered_with("VA 1001 f0 c1 O?\r\n", get("k"), options), ErrorKind::TooLarge));

  ScriptedServer server([](Peer& peer) {
    peer.read_some();
    const std::string line = "STAT a " + std::string(90, 'x') + "\r\n";
    while (peer.write(line)) {
    }
  });
  auto connection = connected(server.port(), options);
  const std::string_view ends[] = {"END"};
  const auto reply = connection->ask("stats", ends, patience());
  REQUIRE_FALSE(reply.ok());
  CHECK(reply.error().kind == ErrorKind::Protocol);
  CHECK(connection->failed());
}

TEST_CASE("a server that closes leaves an error with every answer that has not come") {
  for (const bool in_the_middle : {false, true}) {
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.answer(in_the_middle ? "EN O?\r\nVA 10 f0 c1 O?\r\nabc" : "EN O?\r\n");
    });
    auto connection = connected(server.port());
    const Operation operations[] = {get("a"), get("b"), get("c")};
    Answer answers[3];
    connection->run(operations, answers, patience());
    CHECK(answers[0].outcome == Outcome::Missing);
    CHECK(failed_with(answers[1], ErrorKind::Closed));
    CHECK(failed_with(answers[2], ErrorKind::Closed));
    CHECK(connection->failure()->kind == ErrorKind::Closed);
    CHECK(connection->failure()->text.find(connection->endpoint().text()) == 0);
  }
}

TEST_CASE("a connection that the server closed while it was idle is stale, and no signal comes") {
  ScriptedServer server([](Peer& peer) {
    peer.read_some();
    peer.write("EN\r\n");
  });
  auto connection = connected(server.port());
  CHECK_FALSE(connection->is_stale());
  CHECK(run_one(*connection, get("k")).outcome == Outcome::Missing);
  CHECK(larder::test::eventually([&] { return connection->is_stale(); }));
  const std::string large(1 << 20, 'x');
  // The first may still go to a socket that then says that it is closed; SIGPIPE would end us.
  const Operation twice[] = {store(Verb::Set, "k", large), store(Verb::Set, "k", large)};
  Answer answers[2];
  connection->run(twice, answers, patience());
  CHECK(failed_with(answers[0], ErrorKind::Closed));
  CHECK(failed_with(answers[1], ErrorKind::Closed));
}

TEST_CASE("what comes before it is asked for makes a connection stale") {
  ScriptedServer server([](Peer& peer) {
    peer.write("EN\r\n");
    peer.read_until_closed();
  });
  auto connection = connected(server.port());
  CHECK(larder::test::eventually([&] { return connection->is_stale(); }));
}

TEST_CASE("a server that is full has done nothing, in any dialect, and is not waited for") {
  for (const Dialect dialect : kDialects) {
    ScriptedServer server([](Peer& peer) {
      peer.write("ERROR Too many open connections\r\n");
      peer.read_until_closed();
    });
    auto connection = connected(server.port(), dialect);
    const Operation operations[] = {store(Verb::Set, "k", "v"), get("k")};
    Answer answers[2];
    connection->run(operations, answers, patience());
    for (const Answer& answer : answers) {
      CHECK(failed_with(answer, ErrorKind::Unreachable));
      CHECK_FALSE(answer.in_doubt);
      REQUIRE(answer.error);
      CHECK(answer.error->text.find("Too many open connections") != std::string::npos);
    }
    CHECK(connection->take_lingering().empty());
  }
}

TEST_CASE("a refusal leaves doubt, but for those after which no older value is left") {
  struct Case {
    Verb verb;
    std::string refusal;
    bool in_doubt;
  };
  for (const Case& c : {Case{Verb::Set, "SERVER_ERROR object too large for cache", false},
                        Case{Verb::Set, "SERVER_ERROR out of memory storing object", false},
                        Case{Verb::Set, "SERVER_ERROR backend is down", true},
                        Case{Verb::Set, "ERROR Too many open connections, says a proxy", true},
                        Case{Verb::Append, "SERVER_ERROR out of memory storing object", true},
                        Case{Verb::Delete, "SERVER_ERROR backend is down", true},
                        Case{Verb::Increment,
                             "CLIENT_ERROR cannot increment or decrement non-numeric value", false},
                        Case{Verb::Increment, "SERVER_ERROR out of memory", true}}) {
    CAPTURE(c.refusal);
    ScriptedServer server([&](Peer& peer) { answer_all(peer, c.refusal + "\r\n"); });
    auto connection = connected(server.port());
    const Operation operations[] = {{.verb = Verb::Noop},
                                    {.verb = c.verb, .key = "k", .value = "value"}};
    Answer answers[2];
    connection->run(operations, answers, patience());
    CHECK(failed_with(answers[1], ErrorKind::Refused));
    CHECK(answers[1].in_doubt == c.in_doubt);
    connection.reset();
  }
}

TEST_CASE("a refusal that comes twice is not taken for that of the next write") {
  const std::string refusal = "SERVER_ERROR object too large for cache\r\n";
  const std::string stored = "HD c1 O?\r\n";
  struct Case {
    std::string before;   // that the barrier is read
    std::string instead;  // of its reply
  };
  for (const Case& c :
       {Case{refusal, stored + "NF O?\r\n"}, Case{refusal + stored, "NF O?\r\n"}, Case{refusal, ""},
        Case{refusal, "MN\r\n"}, Case{refusal, "SERVER_ERROR proxy is full\r\n"}}) {
    CAPTURE(c.before, c.instead);
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.answer("EN O?\r\n");
      peer.read_some();
      peer.answer(c.before);
      if (c.before == refusal) peer.read_some();
      if (c.instead.empty()) return;
      peer.answer(c.instead);
      peer.read_until_closed();
    });
    auto connection = connected(server.port());
    REQUIRE(run_one(*connection, get("k")).outcome == Outcome::Missing);
    const Answer answer = run_one(*connection, store(Verb::Set, "k", "new"));
    CHECK(answer.outcome == Outcome::Failed);
    CHECK(answer.in_doubt);
    CHECK(connection->failed());
    CHECK(connection->take_lingering().size() == 1);
    connection.reset();
  }
}

TEST_CASE("an OK that comes twice is not taken for that of the next flush_all") {
  struct Case {
    std::string before;  // that the barrier is read
    std::string then;
    bool is_good;
  };
  for (const Case& c :
       {Case{"OK\r\n", "NF O?\r\n", true}, Case{"OK\r\n", "EX O?\r\n", true},
        Case{"OK\r\n", "HD O?\r\n", false}, Case{"OK\r\n", "MN\r\n", false},
        Case{"OK\r\n", "NF O!\r\n", false}, Case{"OK\r\n", "NF\r\n", false},
        Case{"OK\r\n", "OK\r\nNF O?\r\n", false}, Case{"OK\r\nOK\r\n", "NF O?\r\n", false},
        Case{"OK\r\n", "", false}, Case{"OK\r\n", "ERROR\r\n", false}}) {
    CAPTURE(c.before, c.then);
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.answer("EN O?\r\n");
      peer.read_some();
      peer.answer(c.before);
      if (c.before == "OK\r\n") peer.read_some();
      if (c.then.empty()) return;
      peer.answer(c.then);
      peer.read_until_closed();
    });
    auto connection = connected(server.port());
    REQUIRE(run_one(*connection, get("k")).outcome == Outcome::Missing);
    const Answer answer = run_one(*connection, {.verb = Verb::FlushAll});
    CHECK(answer.outcome == (c.is_good ? Outcome::Done : Outcome::Failed));
    CHECK(answer.in_doubt == !c.is_good);
    CHECK(connection->is_in_step() == c.is_good);
    CHECK(connection->take_lingering().size() == (c.is_good ? 0 : 1));
    connection.reset();
  }
}

TEST_CASE("an OK and the reply to its barrier that come twice prove no later flush_all") {
  std::string barriers[2];
  {
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.write("OK\r\n");
      barriers[0] = peer.read_some();
      const std::string opaque = barriers[0].substr(barriers[0].find(" O") + 1, 7);
      peer.write("NF " + opaque + "\r\n");
      // Both once more, and nothing of the server's own.
      peer.read_some();
      peer.write("OK\r\n");
      barriers[1] = peer.read_some();
      peer.write("NF " + opaque + "\r\n");
      peer.read_until_closed();
    });
    auto connection = connected(server.port());
    CHECK(run_one(*connection, {.verb = Verb::FlushAll}).outcome == Outcome::Done);
    const Answer second = run_one(*connection, {.verb = Verb::FlushAll});
    CHECK(failed_with(second, ErrorKind::Protocol));
    CHECK(second.in_doubt);
    CHECK(connection->take_lingering().size() == 1);
    connection.reset();
  }
  for (const std::string& barrier : barriers) CHECK(barrier.starts_with(kBarrier));
  CHECK(barriers[0] != barriers[1]);
}

TEST_CASE("what is asked behind a barrier has numbers of its own") {
  ScriptedServer server([&](Peer& peer) {
    peer.read_some();
    peer.write("OK\r\n");
    const std::string barrier = peer.read_some();
    const std::string reply = "NF " + barrier.substr(barrier.find(" O") + 1, 7) + "\r\n";
    peer.write(reply);
    peer.read_some();
    peer.write(reply);
    peer.read_until_closed();
  });
  auto connection = connected(server.port());
  CHECK(run_one(*connection, {.verb = Verb::FlushAll}).outcome == Outcome::Done);
  CHECK(failed_with(run_one(*connection, {.verb = Verb::Delete, .key = "k"}), ErrorKind::Protocol));
}

TEST_CASE("a server takes a barrier for what changes nothing, logged in or not") {
  const TempFolder folder;
  std::ofstream(folder.file("users")) << "alice:secret\n";
  larder::daemon::Settings settings = larder::test::loopback_settings();
  const bool has_users = GENERATE(false, true);
  if (has_users) settings.auth_file = folder.file("users");
  TempServer server(settings);
  ConnectionOptions options;
  if (has_users) {
    auto stranger = connected(server.port(), options);
    CHECK(failed_with(run_one(*stranger, {.verb = Verb::FlushAll}), ErrorKind::Denied));
    options.user = "alice";
    options.password = "secret";
  }
  auto connection = connected(server.port(), options);
  CHECK(run_one(*connection, {.verb = Verb::FlushAll}).outcome == Outcome::Done);
  // Even where somebody has the key.
  CHECK(run_one(*connection, store(Verb::Set, "larder-barrier", "w")).outcome == Outcome::Done);
  const Operation count{.verb = Verb::Increment, .key = "larder-barrier"};
  CHECK(failed_with(run_one(*connection, count), ErrorKind::Refused));
  CHECK_FALSE(connection->failed());
  CHECK(run_one(*connection, get("larder-barrier")).value == "w");
}

TEST_CASE("a flush_all needs no barrier where the next reply is known to be its own") {
  for (const char* reply : {"OK\r\nHD c1 O?\r\n", "OK\r\nMN\r\n", "OK\r\nOK\r\n"}) {
    CAPTURE(reply);
    const bool is_known = std::string_view(reply).find("HD") != std::string_view::npos;
    const bool is_good = !std::string_view(reply).ends_with("OK\r\n");
    std::string behind;
    {
      ScriptedServer server([&](Peer& peer) {
        peer.read_some();
        peer.answer("EN O?\r\n");
        peer.read_some();
        peer.answer(reply);
        behind = peer.read_some();
        if (!behind.empty()) peer.answer_barrier();
        peer.read_until_closed();
      });
      auto connection = connected(server.port());
      REQUIRE(run_one(*connection, get("k")).outcome == Outcome::Missing);
      const Operation operations[] = {
          {.verb = Verb::FlushAll},
          is_known ? store(Verb::Set, "k", "v") : Operation{.verb = Verb::Noop}};
      Answer answers[2];
      connection->run(operations, answers, patience());
      for (const Answer& answer : answers) {
        CHECK(answer.outcome == (is_good ? Outcome::Done : Outcome::Failed));
      }
      connection.reset();
    }
    CHECK(behind.starts_with(kBarrier) == (is_good && !is_known));
  }
}

TEST_CASE(
    "several submits whose last is refused are idle once the refusal is known to be its own") {
  ScriptedServer server([](Peer& peer) { answer_all(peer, "SERVER_ERROR out of memory\r\n"); });
  auto connection = connected(server.port());
  const Operation first[] = {store(Verb::Set, "a", "v"), store(Verb::Set, "b", "v")};
  const Operation second[] = {get("a")};
  Answer answers[3];
  connection->submit(first, {answers, 2});
  connection->submit(second, {answers + 2, 1});
  const Deadline deadline = patience();
  while (!connection->idle() && steady_clock::now() < deadline) connection->advance_by(deadline);
  CHECK_FALSE(connection->failed());
  CHECK(connection->is_in_step());
  for (const Answer& answer : answers) CHECK(failed_with(answer, ErrorKind::Refused));
  connection.reset();
}

TEST_CASE("a server that does not know the meta commands gets no value that it would run") {
  const Operation set = store(Verb::Set, "k", "x\r\nflush_all\r\n");
  const std::vector<Operation> cases[] = {{set}, {get("a"), set}, {{.verb = Verb::Version}, set}};
  for (const std::vector<Operation>& operations : cases) {
    std::string asked;
    {
      ScriptedServer server([&](Peer& peer) {
        for (std::string some; !(some = peer.read_some()).empty();) {
          asked += some;
          peer.write(some == "version\r\n" ? "VERSION 1.4.15\r\n" : "ERROR\r\n");
        }
      });
      auto connection = connected(server.port());
      std::vector<Answer> answers(operations.size());
      connection->run(operations, answers, patience());
      CHECK(failed_with(answers.back(), ErrorKind::Refused));
      CHECK(answers.back().error->text.find("the classic dialect may suit it") !=
            std::string::npos);
      CHECK(connection->failed());
      connection.reset();
    }
    CAPTURE(asked);
    CHECK(asked.find("flush_all") == std::string::npos);
    const bool is_refused = operations[0].verb == Verb::Get;
    CHECK(asked.find(is_refused ? kBarrier : "mn      \r\n") != asked.npos);
  }
}

TEST_CASE("a connection asks once whether its server knows the meta commands") {
  std::string asked;
  {
    ScriptedServer server([&](Peer& peer) {
      asked += peer.read_some();
      peer.write("MN\r\n");
      for (int i = 0; i < 2; ++i) {
        asked += peer.read_some();
        peer.answer("HD c1 O?\r\n");
      }
      peer.read_until_closed();
    });
    auto connection = connected(server.port());
    for (int i = 0; i < 2; ++i) {
      CHECK(run_one(*connection, store(Verb::Set, "k", "v")).outcome == Outcome::Done);
    }
    connection.reset();
  }
  CHECK(asked.starts_with("mn      \r\nms k "));
  CHECK(asked.find("mn", 1) == asked.npos);
}

TEST_CASE("a write that was given up is held though the process has no descriptor left") {
  std::promise<void> given_up;
  std::string came;
  bool ended = false;
  {
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.answer("EN O?\r\n");
      given_up.get_future().wait();
      ssize_t got;
      char bytes[100];
      while ((got = ::recv(peer.fd(), bytes, sizeof bytes, 0)) > 0) {
        came.append(bytes, static_cast<size_t>(got));
      }
      ended = got == 0;  // and not reset
    });
    auto connection = connected(server.port());
    CHECK(run_one(*connection, get("k")).outcome == Outcome::Missing);
    std::optional<NoDescriptors> none(std::in_place);
    const Answer answer = run_one(*connection, store(Verb::Set, "k", "late"), soon());
    LingeringList lingering = connection->take_lingering();
    none.reset();
    given_up.set_value();
    CHECK(failed_with(answer, ErrorKind::Timeout));
    CHECK(lingering.size() == 1);
    CHECK(await_end(lingering, patience()));
  }
  CHECK(came.ends_with("late\r\n"));
  CHECK(ended);
}

TEST_CASE("a binary answer that is made of parts of two replies fails with what comes behind it") {
  ConnectionOptions options;
  options.dialect = Dialect::Binary;
  const std::string head_bytes(24, '\0');
  struct Case {
    Operation operation;
    std::string body;  // of its reply
    size_t cut;        // bytes of the body that come
    char behind;       // the first byte behind the answer
  };
  const Operation count{.verb = Verb::Increment, .key = "k"};
  for (const Case& c : {Case{get("k"), std::string(4, '\0') + "value of k", 8, 'x'},
                        Case{get("k"), std::string(4, '\0') + "value of k", 8, '\x81'},
                        Case{count, std::string(8, '\1'), 4, '\0'}}) {
    CAPTURE(c.body, c.behind);
    ScriptedServer server([&](Peer& peer) {
      const std::string request = peer.read_some();
      std::string reply = head_bytes;
      reply[0] = '\x81';
      reply[1] = request[1];
      reply[4] = c.body.size() == 8 ? '\0' : '\4';
      reply[11] = static_cast<char>(c.body.size());
      reply.replace(12, 4, request.substr(12, 4));
      std::string other = reply;
      other[c.body.size() - c.cut] = c.behind;
      peer.write(reply + c.body.substr(0, c.cut) + other.substr(0, 20));
      peer.read_until_closed();
    });
    auto connection = connected(server.port(), options);
    const Answer answer = run_one(*connection, c.operation);
    CHECK(failed_with(answer, ErrorKind::Protocol));
    CHECK(answer.value.empty());
    CHECK(connection->failed());
    connection.reset();
  }
}

TEST_CASE("a value that lost its tail to the next reply fails, in any dialect") {
  const auto binary = [](char opcode, char status, const std::string& request, std::string body) {
    std::string reply(24, '\0');
    reply[0] = '\x81';
    reply[1] = opcode;
    reply[4] = status == 0 ? '\4' : '\0';
    reply[7] = status;
    reply[11] = static_cast<char>(body.size());
    return reply.replace(12, 4, request.substr(12, 4)) + body;
  };
  for (const Dialect dialect : kDialects) {
    for (const bool two_follow : {false, true}) {
      CAPTURE(static_cast<int>(dialect), two_follow);
      const size_t requests = two_follow ? 3 : 2;
      ScriptedServer server([&](Peer& peer) {
        if (dialect == Dialect::Meta) {
          peer.read_some();
          peer.answer("VA 12 f0 c1 O?\r\n1234567890EN\r\n");
          if (two_follow) peer.write("EN\r\n");
        } else if (dialect == Dialect::Classic) {
          peer.read_some();
          peer.write("VALUE a 0 11 1\r\n12345678END\r\n");
          if (two_follow) peer.write("END\r\n");
        } else {
          constexpr size_t kGetBytes = 25;
          const std::string asked = peer.read(requests * kGetBytes);
          const std::string miss = binary(0, 1, asked.substr(kGetBytes), "Not found");
          const std::string found =
              binary(0, 0, asked, std::string(4, '\0') + std::string(40, 'v'));
          peer.write(found.substr(0, found.size() - miss.size()) + miss);
          if (two_follow) peer.write(binary(0, 1, asked.substr(2 * kGetBytes), "Not found"));
        }
        peer.read_until_closed();
      });
      auto connection = connected(server.port(), dialect);
      // Each is a line of its own in classic.
      const Operation operations[] = {get("a"),
                                      {.verb = Verb::Get, .key = "b", .touch = true},
                                      {.verb = Verb::Get, .key = "c", .touch = true}};
      Answer answers[3];
      connection->run({operations, requests}, answers, steady_clock::now() + milliseconds(200));
      CHECK(connection->failed());
      CHECK(answers[0].error);
      CHECK(answers[0].value.empty());
      connection.reset();
    }
  }
}

TEST_CASE("a meta counter does not get the number of the next one") {
  const std::string head = "VA 2 O";
  for (const bool by_opaque : {true, false}) {
    for (const bool behind : {true, false}) {
      CAPTURE(by_opaque, behind);
      ScriptedServer server([&](Peer& peer) {
        std::string asked = peer.read_some();
        const size_t first = asked.find(" O") + 2;
        const size_t second = asked.find(" O", first) + 2;
        const std::string a = asked.substr(first, 6);
        const std::string b = asked.substr(second, 6);
        // Lost: from behind the first digit, or from behind the opaque, to the same place of the
        // second reply.
        peer.write(head + (by_opaque ? a[0] + b.substr(1) : a) + " c6\r\n77\r\n");
        if (behind) peer.answer("EN O?\r\nEN O?\r\nEN O?\r\n");
        peer.read_until_closed();
      });
      auto connection = connected(server.port());
      const Operation operations[] = {
          {.verb = Verb::Increment, .key = "a"}, {.verb = Verb::Increment, .key = "b"}, get("c")};
      Answer answers[3];
      connection->submit(operations, answers);
      if (behind) {
        await_failure(*connection);
      } else {
        give_up_behind(*connection, answers[0]);
      }
      CHECK(
          failed_with(answers[0], behind || by_opaque ? ErrorKind::Protocol : ErrorKind::Timeout));
      CHECK(answers[0].in_doubt);
      CHECK(answers[0].number == 0);
      connection.reset();
    }
  }
}

TEST_CASE("a value that lost its tail to the first of two noops fails") {
  for (const size_t noops : {1, 2}) {
    for (const bool is_whole : {false, true}) {
      CAPTURE(noops, is_whole);
      ScriptedServer server([&](Peer& peer) {
        peer.read_some();
        peer.answer(is_whole ? "VA 4 f0 c1 O?\r\nabcd\r\n" : "VA 4 f0 c1 O?\r\nab");
        peer.write(noops == 2 ? "MN\r\nMN\r\n" : "MN\r\n");
        if (!is_whole) peer.read_until_closed();
      });
      auto connection = connected(server.port());
      const Operation operations[] = {get("a"), {.verb = Verb::Noop}, {.verb = Verb::Noop}};
      Answer answers[3];
      if (is_whole || noops == 1) {
        connection->run({operations, 1 + noops}, answers, is_whole ? patience() : soon());
      } else {
        connection->submit(operations, answers);
        give_up_behind(*connection, answers[1]);
      }
      CHECK(connection->failed() == !is_whole);
      CHECK(answers[0].error.has_value() == !is_whole);
      CHECK(answers[0].value == (is_whole ? "abcd" : ""));
      connection.reset();
    }
  }
}

TEST_CASE("a refusal is not proven by a noop") {
  const std::string refusal = "SERVER_ERROR object too large for cache\r\n";
  for (const bool is_proven : {false, true}) {
    CAPTURE(is_proven);
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.answer("EN O?\r\n");
      peer.read_some();
      peer.write(refusal + "MN\r\n");
      peer.read_some();
      if (is_proven) peer.answer_barrier();
      peer.read_until_closed();
    });
    auto connection = connected(server.port());
    REQUIRE(run_one(*connection, get("k")).outcome == Outcome::Missing);
    const Operation operations[] = {store(Verb::Set, "k", "new"), {.verb = Verb::Noop}};
    Answer answers[2];
    if (is_proven) {
      connection->run(operations, answers, patience());
    } else {
      connection->submit(operations, answers);
      give_up_behind(*connection, answers[1]);
    }
    CHECK(failed_with(answers[0], ErrorKind::Refused));
    CHECK(answers[0].in_doubt == !is_proven);
    connection.reset();
  }
}

TEST_CASE("where a classic reply is missing, the commands before it are not believed") {
  const Operation increments[] = {{.verb = Verb::Increment, .key = "a"},
                                  {.verb = Verb::Increment, .key = "b"},
                                  get("c"),
                                  {.verb = Verb::Increment, .key = "d"},
                                  {.verb = Verb::Increment, .key = "e"}};
  struct Case {
    std::string bytes;  // and then silence, or the end
    size_t begin;       // of the increments that are not believed
    size_t count;       // of operations, of which all but the last have got a reply
  };
  for (const Case& c : {Case{"1001\r\n", 0, 2}, Case{"7\r\n1001\r\nEND\r\n8\r\n", 3, 5},
                        Case{"7\r\n1001\r\nVALUE c 0 1 1\r\nx\r\nEND\r\n8\r\n", 3, 5}}) {
    for (const bool closes : {false, true}) {
      CAPTURE(c.bytes, closes);
      ScriptedServer server([&](Peer& peer) {
        peer.read_some();
        peer.write(c.bytes);
        if (!closes) peer.read_until_closed();
      });
      auto connection = connected(server.port(), Dialect::Classic);
      Answer answers[5];
      if (closes) {
        connection->run({increments, c.count}, answers, patience());
      } else {
        connection->submit({increments, c.count}, answers);
        give_up_behind(*connection, answers[c.count - 2]);
      }
      const ErrorKind kind = closes ? ErrorKind::Closed : ErrorKind::Timeout;
      for (size_t i = 0; i < c.count; ++i) {
        CAPTURE(i);
        if (i == 2) continue;
        CHECK(failed_with(answers[i], kind) == (i >= c.begin));
        CHECK(answers[i].in_doubt == (i >= c.begin));
        CHECK((answers[i].number == 0) == (i >= c.begin));
      }
      CHECK(connection->take_lingering().size() == 1);
      connection.reset();
    }
  }
}

TEST_CASE("where a classic reply is missing, submits that are answered are not believed either") {
  for (const bool has_get : {false, true}) {
    CAPTURE(has_get);
    ScriptedServer server([&](Peer& peer) {
      // Of two submits, of which the first reply is lost: NOT_STORED.
      peer.read_some();
      peer.write(has_get ? "STORED\r\nEND\r\n" : "STORED\r\nSTORED\r\n");
      peer.read_until_closed();
    });
    auto connection = connected(server.port(), Dialect::Classic);
    const Operation first = store(Verb::Add, "a", "v");
    const Operation then[] = {store(Verb::Add, "b", "v"),
                              has_get ? get("c") : store(Verb::Add, "c", "v")};
    Answer answers[3];
    connection->submit({&first, 1}, {answers, 1});
    connection->submit(then, {answers + 1, 2});
    if (has_get) {
      await_failure(*connection);
    } else {
      give_up_behind(*connection, answers[1]);
    }
    for (const Answer& answer : answers) {
      CHECK(failed_with(answer, has_get ? ErrorKind::Protocol : ErrorKind::Timeout));
      CHECK(answer.in_doubt);
    }
    CHECK(connection->take_lingering().size() == 1);
    connection.reset();
  }
}

TEST_CASE("submits that a get has proven are good though the connection fails") {
  ScriptedServer server([&](Peer& peer) {
    peer.read_some();
    peer.write("1\r\nEND\r\n2\r\n");
    peer.read_until_closed();
  });
  auto connection = connected(server.port(), Dialect::Classic);
  const Operation operations[] = {{.verb = Verb::Increment, .key = "a"},
                                  get("b"),
                                  {.verb = Verb::Increment, .key = "c"},
                                  {.verb = Verb::Increment, .key = "d"}};
  Answer answers[4];
  for (size_t i = 0; i < 4; ++i) connection->submit({operations + i, 1}, {answers + i, 1});
  give_up_behind(*connection, answers[2]);
  CHECK(answers[0].number == 1);
  CHECK(answers[1].outcome == Outcome::Missing);
  CHECK(failed_with(answers[2], ErrorKind::Timeout));
  CHECK(failed_with(answers[3], ErrorKind::Timeout));
}

TEST_CASE("where a classic reply comes twice at once, the commands around it are not believed") {
  struct Case {
    std::string bytes;
    ErrorKind kind;
  };
  const Case cases[] = {
      {"1\r\n1\r\n20\r\n", ErrorKind::Protocol},
      {"1\r\n1\r\n2", ErrorKind::Protocol},
      {"1\r\n1\r\nSERVER_ERROR out of memory storing object\r\n", ErrorKind::Refused}};
  for (const Case& c : cases) {
    CAPTURE(c.bytes);
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.write(c.bytes);
      peer.read_until_closed();
    });
    auto connection = connected(server.port(), Dialect::Classic);
    const Operation operations[] = {{.verb = Verb::Increment, .key = "a"},
                                    {.verb = Verb::Increment, .key = "b"}};
    Answer answers[2];
    connection->run(operations, answers, patience());
    for (const Answer& answer : answers) {
      CHECK(failed_with(answer, c.kind));
      CHECK(answer.in_doubt);
      CHECK(answer.number == 0);
    }
    CHECK(connection->take_lingering().size() == 1);
    connection.reset();
  }
}

TEST_CASE("that a value is no number is not said of a store") {
  const std::string refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
  ScriptedServer server([&](Peer& peer) {
    peer.read_some();
    peer.write("STORED\r\n" + refusal);  // the NOT_STORED before them is lost
    peer.read_until_closed();
  });
  auto connection = connected(server.port(), Dialect::Classic);
  const Operation operations[] = {store(Verb::Add, "a", "1"),
                                  store(Verb::Set, "b", "2"),
                                  {.verb = Verb::Increment, .key = "c"}};
  Answer answers[3];
  connection->run(operations, answers, patience());
  for (const Answer& answer : answers) {
    CHECK(failed_with(answer, ErrorKind::Protocol));
    CHECK(answer.in_doubt);
  }
}

TEST_CASE("a text value with a part of a line behind it fails") {
  for (const std::string reply : {"VA 4 f0 c1 O?\r\nab\r\n\r\n", "VA 2 f0 c1 O?\r\nab\r\nV"}) {
    CAPTURE(reply);
    const bool is_longer = reply.ends_with("V");
    const Answer answer = answered_with(reply, get("k"));
    CHECK(answer.error.has_value() == is_longer);
    CHECK(answer.value == (is_longer ? "" : "ab\r\n"));
  }
}

TEST_CASE("a value is good once the next reply has come, and alone where it was asked for alone") {
  for (const Dialect dialect : {Dialect::Classic, Dialect::Meta}) {
    ScriptedServer server([&](Peer& peer) {
      const bool meta = dialect == Dialect::Meta;
      peer.read_some();
      peer.answer(meta ? "VA 1 f0 c1 O?\r\nx\r\n" : "VALUE a 0 1 1\r\nx\r\nEND\r\n");
      peer.read_some();
      peer.answer(meta ? "VA 1 f0 c1 O?\r\ny\r\nEN O?\r\nVA 3 f0 c1 O?\r\n"
                       : "VALUE a 0 1 1\r\ny\r\nVALUE b 0 1 1\r\nz\r\nVALUE c 0 3 1\r\n");
    });
    auto connection = connected(server.port(), dialect);
    CHECK(run_one(*connection, get("a")).value == "x");
    const Operation operations[] = {get("a"), get("b"), get("c")};
    Answer answers[3];
    connection->run(operations, answers, patience());
    CHECK(answers[0].value == "y");
    CHECK(failed_with(answers[2], ErrorKind::Closed));
    CHECK(connection->failed());
    connection.reset();
  }
}

TEST_CASE("a value that is too large fails alone, and the connection is left") {
  ConnectionOptions options;
  options.most_value_bytes = 10;
  ScriptedServer server([](Peer& peer) {
    peer.read_some();
    peer.answer("VA 1 f0 c1 O?\r\nx\r\nVA 11 f0 c1 O?\r\n12345678901\r\nVA 1 f0 c1 O?\r\nx\r\n");
    peer.read_until_closed();
  });
  auto connection = connected(server.port(), options);
  const Operation operations[] = {get("a"), get("b"), get("c")};
  Answer answers[3];
  connection->run(operations, answers, patience());
  CHECK(answers[0].value == "x");
  CHECK(failed_with(answers[1], ErrorKind::TooLarge));
  CHECK(failed_with(answers[2], ErrorKind::Closed));
  CHECK(connection->was_left());
}

TEST_CASE("the values of one submit are no more bytes together than was agreed on") {
  TempServer server;
  for (const Dialect dialect : kDialects) {
    ConnectionOptions options;
    options.dialect = dialect;
    options.most_reply_bytes = 1000;
    auto connection = connected(server.port(), options);
    REQUIRE(run_one(*connection, store(Verb::Set, "k", std::string(400, 'v'))).outcome ==
            Outcome::Done);
    const std::vector<Operation> operations(2, get("k"));
    for (int round = 0; round < 3; ++round) {
      Answer answers[2];
      connection->run(operations, answers, patience());
      CHECK(answers[1].value.size() == 400);
    }
    const std::vector<Operation> more(3, get("k"));
    Answer answers[3];
    connection->run(more, answers, patience());
    CHECK(failed_with(answers[2], ErrorKind::TooLarge));
    CHECK(connection->was_left());
  }
}

TEST_CASE("after a refusal that leaves a value behind nothing is believed any more") {
  ScriptedServer server([](Peer& peer) {
    peer.read_some();
    peer.write("MN\r\n");
    peer.read_some();
    peer.write("CLIENT_ERROR bad command line format\r\nERROR\r\nEN\r\n");
    peer.read_until_closed();
  });
  auto connection = connected(server.port());
  const Operation operations[] = {store(Verb::Set, "k", "get x"), get("k")};
  Answer answers[2];
  connection->run(operations, answers, patience());
  CHECK(failed_with(answers[0], ErrorKind::Refused));
  CHECK(failed_with(answers[1], ErrorKind::Closed));
  CHECK(connection->failed());
}

TEST_CASE("a server that reads nothing while it answers stops nobody") {
  // Both directions fill up: who only writes, or only reads, would wait for ever.
  constexpr int kRounds = 20000;
  ScriptedServer server(
      [](Peer& peer) {
        std::string reply;
        for (int i = 0; i < kRounds; ++i) reply += "5" + std::string(100, ' ') + "\r\n";
        // Only the first request is read before all replies are written.
        peer.read_some();
        peer.write(reply);
        peer.read_until_closed();
      },
      4096);
  auto connection = connected(server.port(), Dialect::Classic);
  const std::string key(200, 'k');
  std::vector<Operation> operations(kRounds, {.verb = Verb::Increment, .key = key});
  std::vector<Answer> answers(operations.size());
  // The server answers what it has not read, so some of it before it is asked. Either all is
  // answered or that is seen; what may not be is that nothing goes on.
  connection->run(operations, answers, patience());
  CHECK((!connection->failed() || connection->failure()->kind == ErrorKind::Protocol));
}

TEST_CASE("an operation is not over before all of it has been sent, though it is answered") {
  const std::string refusal = "SERVER_ERROR object too large for cache\r\n";
  constexpr size_t kBytes = 8u << 20;
  const std::string head = "ms k " + std::to_string(kBytes) + " O?????? c\r\n";
  const std::string first = "mn      \r\n";
  const std::string barrier =
      std::string(kBarrier) + "C18446744073709551615 O??????\r\n";  // behind the refusal
  const std::string next = "mn\r\n";
  std::string came;
  {
    ScriptedServer server(
        [&](Peer& peer) {
          peer.read(first.size());
          peer.write("MN\r\n");
          came = peer.read(head.size());
          peer.write(refusal);
          // The value and, when all of that has been sent, the next request.
          came += peer.read(head.size() + kBytes + 2 + barrier.size() - came.size());
          peer.answer_barrier();
          peer.read(next.size());
          peer.write("MN\r\n");
          peer.read_until_closed();
        },
        4096);
    auto connection = connected(server.port());
    {
      const std::string value = noise(kBytes, 7);
      CHECK(failed_with(run_one(*connection, store(Verb::Set, "k", value)), ErrorKind::Refused));
    }
    CHECK(run_one(*connection, {.verb = Verb::Noop}).outcome == Outcome::Done);
  }
  came.replace(head.find('?'), 6, "??????");  // the opaques
  came.replace(came.rfind(" O") + 2, 6, "??????");
  CHECK((came == head + noise(kBytes, 7) + "\r\n" + barrier));
}

TEST_CASE("a deadline holds though a server sends without end") {
  ScriptedServer server([](Peer& peer) {
    peer.read_some();
    const std::string value(1 << 16, 'v');
    peer.answer("VA 1000000000 f0 c1 O?\r\n");
    while (peer.write(value)) {
    }
  });
  ConnectionOptions options;
  options.most_value_bytes = 2000000000;
  auto connection = connected(server.port(), options);
  const auto begin = steady_clock::now();
  const Answer answer = run_one(*connection, get("k"), soon());
  CHECK(failed_with(answer, ErrorKind::Timeout));
  CHECK(steady_clock::now() - begin < std::chrono::seconds(10));
}

TEST_CASE("who gives up in the middle leaves its error with every answer") {
  ScriptedServer server([](Peer& peer) { peer.read_until_closed(); });
  const Operation operations[] = {get("a"), get("")};
  Answer answers[2];
  {
    auto connection = connected(server.port());
    connection->submit(operations, answers);
    connection->advance(patience());
    connection->fail({ErrorKind::Ejected, "not used for now"});
    CHECK(connection->idle());
    CHECK(connection->failed());
  }
  CHECK(failed_with(answers[0], ErrorKind::Ejected));
  CHECK(failed_with(answers[1], ErrorKind::BadRequest));
}

// -- An operator's commands.

TEST_CASE("an operator's command gives its reply as it came") {
  TempServer server;
  for (const Dialect dialect : {Dialect::Classic, Dialect::Meta}) {
    auto connection = connected(server.port(), dialect);
    const std::string_view end[] = {"END"};
    const std::string_view ok[] = {"OK", "RESET"};
    const std::string_view version[] = {"VERSION"};
    const auto stats = connection->ask("stats", end, patience());
    REQUIRE(stats.ok());
    CHECK(stats->starts_with("STAT "));
    CHECK(stats->ends_with("\r\nEND\r\n"));
    const auto said = connection->ask("version", version, patience());
    REQUIRE(said.ok());
    CHECK(said->starts_with("VERSION "));
    const auto verbosity = connection->ask("verbosity 0", ok, patience());
    REQUIRE(verbosity.ok());
    CHECK(*verbosity == "OK\r\n");
    const auto wrong = connection->ask("no such thing", ok, patience());
    REQUIRE_FALSE(wrong.ok());
    CHECK(wrong.error().kind == ErrorKind::Refused);
    CHECK(connection->ask("", ok, patience()).error().kind == ErrorKind::BadRequest);
    CHECK(run_one(*connection, get("k")).outcome == Outcome::Missing);
    CHECK_FALSE(connection->failed());
  }
  auto binary = connected(server.port(), Dialect::Binary);
  CHECK(binary->ask("version", {}, patience()).error().kind == ErrorKind::BadRequest);
  CHECK_FALSE(binary->failed());
}

TEST_CASE("lines are given out one by one, however they come, until somebody has enough") {
  const std::string text = "a\r\n\r\nlonger line\nEND of it\r\n";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    ScriptedServer server([&](Peer& peer) {
      peer.read_some();
      peer.write(text.substr(0, cut));
      // Whether the client sees two parts or one is up to chance: it must not matter.
      std::this_thread::yield();
      peer.write(text.substr(cut));
      peer.read_until_closed();
    });
    auto connection = connected(server.port());
    std::vector<std::string> lines;
    const std::string_view ends[] = {"END"};
    const auto asked = connection->ask_lines("x", ends, patience(), [&](std::string_view line) {
      lines.emplace_back(line);
      return true;
    });
    CHECK(asked.ok());
    CHECK(lines == std::vector<std::string>{"a", "", "longer line", "END of it"});
    connection.reset();
  }
  ScriptedServer endless([](Peer& peer) {
    peer.read_some();
    while (peer.write("line\r\n")) {
    }
  });
  auto connection = connected(endless.port());
  int left = 1000;
  const auto asked = connection->ask_lines("watch", {}, Deadline::max(),
                                           [&](std::string_view) { return --left > 0; });
  CHECK_FALSE(asked.ok());
  CHECK(left == 0);
  CHECK(connection->failed());
}

TEST_CASE("an operator waits no longer than the deadline, nor for a line without an end") {
  const std::string_view ends[] = {"END"};
  {
    ScriptedServer silent([](Peer& peer) { peer.read_until_closed(); });
    auto connection = connected(silent.port());
    CHECK(connection->ask("stats", ends, soon()).error().kind == ErrorKind::Timeout);
    CHECK(connection->ask("stats", ends, soon()).error().kind == ErrorKind::Timeout);
  }
  {
    ScriptedServer endless([](Peer& peer) {
      peer.read_some();
      const std::string part(4096, 'x');
      while (peer.write(part)) {
      }
    });
    auto connection = connected(endless.port());
    CHECK(connection->ask("stats", ends, patience()).error().kind == ErrorKind::Protocol);
  }
  {
    ScriptedServer closing([](Peer& peer) {
      peer.read_some();
      peer.write("STAT a 1\r\n");
    });
    auto connection = connected(closing.port());
    CHECK(connection->ask("stats", ends, patience()).error().kind == ErrorKind::Closed);
  }
}
