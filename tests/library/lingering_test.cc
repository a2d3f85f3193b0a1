// Lingering: a connection has ended when the server has closed, not before.
#include "tools/client/lingering.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
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

std::vector<Lingering> lingering_from(int socket) {
  std::vector<Lingering> all;
  std::optional<Lingering> made = Lingering::from(socket);
  REQUIRE(made);
  all.push_back(std::move(*made));
  close(socket);  // as a connection does that was given up
  return all;
}

}  // namespace

TEST_CASE("the server reads all that was sent and then the end, and so does the client") {
  const auto ends = connected();
  REQUIRE(write(ends[0], "set", 3) == 3);
  std::vector<Lingering> lingering = lingering_from(ends[0]);
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
  std::vector<Lingering> lingering = lingering_from(ends[0]);
  close(ends[1]);
  CHECK(await_end(lingering, in(std::chrono::milliseconds(-1))));
  CHECK(await_end({}, in(std::chrono::milliseconds(-1))));
}

TEST_CASE("the end is noticed while it is waited for") {
  const auto ends = connected();
  std::vector<Lingering> lingering = lingering_from(ends[0]);
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
    std::vector<Lingering> lingering = lingering_from(ends[0]);
    std::vector<Lingering> moved = std::move(lingering);
    CHECK(moved.size() == 1);
  }
  // Nobody holds the other end any more.
  CHECK(send(ends[1], "x", 1, MSG_NOSIGNAL) < 0);
  close(ends[1]);
}
