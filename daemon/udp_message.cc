#include "daemon/udp_message.h"

#include <algorithm>
#include <cassert>

namespace larder::daemon {
namespace {

uint16_t read16(const char* bytes) noexcept {
  return static_cast<uint16_t>(static_cast<unsigned char>(bytes[0]) << 8 |
                               static_cast<unsigned char>(bytes[1]));
}

void write16(char* bytes, uint16_t value) noexcept {
  bytes[0] = static_cast<char>(value >> 8);
  bytes[1] = static_cast<char>(value & 0xff);
}

}  // namespace

UdpHeader UdpHeader::read(std::span<const char> datagram) noexcept {
  assert(datagram.size() >= kBytes);
  return {read16(datagram.data()), read16(datagram.data() + 2), read16(datagram.data() + 4)};
}

UdpHeader::Bytes UdpHeader::bytes() const noexcept {
  Bytes bytes{};
  write16(bytes.data(), request_id);
  write16(bytes.data() + 2, sequence);
  write16(bytes.data() + 4, total);
  return bytes;
}

UdpMessage::UdpMessage(uint16_t request_id, std::span<const proto::ReplyBuffer::Piece> pieces,
                       size_t bytes) noexcept
    : pieces_(pieces) {
  assert(bytes <= kMostDatagrams * kDataBytes);
  header_ = {request_id, 0, static_cast<uint16_t>((bytes + kDataBytes - 1) / kDataBytes)};
}

UdpHeader::Bytes UdpMessage::next(std::vector<iovec>& data) {
  assert(!done());
  for (size_t room = kDataBytes; room > 0 && !pieces_.empty();) {
    const proto::ReplyBuffer::Piece& piece = pieces_.front();
    const size_t bytes = std::min(room, piece.bytes - taken_);
    data.push_back({const_cast<char*>(piece.data + taken_), bytes});
    room -= bytes;
    taken_ += bytes;
    if (taken_ < piece.bytes) break;
    pieces_ = pieces_.subspan(1);
    taken_ = 0;
  }
  const UdpHeader::Bytes header = header_.bytes();
  ++header_.sequence;
  return header;
}

}  // namespace larder::daemon
