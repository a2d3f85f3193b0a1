// Transport: how long a receive waits.
#include "tools/client/transport.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/support/stream_client.h"

using namespace larder::client;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kTick(10);  // of a kernel with 100 Hz, to which it rounds up

// What the kernel waits at most for a byte of this socket.
std::chrono::microseconds patience_of(int socket) {
  timeval time{};
  socklen_t bytes = sizeof time;
  REQUIRE(getsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, &bytes) == 0);
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

TEST_CASE("the kernel's wait for a byte leaves an eighth of the time, by which it may be late") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Descriptor peer(ends[1]);
  const auto transport = plain_transport(Descriptor(ends[0]));
  for (const milliseconds wait : {milliseconds(100'000), milliseconds(90'000), milliseconds(500),
                                  milliseconds(80'000), milliseconds(1)}) {
    REQUIRE(send(peer.get(), "x", 1, 0) == 1);
    char byte;
    const iovec into{&byte, 1};
    CHECK(transport->receive_by({&into, 1}, std::chrono::steady_clock::now() + wait).bytes == 1);
    CHECK(patience_of(transport->fd()) * 9 / 8 <= wait + kTick);
  }
}

TEST_CASE("a receive waits until its deadline, and for the byte that comes before") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Descriptor peer(ends[1]);
  const auto transport = plain_transport(Descriptor(ends[0]));
  char byte;
  const iovec into{&byte, 1};
  for (const milliseconds wait : {milliseconds(0), milliseconds(1), milliseconds(50)}) {
    const auto deadline = std::chrono::steady_clock::now() + wait;
    const Transport::Moved moved = transport->receive_by({&into, 1}, deadline);
    CHECK(moved.status == Transport::Status::Again);
    CHECK(std::chrono::steady_clock::now() >= deadline);
  }
  std::thread sender([&] {
    std::this_thread::sleep_for(milliseconds(20));
    static_cast<void>(send(peer.get(), "x", 1, 0));
  });
  const auto deadline = std::chrono::steady_clock::now() + larder::test::kPatience;
  CHECK(transport->receive_by({&into, 1}, deadline).status == Transport::Status::Moved);
  CHECK(transport->receive_by({&into, 1}, std::chrono::steady_clock::now()).status ==
        Transport::Status::Again);
  sender.join();
}
