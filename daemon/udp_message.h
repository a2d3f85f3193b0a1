// UdpMessage: one reply on its way into datagrams, and the frame header that each of them bears.
//
//   | request id | sequence | total | 0 |  then data as over TCP    each field 16 bits, big endian
//
// The client chooses the request id and reads the datagrams of one reply in the order of their
// sequence numbers, 0 to total - 1.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "proto/reply_buffer.h"

namespace larder::daemon {

struct UdpHeader {
  static constexpr size_t kBytes = 8;
  using Bytes = std::array<char, kBytes>;

  uint16_t request_id = 0;
  uint16_t sequence = 0;
  uint16_t total = 1;

  // Of a datagram that has kBytes at least; what is reserved is not looked at.
  static UdpHeader read(std::span<const char> datagram) noexcept;
  Bytes bytes() const noexcept;
};

// One thread; the pieces must stay where they are until the last datagram is made.
class UdpMessage {
 public:
  static constexpr size_t kDatagramBytes = 1400;  // memcached's, header included: fits any network
  static constexpr size_t kDataBytes = kDatagramBytes - UdpHeader::kBytes;
  static constexpr size_t kMostDatagrams = UINT16_MAX;

  // bytes   of all pieces together, at most kMostDatagrams * kDataBytes
  UdpMessage(uint16_t request_id, std::span<const proto::ReplyBuffer::Piece> pieces,
             size_t bytes) noexcept;

  uint16_t total() const noexcept { return header_.total; }
  bool done() const noexcept { return header_.sequence == header_.total; }

  // Appends the data of the next datagram and returns its header; not when done().
  UdpHeader::Bytes next(std::vector<iovec>& data);

 private:
  UdpHeader header_;  // of the next datagram
  std::span<const proto::ReplyBuffer::Piece> pieces_;
  size_t taken_ = 0;  // of the first of pieces_
};

}  // namespace larder::daemon
