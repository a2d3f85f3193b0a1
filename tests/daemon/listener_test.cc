#include "daemon/listener.h"

#include <netdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tests/support/temp_folder.h"
#include "tests/support/wire_client.h"

using namespace larder::daemon;
using larder::test::TempFolder;
using larder::test::WireClient;

namespace {

Settings any_port(std::vector<std::string> listen) {
  Settings settings;
  settings.port = -1;
  settings.listen = std::move(listen);
  return settings;
}

// The sentence with which opening fails; empty if it does not.
std::string refusal(const Settings& settings) {
  try {
    Listener::open_all(settings);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("port -1 takes any free port, another one for each address") {
  const auto listeners = Listener::open_all(any_port({"127.0.0.1", "127.0.0.1"}));
  REQUIRE(listeners.size() == 2);
  CHECK(listeners[0].port() > 0);
  CHECK(listeners[1].port() > 0);
  CHECK(listeners[0].port() != listeners[1].port());
  CHECK(listeners[0].address() == "tcp:127.0.0.1:" + std::to_string(listeners[0].port()));
}

TEST_CASE("a name is resolved and v6 is v6 only") {
  addrinfo* found = nullptr;
  const int error = getaddrinfo("localhost", nullptr, nullptr, &found);
  if (error != 0) {
    // A machine without /etc/hosts, as debootstrap leaves it.
    WARN("localhost has no address here: " << gai_strerror(error));
    CHECK(refusal(any_port({"localhost"})) ==
          "cannot listen on -l localhost (-p -1): " + std::string(gai_strerror(error)));
    return;
  }
  freeaddrinfo(found);
  const auto listeners = Listener::open_all(any_port({"localhost"}));
  REQUIRE_FALSE(listeners.empty());
  for (const Listener& listener : listeners) {
    const std::string start = listener.is_v6() ? "tcp6:[::1]:" : "tcp:127.0.0.1:";
    CHECK(listener.address() == start + std::to_string(listener.port()));
  }
}

TEST_CASE("a port in use is refused with a sentence that names it") {
  const auto taken = Listener::open_all(any_port({"127.0.0.1"}));
  const std::string port = std::to_string(taken[0].port());
  Settings settings;
  settings.port = taken[0].port();
  settings.listen = {"127.0.0.1"};
  CHECK(refusal(settings) == "cannot listen on -l 127.0.0.1 (-p " + port + "): the port is in use");
  settings.listen.clear();
  CHECK(refusal(settings) == "cannot listen on -p " + port + ": the port is in use");
}

TEST_CASE("an address that is not ours is refused") {
  CHECK(refusal(any_port({"192.0.2.1"})) ==
        "cannot listen on -l 192.0.2.1 (-p -1): this machine does not have that address");
  CHECK(refusal(any_port({"no.such.name.invalid"}))
            .find("cannot listen on -l no.such.name.invalid") == 0);
}

TEST_CASE("port 0 turns TCP off, and so does -s without -p") {
  Settings settings;
  settings.port = 0;
  CHECK(Listener::open_all(settings).empty());

  TempFolder folder;
  settings.port = 11211;
  settings.unix_socket = folder.file("socket");
  const auto listeners = Listener::open_all(settings);
  REQUIRE(listeners.size() == 1);
  CHECK_FALSE(listeners[0].is_tcp());
  CHECK(listeners[0].address() == "unix:" + settings.unix_socket);
}

TEST_CASE("-s with -p opens both") {
  TempFolder folder;
  Settings settings = any_port({"127.0.0.1"});
  settings.port_given = true;
  settings.unix_socket = folder.file("socket");
  CHECK(Listener::open_all(settings).size() == 2);
}

TEST_CASE("the unix socket has the mode that -a asks for and goes with its listener") {
  TempFolder folder;
  Settings settings;
  settings.unix_socket = folder.file("socket");
  settings.unix_mode = 0660;
  struct stat file {};
  {
    const auto listeners = Listener::open_all(settings);
    REQUIRE(lstat(settings.unix_socket.c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0660);
  }
  CHECK(lstat(settings.unix_socket.c_str(), &file) == -1);
}

TEST_CASE("a socket file that a killed server left is replaced, one in use is not") {
  TempFolder folder;
  Settings settings;
  settings.unix_socket = folder.file("socket");
  {
    // A listener that dies without cleaning up: the file stays, nobody answers.
    auto listeners = Listener::open_all(settings);
    REQUIRE(link(settings.unix_socket.c_str(), folder.file("kept").c_str()) == 0);
  }
  REQUIRE(rename(folder.file("kept").c_str(), settings.unix_socket.c_str()) == 0);
  const auto listeners = Listener::open_all(settings);
  REQUIRE(listeners.size() == 1);
  WireClient::over_unix(settings.unix_socket);  // throws if it does not work
  CHECK(refusal(settings) ==
        "cannot listen on -s " + settings.unix_socket + ": another server answers there");
  WireClient::over_unix(settings.unix_socket);
}

TEST_CASE("a file that is no socket is not replaced") {
  TempFolder folder;
  Settings settings;
  settings.unix_socket = folder.file("precious");
  std::ofstream(settings.unix_socket) << "data";
  CHECK(refusal(settings) ==
        "cannot listen on -s " + settings.unix_socket + ": a file that is no socket is in the way");
  settings.unix_socket = folder.file(std::string(200, 'x'));
  CHECK(refusal(settings).find("the path is longer than 107 bytes") != std::string::npos);
}

TEST_CASE("accept gives an empty socket when nobody waits") {
  auto listeners = Listener::open_all(any_port({"127.0.0.1"}));
  CHECK_FALSE(listeners[0].accept());
  CHECK(errno == EAGAIN);
  const WireClient client = WireClient::over_tcp(listeners[0].port());
  const Socket accepted = listeners[0].accept();
  REQUIRE(accepted);
  CHECK(local_address(accepted.fd()) == listeners[0].address());
  CHECK(peer_address(accepted.fd()) == local_address(client.fd()));
}

TEST_CASE("the port file lists what was found") {
  TempFolder folder;
  const std::string name = folder.file("ports");
  const auto listeners = Listener::open_all(any_port({"127.0.0.1", "127.0.0.1"}));
  setenv("MEMCACHED_PORT_FILENAME", name.c_str(), 1);
  write_port_file(listeners);
  unsetenv("MEMCACHED_PORT_FILENAME");
  std::ifstream file(name);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  CHECK(text == "TCP INET: " + std::to_string(listeners[0].port()) +
                    "\nTCP INET: " + std::to_string(listeners[1].port()) + "\n");
  CHECK(access((name + ".lck").c_str(), F_OK) == -1);
}

TEST_CASE("a link of the name of the port file's draft is replaced, and its target left alone") {
  TempFolder folder;
  const std::string name = folder.file("ports");
  std::ofstream(folder.file("precious")) << "precious";
  std::filesystem::create_symlink(folder.file("precious"), name + ".lck");
  const auto listeners = Listener::open_all(any_port({"127.0.0.1"}));
  setenv("MEMCACHED_PORT_FILENAME", name.c_str(), 1);
  write_port_file(listeners);
  unsetenv("MEMCACHED_PORT_FILENAME");
  const auto content = [](const std::string& path) {
    std::ifstream file(path);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  CHECK(content(name) == "TCP INET: " + std::to_string(listeners[0].port()) + "\n");
  CHECK(content(folder.file("precious")) == "precious");
}

TEST_CASE("a listener has the traits that its -l names, or else those of the whole server") {
  Settings settings =
      any_port({"127.0.0.1", "proto[ascii]:127.0.0.1", "proto[negotiating]:tag_a_:127.0.0.1"});
  settings.protocol = Settings::Protocol::Binary;
  const auto listeners = Listener::open_all(settings);
  REQUIRE(listeners.size() == 3);
  CHECK(listeners[0].traits().protocol == Settings::Protocol::Binary);
  CHECK(listeners[1].traits().protocol == Settings::Protocol::Ascii);
  CHECK(listeners[2].traits().protocol == Settings::Protocol::Auto);
  CHECK(listeners[0].description() == listeners[0].address() + " (binary)");
  CHECK(listeners[1].description() == listeners[1].address() + " (ascii)");
  CHECK(listeners[2].description() == listeners[2].address() + " (tag a)");
  for (const Listener& listener : listeners) CHECK(listener.traits().tls == TlsMode::Off);
}

TEST_CASE("where clients authenticate no listener speaks a protocol that cannot") {
  Settings text = any_port({"127.0.0.1", "proto[ascii]:127.0.0.1", "proto[negotiating]:127.0.0.1"});
  text.protocol = Settings::Protocol::Ascii;
  text.auth_file = "users";
  for (const Listener& listener : Listener::open_all(text)) {
    CHECK(listener.traits().protocol == Settings::Protocol::Ascii);
  }
  text.listen = {"proto[binary]:127.0.0.1"};
  CHECK(refusal(text) ==
        "cannot listen on -l proto[binary]:127.0.0.1 (-p -1): -Y needs the ascii protocol");

  Settings binary = any_port({"127.0.0.1", "proto[binary]:127.0.0.1"});
  binary.protocol = Settings::Protocol::Binary;
  binary.sasl = true;
  CHECK(Listener::open_all(binary).size() == 2);
  for (const std::string prefix : {"proto[ascii]", "proto[negotiating]"}) {
    binary.listen = {prefix + ":127.0.0.1"};
    CHECK(refusal(binary) ==
          "cannot listen on -l " + prefix + ":127.0.0.1 (-p -1): -S needs the binary protocol");
  }
}

TEST_CASE("with -Z every TCP listener speaks TLS unless its -l says otherwise") {
  TempFolder folder;
  Settings settings = any_port(
      {"127.0.0.1", "notls:127.0.0.1", "btls:127.0.0.1", "mtls:proto[ascii]:tag[admin]:127.0.0.1"});
  settings.port_given = true;
  settings.unix_socket = folder.file("socket");
  settings.tls.enabled = true;
  const auto listeners = Listener::open_all(settings);
  REQUIRE(listeners.size() == 5);
  CHECK(listeners[0].traits().tls == TlsMode::Off);  // the unix socket
  CHECK(listeners[1].traits().tls == TlsMode::AsSet);
  CHECK(listeners[2].traits().tls == TlsMode::Off);
  CHECK(listeners[3].traits().tls == TlsMode::NoPeer);
  CHECK(listeners[4].traits().tls == TlsMode::WithPeer);
  CHECK(listeners[4].description() ==
        listeners[4].address() + " (tls, client certificates required, ascii, tag admin)");
}

TEST_CASE("without -Z an -l cannot ask for TLS, or for none") {
  for (const std::string prefix : {"notls", "btls", "mtls"}) {
    CHECK(refusal(any_port({prefix + ":127.0.0.1"})) ==
          "cannot listen on -l " + prefix + ":127.0.0.1: '" + prefix +
              "' option is valid only when SSL is enabled (-Z)");
  }
}

TEST_CASE("every worker has a UDP socket of its own on the one address") {
  Settings settings = any_port({"127.0.0.1"});
  settings.udp_port = -1;
  settings.threads = 3;
  const auto sockets = open_udp_sockets(settings);
  REQUIRE(sockets.size() == 3);
  CHECK(!sockets[0].shared);
  for (const UdpSocket& udp : sockets) {
    CHECK(udp.port == sockets[0].port);
    CHECK(local_address(udp.socket.fd()) == "udp:127.0.0.1:" + std::to_string(udp.port));
  }
  CHECK(sockets[1].shared);
  CHECK(sockets[2].shared);

  // Whoever comes later cannot share it.
  settings.udp_port = sockets[0].port;
  CHECK_THROWS_WITH(open_udp_sockets(settings), "cannot listen on -l 127.0.0.1 (-U " +
                                                    std::to_string(settings.udp_port) +
                                                    "): the port is in use");
}

TEST_CASE("of several UDP addresses each has one worker, and a port of -l counts for both") {
  Settings settings = any_port({"127.0.0.1", "[::1]", "127.0.0.2:-1"});
  settings.udp_port = -1;
  const auto sockets = open_udp_sockets(settings);
  REQUIRE(sockets.size() == 3);
  CHECK(sockets[1].v6);
  CHECK(local_address(sockets[1].socket.fd()).starts_with("udp6:[::1]:"));
  for (const UdpSocket& udp : sockets) CHECK(!udp.shared);
}

TEST_CASE("there is no UDP unless it is asked for, and not beside a unix socket alone") {
  Settings settings = any_port({"127.0.0.1"});
  CHECK(open_udp_sockets(settings).empty());
  settings.udp_port = -1;
  settings.unix_socket = "/nowhere";
  CHECK(open_udp_sockets(settings).empty());
  settings.port_given = true;
  CHECK(!open_udp_sockets(settings).empty());
}

TEST_CASE("the port file names an address's UDP port once") {
  TempFolder folder;
  Settings settings = any_port({"127.0.0.1"});
  settings.udp_port = -1;
  const auto sockets = open_udp_sockets(settings);
  setenv("MEMCACHED_PORT_FILENAME", folder.file("ports").c_str(), 1);
  write_port_file({}, sockets);
  unsetenv("MEMCACHED_PORT_FILENAME");
  std::ifstream file(folder.file("ports"));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  CHECK(text == "UDP INET: " + std::to_string(sockets[0].port) + "\n");
}
