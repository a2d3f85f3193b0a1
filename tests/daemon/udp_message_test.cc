#include "daemon/udp_message.h"

#include <catch2/catch.hpp>
#include <string>

using larder::daemon::UdpHeader;
using larder::daemon::UdpMessage;
using larder::proto::ReplyBuffer;

namespace {

std::string data_of(const std::vector<iovec>& pieces) {
  std::string data;
  for (const iovec& piece : pieces) {
    data.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return data;
}

}  // namespace

TEST_CASE("a header is four big-endian numbers, the last of them 0") {
  const UdpHeader header{0x1234, 0xfe01, 0x00ff};
  const UdpHeader::Bytes bytes = header.bytes();
  CHECK(std::string(bytes.data(), bytes.size()) ==
        std::string("\x12\x34\xfe\x01\x00\xff\x00\x00", 8));
  const std::string datagram = std::string(bytes.data(), bytes.size()) + "get a\r\n";
  CHECK(UdpHeader::read(datagram).request_id == 0x1234);
  CHECK(UdpHeader::read(datagram).sequence == 0xfe01);
  CHECK(UdpHeader::read(datagram).total == 0xff);
}

TEST_CASE("a reply of any length is cut into full datagrams and a last one") {
  constexpr size_t kData = UdpMessage::kDataBytes;
  for (const size_t value_bytes : {size_t{1}, kData - 10, kData, kData + 1, 3 * kData + 7}) {
    ReplyBuffer replies;
    const std::string value(value_bytes, 'v');
    replies.copy("VALUE k 0 1\r\n");
    replies.refer(value, &value);
    replies.copy("\r\nEND\r\n");
    replies.refer(value, &value);
    const std::string whole = "VALUE k 0 1\r\n" + value + "\r\nEND\r\n" + value;

    UdpMessage message(7, replies.pieces(), replies.total_bytes());
    CHECK(message.total() == (whole.size() + kData - 1) / kData);
    std::string got;
    for (uint16_t sequence = 0; !message.done(); ++sequence) {
      std::vector<iovec> pieces;
      const UdpHeader::Bytes bytes = message.next(pieces);
      const UdpHeader header = UdpHeader::read(bytes);
      CHECK(header.request_id == 7);
      CHECK(header.sequence == sequence);
      CHECK(header.total == message.total());
      const std::string data = data_of(pieces);
      CHECK((message.done() ? data.size() <= kData && !data.empty() : data.size() == kData));
      got += data;
    }
    CHECK(got == whole);
  }
}

TEST_CASE("a reply that just fills its datagrams has no empty one behind them") {
  ReplyBuffer replies;
  replies.copy(std::string(2 * UdpMessage::kDataBytes, 'x'));
  UdpMessage message(1, replies.pieces(), replies.total_bytes());
  CHECK(message.total() == 2);
  std::vector<iovec> pieces;
  message.next(pieces);
  message.next(pieces);
  CHECK(message.done());
  CHECK(data_of(pieces).size() == 2 * UdpMessage::kDataBytes);
}
