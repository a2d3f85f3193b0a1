// Lingering: a connection has ended when the server has closed, not before.
#include "tools/client/lingering.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace larder::client;

namespace {

Deadline in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

std::array<int, 2> connected() {
  std::array<int, 2> ends;
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
  return ends;
}

// Over TCP, with as little room on the way as there may be.
std::array<int, 2> connected_by_tcp() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int least = 1;
  setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), bytes) == 0);
  REQUIRE(listen(listener, 1) == 0);
  REQUIRE(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
  std::array<int, 2> ends{socket(AF_INET, SOCK_STREAM, 0), -1};
  REQUIRE(connect(ends[0], reinterpret_cast<const sockaddr*>(&address), bytes) == 0);
  ends[1] = accept(listener, nullptr, nullptr);
  REQUIRE(ends[1] >= 0);
  close(listener);
  return ends;
}

LingeringList lingering_from(int socket) {
  LingeringList all(1);
  all.front().take(Descriptor(socket));
  return all;
}

}  // namespace

TEST_CASE("the server reads all that was sent and then the end, and so does the client") {
  const auto ends = connected();
  REQUIRE(write(ends[0], "set", 3) == 3);
  LingeringList lingering = lingering_from(ends[0]);
  CHECK_FALSE(await_end(lingering, in(std::chrono::milliseconds(5))));

  char bytes[8];
  CHECK(read(ends[1], bytes, sizeof bytes) == 3);
  CHECK(read(ends[1], bytes, sizeof bytes) == 0);
  REQUIRE(write(ends[1], "STORED", 6) == 6);
  CHECK_FALSE(await_end(lingering, in(std::chrono::milliseconds(5))));
  close(ends[1]);
  CHECK(await_end(lingering, in(std::chrono::seconds(60))));
}

TEST_CASE("one that has ended is not waited for, however late it is") {
  const auto ends = connected();
  LingeringList lingering = lingering_from(ends[0]);
  close(ends[1]);
  CHECK(await_end(lingering, in(std::chrono::milliseconds(-1))));
  LingeringList none;
  CHECK(await_end(none, in(std::chrono::milliseconds(-1))));
}

TEST_CASE("the end is noticed while it is waited for") {
  const auto ends = connected();
  LingeringList lingering = lingering_from(ends[0]);
  std::thread server([&] {
    char byte;
    while (read(ends[1], &byte, 1) > 0) {
    }
    close(ends[1]);
  });
  CHECK(await_end(lingering, in(std::chrono::seconds(60))));
  server.join();
}

TEST_CASE("a lingering connection closes its descriptor") {
  const auto ends = connected();
  {
    LingeringList lingering = lingering_from(ends[0]);
    LingeringList moved = std::move(lingering);
    CHECK(moved.size() == 1);
  }
  // Nobody holds the other end any more.
  CHECK(send(ends[1], "x", 1, MSG_NOSIGNAL) < 0);
  close(ends[1]);
}

TEST_CASE("what was not sent when it is not waited for any more is not sent later") {
  const auto ends = connected_by_tcp();
  const std::string writes(1u << 20, 'w');
  const ssize_t queued = send(ends[0], writes.data(), writes.size(), MSG_DONTWAIT);
  REQUIRE(queued > 0);
  {
    LingeringList lingering = lingering_from(ends[0]);
    CHECK_FALSE(await_end(lingering, in(std::chrono::milliseconds(5))));
  }
  ssize_t came = 0;
  char bytes[4096];
  for (ssize_t n; (n = read(ends[1], bytes, sizeof bytes)) > 0;) came += n;
  CHECK(came < queued);
  close(ends[1]);
}

TEST_CASE("a hung server's machine that acknowledges is waited for, however full its buffer is") {
  const auto ends = connected_by_tcp();
  const std::string writes(1u << 20, 'w');
  const ssize_t queued = send(ends[0], writes.data(), writes.size(), MSG_DONTWAIT);
  REQUIRE(queued > 0);
  LingeringList lingering = lingering_from(ends[0]);
  // The kernel takes the real time, and asks some five times in it.
  CHECK_FALSE(await_end(lingering, in(std::chrono::seconds(kUnheardSeconds + 2))));
  ssize_t came = 0;
  std::thread server([&] {
    char bytes[4096];
    for (ssize_t n; (n = read(ends[1], bytes, sizeof bytes)) > 0;) came += n;
    close(ends[1]);
  });
  CHECK(await_end(lingering, in(std::chrono::seconds(60))));
  server.join();
  CHECK(came == queued);
}

TEST_CASE("a machine is silent from what it owes on, not from what it said last") {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  const Silence::TimePoint begin{seconds(1000)};
  Silence silence;
  const auto look = [&](seconds after, const TcpState& state) {
    return silence.is_too_long(state, begin + after);
  };
  const seconds most(kUnheardSeconds);

  // All is acknowledged, and the window is 0: the next probe comes when it comes.
  silence.begin({.since_ack = seconds(1)}, begin);
  CHECK_FALSE(look(seconds(50), {.since_ack = seconds(51)}));
  CHECK_FALSE(look(seconds(100), {.since_ack = seconds(101), .probes = 1}));
  CHECK_FALSE(look(seconds(101), {.since_ack = seconds(1)}));
  CHECK_FALSE(look(seconds(200), {.since_ack = seconds(100), .probes = 1}));
  CHECK_FALSE(look(seconds(204), {.since_ack = seconds(104), .probes = 2}));
  CHECK(look(seconds(200) + most, {.since_ack = seconds(105), .probes = 2}));

  // What was sent before the connection was given up is owed at once.
  silence.begin({.since_ack = seconds(1), .unacknowledged = 2}, begin);
  CHECK_FALSE(look(seconds(4), {.since_ack = seconds(5), .unacknowledged = 2}));
  CHECK(look(most, {.since_ack = seconds(6), .unacknowledged = 2}));

  // It counts anew when it is sent again behind an acknowledgement of something else.
  silence.begin({.since_ack = seconds(1), .unacknowledged = 2}, begin);
  const auto owed = [](seconds since_ack, uint32_t retransmissions) {
    return TcpState{
        .since_ack = since_ack, .unacknowledged = 1, .retransmissions = retransmissions};
  };
  CHECK_FALSE(look(seconds(6), owed(seconds(5), 0)));
  CHECK_FALSE(look(seconds(20), owed(seconds(19), 0)));
  CHECK_FALSE(look(seconds(30), owed(seconds(29), 1)));
  CHECK_FALSE(look(seconds(34), owed(seconds(33), 1)));
  CHECK(look(seconds(30) + most, owed(seconds(34), 2)));
}
