// WireClient: a StreamClient whose bytes go as they are, over TCP or a unix socket.
#pragma once

#include <string>
#include <string_view>

#include "tests/support/stream_client.h"

namespace larder::test {

class WireClient : public StreamClient {
 public:
  static WireClient over_tcp(int port);
  // With a receive buffer of about this many bytes, so that replies soon find no room.
  static WireClient over_tcp_with_small_buffer(int port, int bytes);
  static WireClient over_unix(const std::string& path);

  void send(std::string_view bytes) override;
  size_t send_some(std::string_view bytes) override;
  void finish_sending() override;

 private:
  using StreamClient::StreamClient;
  bool receive_more() override;
};

}  // namespace larder::test
