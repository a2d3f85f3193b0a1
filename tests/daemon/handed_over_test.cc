#include "daemon/handed_over.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

using namespace larder::daemon;

namespace {

Socket bound(int domain, int type, bool listens) {
  Socket socket(::socket(domain, type, 0));
  sockaddr_in6 any{};  // long enough for both families
  any.sin6_family = static_cast<sa_family_t>(domain);
  REQUIRE(::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&any),
                 domain == AF_UNIX ? sizeof(sa_family_t) : sizeof any) == 0);
  if (listens) REQUIRE(::listen(socket.fd(), 5) == 0);
  return socket;
}

HandedOverPorts use(Socket socket, const Settings& settings = {}) {
  std::vector<HandedOver> handed;
  handed.push_back({std::move(socket), "descriptor 3 of LISTEN_FDS"});
  return use_handed_over(std::move(handed), settings);
}

void set_environment(const std::string& pid, const std::string& count) {
  setenv("LISTEN_PID", pid.c_str(), 1);
  setenv("LISTEN_FDS", count.c_str(), 1);
}

}  // namespace

TEST_CASE("stream sockets become listeners, datagram sockets UDP ports") {
  const HandedOverPorts tcp = use(bound(AF_INET, SOCK_STREAM, true));
  REQUIRE(tcp.listeners.size() == 1);
  CHECK(tcp.listeners[0].is_tcp());
  CHECK(!tcp.listeners[0].is_v6());
  CHECK(tcp.listeners[0].port() > 0);

  const HandedOverPorts v6 = use(bound(AF_INET6, SOCK_STREAM, true));
  REQUIRE(v6.listeners.size() == 1);
  CHECK(v6.listeners[0].is_v6());

  const HandedOverPorts local = use(bound(AF_UNIX, SOCK_STREAM, true));
  REQUIRE(local.listeners.size() == 1);
  CHECK(!local.listeners[0].is_tcp());

  const HandedOverPorts udp = use(bound(AF_INET, SOCK_DGRAM, false));
  CHECK(udp.listeners.empty());
  REQUIRE(udp.udp_sockets.size() == 1);
  CHECK(udp.udp_sockets[0].port > 0);
}

TEST_CASE("what is handed over speaks as -B and -Z say") {
  Settings settings;
  settings.protocol = Settings::Protocol::Binary;
  settings.tls.enabled = true;
  const HandedOverPorts tcp = use(bound(AF_INET, SOCK_STREAM, true), settings);
  CHECK(tcp.listeners[0].traits().protocol == Settings::Protocol::Binary);
  CHECK(tcp.listeners[0].traits().tls == TlsMode::AsSet);
  const HandedOverPorts local = use(bound(AF_UNIX, SOCK_STREAM, true), settings);
  CHECK(local.listeners[0].traits().tls == TlsMode::Off);
}

TEST_CASE("anything else that is handed over is an error that names it") {
  CHECK_THROWS_WITH(use(bound(AF_INET, SOCK_STREAM, false)),
                    "descriptor 3 of LISTEN_FDS: is a socket that does not listen");
  CHECK_THROWS_WITH(use(Socket(::socket(AF_INET, SOCK_DGRAM, 0))),
                    "descriptor 3 of LISTEN_FDS: is a UDP socket without a port");
  CHECK_THROWS_WITH(use(bound(AF_UNIX, SOCK_DGRAM, false)),
                    "descriptor 3 of LISTEN_FDS: is neither a TCP, a UDP nor a unix stream socket");
  CHECK_THROWS_WITH(use(bound(AF_UNIX, SOCK_SEQPACKET, true)),
                    "descriptor 3 of LISTEN_FDS: is neither a TCP, a UDP nor a unix stream socket");
  CHECK_THROWS_WITH(use(Socket(::open("/dev/null", O_RDONLY | O_CLOEXEC))),
                    "descriptor 3 of LISTEN_FDS: is no socket");
}

TEST_CASE("where clients authenticate no UDP socket is served") {
  Settings settings;
  SECTION("-S") { settings.sasl = true; }
  SECTION("-Y") { settings.auth_file = "/users"; }
  CHECK_THROWS_WITH(use(bound(AF_INET, SOCK_DGRAM, false), settings),
                    "descriptor 3 of LISTEN_FDS: is a UDP socket, and over UDP nobody can "
                    "authenticate (-S, -Y)");
}

TEST_CASE("sockets of another process are left alone, and nobody takes them later") {
  CHECK(take_handed_over().empty());
  set_environment("1", "3");
  CHECK(take_handed_over().empty());
  CHECK(std::getenv("LISTEN_PID") == nullptr);
  CHECK(std::getenv("LISTEN_FDS") == nullptr);
  set_environment(std::to_string(getpid()), "0");
  CHECK(take_handed_over().empty());
}

TEST_CASE("numbers that are none end the start") {
  set_environment(std::to_string(getpid()), "two");
  CHECK_THROWS_WITH(take_handed_over(), "environment variable LISTEN_FDS: 'two' is no number");
  set_environment("me", "2");
  CHECK_THROWS_WITH(take_handed_over(), "environment variable LISTEN_PID: 'me' is no number");
  set_environment(std::to_string(getpid()), "100000");
  CHECK_THROWS_WITH(take_handed_over(),
                    "environment variable LISTEN_FDS: '100000' are too many sockets");
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
}
