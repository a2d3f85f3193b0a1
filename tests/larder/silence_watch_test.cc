#include "tools/larder/silence_watch.h"

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace larder::operate;
using std::chrono::milliseconds;

namespace {

struct Pair {
  int fds[2];
  Pair() { REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0); }
  ~Pair() {
    close(fds[0]);
    close(fds[1]);
  }
};

}  // namespace

TEST_CASE("a socket that is silent for too long is shut") {
  const Pair pair;
  const SilenceWatch watch(pair.fds[0], milliseconds(1));
  char byte;
  CHECK(read(pair.fds[0], &byte, 1) == 0);  // blocks until then
  CHECK(watch.has_given_up());
}

TEST_CASE("a watch shuts its own socket, also where another has got the number") {
  const Pair watched;
  const Pair other;
  const SilenceWatch watch(watched.fds[0], milliseconds(20));
  // As if its owner had closed it and the next socket that is opened had its number.
  REQUIRE(dup2(other.fds[0], watched.fds[0]) == watched.fds[0]);
  char byte;
  CHECK(read(watched.fds[1], &byte, 1) == 0);  // blocks until it is shut
  CHECK(send(other.fds[0], "x", 1, MSG_NOSIGNAL) == 1);
  CHECK(read(other.fds[1], &byte, 1) == 1);
}

TEST_CASE("a watch that is paused, or ends before, shuts nothing") {
  const Pair pair;
  {
    SilenceWatch watch(pair.fds[0], milliseconds(1000));
    watch.pause();
    watch.resume();
    CHECK_FALSE(watch.has_given_up());
  }
  CHECK(write(pair.fds[0], "x", 1) == 1);
  char byte;
  CHECK(read(pair.fds[1], &byte, 1) == 1);
}
