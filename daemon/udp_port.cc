#include "daemon/udp_port.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>

#include "daemon/listener.h"
#include "daemon/service.h"
#include "daemon/udp_request.h"
#include "daemon/worker.h"
#include "proto/binary_protocol.h"
#include "proto/text_protocol.h"

namespace larder::daemon {
namespace {

// Datagrams answered, and bytes sent for them, before connections get their turn.
constexpr int kDatagramsPerPass = 32;
constexpr size_t kReplyBytesPerPass = 1024 * 1024;

constexpr unsigned char kBinaryMagic = 0x80;

// What comes with a value of the greatest length: its line, its key, END, a binary header.
constexpr size_t kReplyOverheadBytes = 1024;

uint16_t port_of(const sockaddr_storage& address) noexcept {
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// The longest value that a set can leave, once, whatever the request: a datagram of a hundred bytes
// cannot have more than that sent to an address that its sender may have forged.
size_t most_reply_bytes(const Settings& settings) noexcept {
  return std::min(size_t{settings.item_size_max} + kReplyOverheadBytes,
                  UdpMessage::kMostDatagrams * UdpMessage::kDataBytes);
}

// The port that this thread is busy with.
thread_local const UdpPort* answering = nullptr;

// Of a command in text, perhaps behind blanks. All replies in text begin with a capital letter or a
// digit, and those in binary have another magic.
bool begins_request(char first) noexcept {
  return static_cast<unsigned char>(first) == kBinaryMagic || first == ' ' ||
         (first >= 'a' && first <= 'z');
}

// A line without its end will never have one.
std::span<char> whole_lines(std::span<char> text) noexcept {
  const auto last = std::find(text.rbegin(), text.rend(), '\n');
  return text.first(static_cast<size_t>(text.rend() - last));
}

}  // namespace

UdpPort::UdpPort(Worker& worker, Socket socket)
    : worker_(worker),
      socket_(std::move(socket)),
      port_(static_cast<uint16_t>(bound_port(socket_.fd()))),
      last_active_(worker.now()) {
  read_event_ = make_event(worker_.base(), socket_.fd(), EV_READ | EV_PERSIST, on_read_event, this);
  if (read_event_ == nullptr || event_add(read_event_.get(), nullptr) != 0) {
    throw std::runtime_error("cannot wait for datagrams: out of memory");
  }
}

ConnectionRow UdpPort::row(core::Seconds now) const {
  const core::Seconds active = last_active_.load(std::memory_order_relaxed);
  ConnectionRow row;
  row.fd = socket_.fd();
  row.udp = true;
  row.addr = local_address(row.fd);
  row.state = working_.load(std::memory_order_relaxed) ? "conn_parse_cmd" : "conn_read";
  row.secs_since_last_cmd = now > active ? now - active : 0;
  if (answering == this) {
    row.listen_addr = row.addr;
    row.addr = udp_address(client_, client_bytes_);
  }
  return row;
}

void UdpPort::on_read_event(int, short, void* self) {
  auto& port = *static_cast<UdpPort*>(self);
  try {
    port.on_readable();
  } catch (const std::bad_alloc&) {
    port.worker_.stats().connections_lost.add();  // the datagram is
  }
  port.working_.store(false, std::memory_order_relaxed);
  answering = nullptr;
}

void UdpPort::on_readable() {
  worker_.begin_turn();
  answering = this;
  working_.store(true, std::memory_order_relaxed);
  const std::span<char> window(worker_.lent().window);
  size_t reply_bytes = 0;
  for (int i = 0; i < kDatagramsPerPass && reply_bytes < kReplyBytesPerPass; ++i) {
    client_bytes_ = sizeof client_;
    const ssize_t bytes = ::recvfrom(socket_.fd(), window.data(), window.size(), MSG_DONTWAIT,
                                     reinterpret_cast<sockaddr*>(&client_), &client_bytes_);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) break;  // none left, or an error of an earlier send, which is gone with this
    reply_bytes += answer(window.first(static_cast<size_t>(bytes)));
    worker_.cache().refresh_turn(worker_.id());
  }
}

// A server that is answered by another one, because somebody has forged the sender of a datagram,
// must not answer that: the two would go on for ever. This is for the own port; another server's
// answers are told by begins_request().
bool UdpPort::may_answer() const noexcept {
  const uint16_t port = port_of(client_);
  return port != 0 && port != port_;
}

size_t UdpPort::answer(std::span<char> datagram) {
  if (datagram.size() <= UdpHeader::kBytes) return 0;
  worker_.stats().bytes_read.add(datagram.size());
  const UdpHeader header = UdpHeader::read(datagram);
  if (header.total != 1 || !may_answer()) return 0;
  last_active_.store(worker_.now(), std::memory_order_relaxed);

  Service service(worker_.lent().buffers, worker_.stats().reply_buffer_not_empty);
  worker_.executor().set_client(socket_.fd());
  const std::span<char> input = datagram.subspan(UdpHeader::kBytes);
  const size_t most = most_reply_bytes(worker_.settings());
  if (!begins_request(input.front())) return 0;
  if (static_cast<unsigned char>(input.front()) == kBinaryMagic) {
    UdpRequest<proto::BinaryProtocol>(worker_, service, most).run(input);
  } else {
    UdpRequest<proto::TextProtocol>(worker_, service, most).run(whole_lines(input));
  }
  const size_t bytes = service.replies().total_bytes();
  if (bytes > 0) send_reply(service.replies(), header.request_id);
  return bytes;
}

void UdpPort::send_reply(proto::ReplyBuffer& replies, uint16_t request_id) {
  UdpMessage message(request_id, replies.pieces(), replies.total_bytes());
  std::array<mmsghdr, kDatagramsPerCall> datagrams{};
  std::array<size_t, kDatagramsPerCall> first_piece;
  bool sent = true;
  while (!message.done() && sent) {
    pieces_.clear();
    size_t count = 0;
    for (; count < kDatagramsPerCall && !message.done(); ++count) {
      first_piece[count] = pieces_.size();
      pieces_.push_back({headers_[count].data(), UdpHeader::kBytes});
      headers_[count] = message.next(pieces_);
    }
    // Only now: the vector has grown.
    for (size_t i = 0; i < count; ++i) {
      const size_t end = i + 1 < count ? first_piece[i + 1] : pieces_.size();
      msghdr& datagram = datagrams[i].msg_hdr;
      datagram.msg_name = &client_;
      datagram.msg_namelen = client_bytes_;
      datagram.msg_iov = pieces_.data() + first_piece[i];
      datagram.msg_iovlen = end - first_piece[i];
    }
    sent = send(std::span(datagrams).first(count));
  }
}

bool UdpPort::send(std::span<mmsghdr> datagrams) {
  int sent;
  do {
    sent = ::sendmmsg(socket_.fd(), datagrams.data(), static_cast<unsigned>(datagrams.size()),
                      MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  for (int i = 0; i < sent; ++i) worker_.stats().bytes_written.add(datagrams[i].msg_len);
  return sent == static_cast<int>(datagrams.size());
}

}  // namespace larder::daemon
