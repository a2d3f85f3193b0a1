#include "tests/library/misbehaving_server.h"

#include <catch2/catch.hpp>
#include <random>

#include "tests/library/fleet_support.h"
#include "tools/client/connection.h"

using namespace larder;
using namespace larder::test;
using namespace larder::client;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr Dialect kDialects[] = {Dialect::Classic, Dialect::Meta, Dialect::Binary};

std::string name(Dialect dialect) {
  return dialect == Dialect::Classic ? "classic" : dialect == Dialect::Meta ? "meta" : "binary";
}

// Of different lengths, so that a value that was cut does not have the length of the next.
std::string value_of_user(size_t i) {
  return "secret of " + std::to_string(i) + std::string(i % 7, '.');
}

ClientOptions impatient(int port, Dialect dialect) {
  ClientOptions options = options_for({port});
  options.connection.dialect = dialect;
  options.request_timeout = milliseconds(100);
  options.trusted_idle = ClientOptions().trusted_idle;
  options.retries = 0;
  options.health.failures_to_eject = 1'000'000;
  return options;
}

// 0: a miss or an error; 1: its own value; 2: another's.
int look(const Result<std::optional<Item>>& found, size_t i) {
  if (!found.ok() || !*found) return 0;
  return (*found)->value == value_of_user(i) ? 1 : 2;
}

}  // namespace

TEST_CASE("after a reply too many, too few or in part nothing on the connection is believed") {
  constexpr uint32_t kOperations = 8;
  TempServer behind;
  for (const Dialect dialect : {Dialect::Meta, Dialect::Binary}) {
    for (const Fault fault : kFaults) {
      for (uint32_t at = 0; at < kOperations; ++at) {
        CAPTURE(name(dialect), static_cast<int>(fault), at);
        MisbehavingServer server(behind.port(), dialect);
        ConnectionOptions options;
        options.dialect = dialect;
        auto opened = Connection::open({"127.0.0.1", static_cast<uint16_t>(server.port()), {}},
                                       options, Deadline::max());
        REQUIRE(opened.ok());
        Connection& connection = **opened;
        server.spoil(fault, at);
        uint32_t good = 0;
        for (uint32_t i = 0; i < 2 * kOperations; ++i) {
          const std::string key = "user" + std::to_string(i / 2);
          const std::string value = value_of_user(i / 2);
          const Operation operation{
              .verb = i % 2 == 0 ? Verb::Set : Verb::Get, .key = key, .value = value};
          Answer answer;
          connection.run({&operation, 1}, {&answer, 1}, steady_clock::now() + milliseconds(50));
          if (answer.outcome != Outcome::Done) break;
          if (i % 2 == 1) REQUIRE(answer.value == value);
          ++good;
        }
        // The reply too many may come behind the good one: the next operation meets it.
        CHECK(connection.failed());
        CHECK(good <= at + 1);
      }
    }
  }
}

TEST_CASE("in classic a set, a delete, a touch and a flush each know their own word") {
  ConnectionOptions options;
  options.dialect = Dialect::Classic;
  TempServer behind;
  const Operation operations[] = {{.verb = Verb::Set, .key = "k", .value = "1"},
                                  {.verb = Verb::Touch, .key = "k", .exptime = 9},
                                  {.verb = Verb::Delete, .key = "k"},
                                  {.verb = Verb::FlushAll},
                                  {.verb = Verb::Set, .key = "k", .value = "2"},
                                  {.verb = Verb::Increment, .key = "k"}};
  for (uint32_t at = 0; at + 1 < std::size(operations); ++at) {
    CAPTURE(at);
    MisbehavingServer server(behind.port(), Dialect::Classic);
    auto opened = Connection::open({"127.0.0.1", static_cast<uint16_t>(server.port()), {}}, options,
                                   Deadline::max());
    REQUIRE(opened.ok());
    server.spoil(Fault::Double, at);
    Answer answers[std::size(operations)];
    (*opened)->run(operations, answers, Deadline::max());
    CHECK((*opened)->failed());
    // One of those before it may have taken its neighbour's reply.
    for (const Answer& answer : answers) {
      CHECK(answer.outcome == Outcome::Failed);
      if (answer.error) CHECK(answer.error->kind == ErrorKind::Protocol);
    }
  }
}

TEST_CASE("nobody is handed another's value by a server that spoils its replies") {
  constexpr size_t kUsers = 500;
  constexpr size_t kGets = 40'000;
  TempServer behind;
  for (const Dialect dialect : kDialects) {
    CAPTURE(name(dialect));
    {
      const auto filler = make_client(impatient(behind.port(), dialect));
      for (size_t i = 0; i < kUsers; ++i) {
        REQUIRE(filler->set("user" + std::to_string(i), value_of_user(i)).ok());
      }
    }
    MisbehavingServer server(behind.port(), dialect);
    const auto client = make_client(impatient(server.port(), dialect));
    server.spoil_one_of(200);
    std::atomic<size_t> counts[3] = {0, 0, 0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(t);
        for (size_t done = 0; done < kGets / 4;) {
          if (random() % 2 == 0) {
            const size_t i = random() % kUsers;
            ++counts[look(client->get("user" + std::to_string(i)), i)];
            ++done;
            continue;
          }
          std::vector<size_t> users;
          std::vector<std::string> keys;
          for (size_t n = 0; n < 20; ++n) {
            users.push_back(random() % kUsers);
            keys.push_back("user" + std::to_string(users.back()));
          }
          const std::vector<std::string_view> views(keys.begin(), keys.end());
          const auto found = client->get_many(views);
          for (size_t n = 0; n < found.size(); ++n) ++counts[look(found[n], users[n])];
          done += found.size();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(server.spoiled() > 50);
    CHECK(counts[1] > kGets / 2);
    CHECK(counts[2] == 0);
  }
}

TEST_CASE("a connection with bytes that nobody asked for does not go back to the pool") {
  TempServer behind;
  for (const Dialect dialect : kDialects) {
    CAPTURE(name(dialect));
    MisbehavingServer server(behind.port(), dialect);
    const auto client = make_client(impatient(server.port(), dialect));
    REQUIRE(client->set("a", "value of a").ok());
    REQUIRE(client->set("b", "value of b").ok());
    // The doubled reply may come too late to be seen by then: the opaque or the key is another's.
    for (int i = 0; i < 20; ++i) {
      server.spoil(Fault::Double, 0);
      const Found a = client->get("a");
      CHECK((!a.ok() || value_of(a) == "value of a"));
      const Found b = client->get("b");
      CHECK((!b.ok() || value_of(b) == "value of b"));
    }
  }
}
