// Transport: how long a receive waits, and whose fault a connect that fails is.
#include "tools/client/transport.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "tests/support/stream_client.h"
#include "tools/client/connection.h"

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

bool write_setting(const std::string& name, const std::string& value) {
  std::ofstream file("/proc/sys/net/" + name);
  file << value << std::flush;
  return file.good();
}

// Gives this process, which has one thread, a network of its own: loopback without IPv6, and one
// local port. False: the system does not allow it.
bool enter_network_with_one_port() {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP;
  return ioctl(any.get(), SIOCSIFFLAGS, &loopback) == 0 &&
         write_setting("ipv6/conf/lo/disable_ipv6", "1") &&
         write_setting("ipv4/ip_local_port_range", "30000 30000");
}

enum class Found { AsExpected, Otherwise, NoNetwork };

Found connects_without_a_port() {
  constexpr uint16_t kPort = 20000;
  if (!enter_network_with_one_port()) return Found::NoNetwork;
  const auto deadline = std::chrono::steady_clock::now() + larder::test::kPatience;
  // Nobody listens at the one address, and this machine cannot use the other.
  const auto refused = connect_to({"localhost", kPort, {}}, {}, deadline);
  if (refused.ok() || refused.error().is_local) return Found::Otherwise;
  const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener.get(), 8) != 0) {
    return Found::NoNetwork;
  }
  const auto first = connect_to({"127.0.0.1", kPort, {}}, {}, deadline);
  const auto second = connect_to({"127.0.0.1", kPort, {}}, {}, deadline);
  const bool is_local = first.ok() && !second.ok() &&
                        second.error().kind == ErrorKind::Unreachable && second.error().is_local;
  return is_local ? Found::AsExpected : Found::Otherwise;
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

TEST_CASE("a connect without a local port left is not the server's fault") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(static_cast<int>(connects_without_a_port()));
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  const auto found = static_cast<Found>(WEXITSTATUS(status));
  if (found == Found::NoNetwork) {
    WARN("the system allows no network of its own");
    return;
  }
  CHECK(found == Found::AsExpected);
}
