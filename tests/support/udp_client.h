// UdpClient: a client of the UDP protocol for tests. Every wait is bounded by kPatience.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/socket.h"
#include "daemon/udp_message.h"

namespace larder::test {

struct UdpAddress {
  const char* host = "127.0.0.1";
  int port = 0;  // any
};

class UdpClient {
 public:
  // Of the server's port on 127.0.0.1, with an address of its own.
  explicit UdpClient(int port, UdpAddress own = {});

  // A datagram as it is, and one with a header before the request.
  void send_raw(std::string_view datagram);
  void send(std::string_view request, daemon::UdpHeader header);

  // Sends a request with an id of its own and gives back the data of its whole reply. Throws if a
  // datagram of the reply bears the wrong id, number or total, or is not full and not the last.
  std::string ask(std::string_view request);
  size_t datagrams() const { return datagrams_; }  // of the last reply

  // Sends a datagram as it is, and gives back those that come for it.
  std::vector<std::string> exchange(std::string_view datagram);

  // Nothing has been answered since: the next request is. A client's datagrams go to one worker, in
  // order.
  bool nothing_comes();

 private:
  std::string receive();  // one datagram

  daemon::Socket socket_;
  uint16_t next_id_ = 0xfffe;  // soon passes 0
  size_t datagrams_ = 0;
};

}  // namespace larder::test
