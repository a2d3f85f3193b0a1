#include "daemon/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "daemon/tls.h"

namespace larder::daemon {
namespace {

template <class Call>
Socket::Moved moved(Call call) noexcept {
  for (;;) {
    const ssize_t n = call();
    if (n > 0) return {Socket::Status::Ok, static_cast<size_t>(n)};
    if (n == 0) return {Socket::Status::Closed, 0};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Socket::Status::Again, 0};
    return {Socket::Status::Broken, 0};
  }
}

std::string describe(const sockaddr_storage& address, socklen_t length, bool udp = false) {
  char text[INET6_ADDRSTRLEN] = "";
  switch (address.ss_family) {
    case AF_INET: {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
      inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
      return std::string(udp ? "udp:" : "tcp:") + text + ":" + std::to_string(ntohs(v4.sin_port));
    }
    case AF_INET6: {
      const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
      return std::string(udp ? "udp6:[" : "tcp6:[") + text +
             "]:" + std::to_string(ntohs(v6.sin6_port));
    }
    case AF_UNIX: {
      const auto& local = reinterpret_cast<const sockaddr_un&>(address);
      const size_t room = length - offsetof(sockaddr_un, sun_path);
      const size_t bytes = strnlen(local.sun_path, room);
      // A client of a unix socket has no name: memcached shows its address family.
      if (bytes == 0) return "unix:<AF " + std::to_string(AF_UNIX) + ">";
      return "unix:" + std::string(local.sun_path, bytes);
    }
    default:
      return "?:<AF " + std::to_string(address.ss_family) + ">";
  }
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    tls_ = std::move(other.tls_);
  }
  return *this;
}

void Socket::close() noexcept {
  tls_.reset();  // while it can still say goodbye
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Socket::leave_worker() noexcept {
  if (tls_ != nullptr) tls_->leave_worker();
}

bool Socket::holds_input() const noexcept { return tls_ != nullptr && tls_->holds_input(); }

bool Socket::wants_write() const noexcept { return tls_ != nullptr && tls_->wants_write(); }

Socket::Moved Socket::receive(std::span<char> into) noexcept {
  if (tls_ != nullptr) [[unlikely]] {
    const iovec room = {into.data(), into.size()};
    return tls_->receive({&room, 1});
  }
  return moved([&] { return ::recv(fd_, into.data(), into.size(), 0); });
}

Socket::Moved Socket::receive(std::span<const iovec> into) noexcept {
  if (tls_ != nullptr) [[unlikely]]
    return tls_->receive(into);
  return moved([&] { return ::readv(fd_, into.data(), static_cast<int>(into.size())); });
}

Socket::Moved Socket::send(std::span<const iovec> pieces) noexcept {
  if (tls_ != nullptr) [[unlikely]]
    return tls_->send(pieces);
  if (pieces.size() == 1) {  // short replies stand in one buffer: no list for the kernel to copy
    return moved([&] { return ::send(fd_, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL); });
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());  // sendmsg does not write to it
  message.msg_iovlen = pieces.size();
  return moved([&] { return ::sendmsg(fd_, &message, MSG_NOSIGNAL); });
}

std::string local_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "?:<closed>";
  int type = SOCK_STREAM;
  socklen_t type_bytes = sizeof type;
  getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_bytes);
  return describe(address, length, type == SOCK_DGRAM);
}

std::string peer_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "?:<closed>";
  return describe(address, length);
}

std::string udp_address(const sockaddr_storage& address, socklen_t length) {
  return describe(address, length, true);
}

}  // namespace larder::daemon
