// What a child of fork() has of a client that was made before.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <future>
#include <string>

#include "tests/library/child_server.h"
#include "tests/library/fleet_support.h"
#include "tests/library/scripted_server.h"
#include "tools/client/discovery.h"
#include "tools/client/lingering.h"
#include "tools/client/pool.h"
#include "tools/client/request_number.h"

using namespace larder::client;
using namespace larder::test;

namespace {

// Runs this in a child, whose exit status is 0 if it returned true.
class Child {
 public:
  explicit Child(const std::function<bool()>& run) : pid_(fork()) {
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) _exit(run() ? 0 : 1);
  }
  ~Child() {
    if (ended_) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // False also if it does not end.
  bool succeeds() {
    int status = 0;
    ended_ = eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
    return ended_ && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  pid_t pid_;
  bool ended_ = false;
};

Deadline patience() { return std::chrono::steady_clock::now() + kPatience; }

bool is_stored(Connection& connection) {
  const Operation set{.verb = Verb::Set, .key = "k", .value = "v"};
  Answer answer;
  connection.run({&set, 1}, {&answer, 1}, patience());
  return answer.outcome == Outcome::Done;
}

}  // namespace

TEST_CASE("a child does not use the idle connections of its parent, which go on") {
  ChildServer server;
  ConnectionPool pool({"127.0.0.1", static_cast<uint16_t>(server.port()), {}}, {}, 8,
                      std::chrono::hours(1), std::chrono::hours(1));
  auto taken = pool.take(patience());
  REQUIRE(taken.ok());
  Connection* const used = taken->get();
  REQUIRE(is_stored(*used));
  pool.give_back(std::move(*taken));
  Child child([&] {
    if (pool.take_idle() != nullptr || pool.idle() != 0) return false;
    auto own = pool.take(patience());
    return own.ok() && !(*own)->is_inherited() && is_stored(**own);
  });
  CHECK(child.succeeds());
  const auto again = pool.take_idle();
  CHECK(again.get() == used);
  REQUIRE(again);
  CHECK_FALSE(again->is_inherited());
  CHECK(is_stored(*again));
}

TEST_CASE("a connection of the parent takes no operation in a child, and is not kept there") {
  ChildServer server;
  ConnectionPool pool({"127.0.0.1", static_cast<uint16_t>(server.port()), {}}, {}, 8,
                      std::chrono::hours(1), std::chrono::hours(1));
  auto taken = pool.take(patience());
  REQUIRE(taken.ok());
  REQUIRE(is_stored(**taken));
  Child child([&] {
    const bool is_recognized = (*taken)->is_inherited() && (*taken)->is_stale();
    const bool is_used = is_stored(**taken);
    pool.give_back(std::move(*taken));
    return is_recognized && !is_used && pool.idle() == 0;
  });
  CHECK(child.succeeds());
  CHECK(is_stored(**taken));
}

TEST_CASE("a child that closes its copy of a connection with a write under way ends nothing") {
  std::promise<void> child_has_ended;
  ScriptedServer server([&](Peer& peer) {
    peer.read_some();
    child_has_ended.get_future().wait();
    peer.answer("HD c1 O?\r\n");
    if (!peer.read_some().empty()) peer.answer("HD c1 O?\r\n");
    peer.read_until_closed();
  });
  auto opened = Connection::open({"127.0.0.1", server.port(), {}}, {}, patience());
  REQUIRE(opened.ok());
  const Operation remove{.verb = Verb::Delete, .key = "k"};
  Answer answers[2];
  (*opened)->submit({&remove, 1}, {answers, 1});
  (*opened)->advance(patience());
  Child child([&] {
    opened->reset();
    return true;
  });
  CHECK(child.succeeds());
  child_has_ended.set_value();
  while (!(*opened)->idle() && !(*opened)->failed()) (*opened)->advance_by(patience());
  CHECK(answers[0].outcome == Outcome::Done);
  (*opened)->run({&remove, 1}, {answers + 1, 1}, patience());
  CHECK(answers[1].outcome == Outcome::Done);
  opened->reset();
}

TEST_CASE("a child does not have what its parent waits for reset") {
  const int ends[] = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  LingeringList lingering(1);
  lingering.front().take(Descriptor(ends[0]));
  Child child([&] {
    lingering.clear();
    return true;
  });
  CHECK(child.succeeds());
  linger set{1, 1};
  socklen_t size = sizeof set;
  REQUIRE(getsockopt(lingering.front().socket(), SOL_SOCKET, SO_LINGER, &set, &size) == 0);
  CHECK(set.l_onoff == 0);
}

TEST_CASE("parent and child draw different numbers for their requests") {
  static_cast<void>(RequestNumber::any());  // the thread has its source now
  using Drawn = std::array<uint32_t, 4>;
  const auto draw = [] {
    Drawn drawn;
    std::generate(drawn.begin(), drawn.end(), RequestNumber::any);
    return drawn;
  };
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  Child child([&] {
    const Drawn drawn = draw();
    return write(ends[1], drawn.data(), sizeof drawn) == sizeof drawn;
  });
  CHECK(child.succeeds());
  Drawn of_child{};
  CHECK(read(ends[0], of_child.data(), sizeof of_child) == sizeof of_child);
  CHECK(draw() != of_child);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("children that ask at the same moment get their own values") {
  ChildServer server;
  for (const Dialect dialect : {Dialect::Classic, Dialect::Meta, Dialect::Binary}) {
    for (int round = 0; round < 20; ++round) {
      ClientOptions options = options_for({server.port()});
      options.trusted_idle = ClientOptions().trusted_idle;
      options.connection.dialect = dialect;
      const auto cache = make_client(options);
      for (const char* user : {"a", "b"}) REQUIRE(cache->set(user, user).ok());
      const auto asks_for = [&cache](const std::string& user) {
        return [&cache, user] {
          bool good = true;
          for (int i = 0; i < 10; ++i) good = good && value_of(cache->get(user)) == user;
          return good;
        };
      };
      Child first(asks_for("a"));
      Child second(asks_for("b"));
      CHECK(first.succeeds());
      CHECK(second.succeeds());
    }
  }
}

TEST_CASE("a child can end a client that has a thread in the parent") {
  std::atomic<const Cancellation*> waits = nullptr;
  Cancellation stopping;
  auto poller = std::make_unique<Poller>(
      std::chrono::milliseconds(1),
      [&](const Cancellation& cancellation) { waits = &cancellation; }, stopping);
  REQUIRE(eventually([&] { return waits != nullptr; }));
  Child child([&] {
    poller->wake();
    poller.reset();
    return true;
  });
  CHECK(child.succeeds());
  // The child has its own flag, but a descriptor in common with the parent.
  pollfd cancelled = {waits.load()->fd(), POLLIN, 0};
  CHECK(poll(&cancelled, 1, 0) == 0);
}
