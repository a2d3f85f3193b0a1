#include "tests/support/wire_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace larder::test {

WireClient WireClient::over_tcp(int port) { return WireClient(connect_over_tcp(port, 0)); }

WireClient WireClient::over_tcp_with_small_buffer(int port, int bytes) {
  return WireClient(connect_over_tcp(port, bytes));
}

WireClient WireClient::over_unix(const std::string& path) {
  daemon::Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error(std::string("cannot connect: ") + std::strerror(errno));
  }
  return WireClient(std::move(socket));
}

void WireClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    wait_for(socket_.fd(), POLLOUT);
    const ssize_t n = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      throw std::runtime_error(std::string("cannot send: ") + std::strerror(errno));
    }
    if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
  }
}

size_t WireClient::send_some(std::string_view bytes) {
  const ssize_t n = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return n > 0 ? static_cast<size_t>(n) : 0;
}

bool WireClient::receive_more() {
  char buffer[65536];
  wait_for(socket_.fd(), POLLIN);
  const ssize_t n = ::recv(socket_.fd(), buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  received_.append(buffer, static_cast<size_t>(n));
  return true;
}

void WireClient::finish_sending() { ::shutdown(socket_.fd(), SHUT_WR); }

}  // namespace larder::test
