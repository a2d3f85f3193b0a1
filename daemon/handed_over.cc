#include "daemon/handed_over.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace larder::daemon {
namespace {

constexpr int kFirstDescriptor = 3;
constexpr int kMostDescriptors = 1024;  // more would be a mistake

// A variable that holds a number; nothing if it is not set.
std::optional<int> number_of(const char* variable) {
  const char* const set = std::getenv(variable);
  if (set == nullptr) return std::nullopt;
  const std::string_view text(set);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
    throw SettingsError(ExitCode::OsError, std::string("environment variable ") + variable + ": '" +
                                               std::string(text) + "' is no number");
  }
  return value;
}

int socket_option(int fd, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

// Not inherited by others, and never waited for.
bool make_ours(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
         ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

[[noreturn]] void refuse(const HandedOver& handed, const std::string& reason) {
  throw SettingsError(ExitCode::OsError, handed.description + ": " + reason);
}

}  // namespace

std::vector<HandedOver> take_handed_over() {
  const std::optional<int> pid = number_of("LISTEN_PID");
  const int count = number_of("LISTEN_FDS").value_or(0);
  const char* const set = std::getenv("LISTEN_FDNAMES");
  const std::string all_names = set != nullptr ? set : "";
  for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(variable);
  if (pid != getpid()) return {};
  if (count > kMostDescriptors) {
    throw SettingsError(ExitCode::OsError, "environment variable LISTEN_FDS: '" +
                                               std::to_string(count) + "' are too many sockets");
  }

  std::vector<HandedOver> sockets;
  std::string_view names = all_names;
  for (int i = 0; i < count; ++i) {
    const int fd = kFirstDescriptor + i;
    HandedOver handed{Socket(fd), "descriptor " + std::to_string(fd) + " of LISTEN_FDS"};
    const std::string_view name = names.substr(0, names.find(':'));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    if (!name.empty()) handed.description += " (" + std::string(name) + ")";
    if (!make_ours(fd)) refuse(handed, "is not open");
    sockets.push_back(std::move(handed));
  }
  return sockets;
}

HandedOverPorts use_handed_over(std::vector<HandedOver> sockets, const Settings& settings) {
  HandedOverPorts ports;
  for (HandedOver& handed : sockets) {
    const int fd = handed.socket.fd();
    const int domain = socket_option(fd, SO_DOMAIN);
    const int type = socket_option(fd, SO_TYPE);
    const bool network = domain == AF_INET || domain == AF_INET6;
    if (type < 0) refuse(handed, "is no socket");
    if (type == SOCK_DGRAM && network) {
      if (bound_port(fd) == 0) refuse(handed, "is a UDP socket without a port");
      if (settings.sasl || !settings.auth_file.empty()) {
        refuse(handed, "is a UDP socket, and over UDP nobody can authenticate (-S, -Y)");
      }
      ports.udp_sockets.push_back(
          {std::move(handed.socket), bound_port(fd), domain == AF_INET6, false});
    } else if (type == SOCK_STREAM && (network || domain == AF_UNIX)) {
      if (socket_option(fd, SO_ACCEPTCONN) != 1) refuse(handed, "is a socket that does not listen");
      ports.listeners.push_back(Listener::take(std::move(handed.socket), domain, settings));
    } else {
      refuse(handed, "is neither a TCP, a UDP nor a unix stream socket");
    }
  }
  return ports;
}

}  // namespace larder::daemon
