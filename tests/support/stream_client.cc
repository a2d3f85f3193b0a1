#include "tests/support/stream_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace larder::test {

void wait_for(int fd, short what) {
  pollfd waiting{fd, what, 0};
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
  if (poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) {
    throw std::runtime_error(what == POLLIN ? "the server does not answer"
                                            : "the server does not read");
  }
}

daemon::Socket connect_over_tcp(int port, int receive_buffer) {
  daemon::Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (receive_buffer > 0) {
    setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  const int on = 1;
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error(std::string("cannot connect: ") + std::strerror(errno));
  }
  return socket;
}

std::string StreamClient::receive(size_t bytes) {
  while (received_.size() < bytes) {
    if (!receive_more()) throw std::runtime_error("closed after '" + received_ + "'");
  }
  std::string out = received_.substr(0, bytes);
  received_.erase(0, bytes);
  return out;
}

std::string StreamClient::receive_line() { return receive_until("\r\n"); }

std::string StreamClient::receive_until(std::string_view end) {
  size_t searched = 0;
  for (;;) {
    const size_t at = received_.find(end, searched);
    if (at != std::string::npos) return receive(at + end.size());
    searched = received_.size() < end.size() ? 0 : received_.size() - end.size() + 1;
    if (!receive_more()) throw std::runtime_error("closed after '" + received_ + "'");
  }
}

std::string StreamClient::receive_until_closed() {
  while (receive_more()) {
  }
  return std::exchange(received_, {});
}

bool StreamClient::has_input() const {
  pollfd waiting{socket_.fd(), POLLIN, 0};
  return !received_.empty() || poll(&waiting, 1, 0) > 0;
}

bool StreamClient::closed_by_peer() {
  const std::string rest = receive_until_closed();
  if (!rest.empty()) throw std::runtime_error("instead of the end came '" + rest + "'");
  return true;
}

std::string StreamClient::ask(std::string_view request, size_t reply_bytes) {
  send(request);
  return receive(reply_bytes);
}

std::string StreamClient::ask_line(std::string_view request) {
  send(std::string(request) + "\r\n");
  std::string line = receive_line();
  line.resize(line.size() - 2);
  return line;
}

bool StreamClient::answers(std::string_view request, std::string_view reply) {
  const std::string got = ask(std::string(request) + "mn\r\n", reply.size() + 4);
  if (got == std::string(reply) + "MN\r\n") return true;
  throw std::runtime_error("expected '" + std::string(reply) + "', got '" + got + "'");
}

void StreamClient::reset() {
  const linger now{1, 0};
  setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  socket_.close();
}

}  // namespace larder::test
