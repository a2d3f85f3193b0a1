#include "tests/support/udp_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "tests/support/wire_client.h"

namespace larder::test {

using daemon::UdpHeader;
using daemon::UdpMessage;

namespace {

sockaddr_in address_of(const char* host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

}  // namespace

UdpClient::UdpClient(int port, UdpAddress own)
    : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  const int room = 8 * 1024 * 1024;  // for a whole reply, as far as the kernel allows
  setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  const sockaddr_in from = address_of(own.host, own.port);
  const sockaddr_in to = address_of("127.0.0.1", port);
  if (bind(socket_.fd(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0 ||
      connect(socket_.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    throw std::runtime_error("cannot have a UDP socket");
  }
}

void UdpClient::send_raw(std::string_view datagram) {
  if (::send(socket_.fd(), datagram.data(), datagram.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(datagram.size())) {
    throw std::runtime_error("cannot send a datagram");
  }
}

void UdpClient::send(std::string_view request, UdpHeader header) {
  const UdpHeader::Bytes bytes = header.bytes();
  send_raw(std::string(bytes.data(), bytes.size()) + std::string(request));
}

std::string UdpClient::receive() {
  pollfd waiting{socket_.fd(), POLLIN, 0};
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
  if (poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) {
    throw std::runtime_error("the server does not answer");
  }
  std::array<char, 65536> datagram;
  const ssize_t bytes = ::recv(socket_.fd(), datagram.data(), datagram.size(), 0);
  if (bytes < static_cast<ssize_t>(UdpHeader::kBytes)) {
    throw std::runtime_error("a datagram without a header came");
  }
  return {datagram.data(), static_cast<size_t>(bytes)};
}

std::string UdpClient::ask(std::string_view request) {
  const uint16_t id = next_id_++;
  send(request, {id, 0, 1});
  std::string reply;
  datagrams_ = 0;
  for (bool last = false; !last; ++datagrams_) {
    const std::string datagram = receive();
    const UdpHeader header = UdpHeader::read(datagram);
    if (header.request_id != id) throw std::runtime_error("a reply to something else came");
    if (header.sequence != datagrams_) throw std::runtime_error("a datagram is missing");
    last = header.sequence + 1 == header.total;
    if (datagram.size() > UdpMessage::kDatagramBytes ||
        (!last && datagram.size() < UdpMessage::kDatagramBytes)) {
      throw std::runtime_error("a datagram has the wrong length");
    }
    reply += datagram.substr(UdpHeader::kBytes);
  }
  return reply;
}

std::vector<std::string> UdpClient::exchange(std::string_view datagram) {
  send_raw(datagram);
  // The reply to this comes last.
  constexpr uint16_t kLast = 0xabcd;
  send("mn\r\n", {kLast, 0, 1});
  std::vector<std::string> replies;
  while (true) {
    std::string reply = receive();
    if (UdpHeader::read(reply).request_id == kLast) return replies;
    replies.push_back(std::move(reply));
  }
}

bool UdpClient::nothing_comes() { return ask("mn\r\n") == "MN\r\n"; }

}  // namespace larder::test
