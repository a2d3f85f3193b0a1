// WireClient: a blocking socket for tests that speak bytes.
//
// Every wait is bounded: what does not come within kPatience throws, and the test fails there.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "daemon/socket.h"

namespace larder::test {

constexpr std::chrono::seconds kPatience{60};  // generous: sanitizers on a busy machine

class WireClient {
 public:
  static WireClient over_tcp(int port);
  // With a receive buffer of about this many bytes, so that replies soon find no room.
  static WireClient over_tcp_with_small_buffer(int port, int bytes);
  static WireClient over_unix(const std::string& path);

  void send(std::string_view bytes);
  // Sends what fits without waiting and returns how much that was; 0 if the server closed.
  size_t send_some(std::string_view bytes);

  std::string receive(size_t bytes);                // exactly so many
  std::string receive_line();                       // with its \r\n
  std::string receive_until(std::string_view end);  // up to and with `end`
  std::string receive_until_closed();
  bool closed_by_peer();  // waits for the end of the stream; throws if bytes come instead

  // Sends and gives back as many bytes as the expected reply has, for comparing.
  std::string ask(std::string_view request, size_t reply_bytes);
  // Sends a line and gives back one line, without \r\n.
  std::string ask_line(std::string_view request);

  // Sends the request and expects exactly this reply, followed by nothing: a text command (`mn`)
  // sent after it is answered next.
  bool answers(std::string_view request, std::string_view reply);

  void reset();  // closes so that the peer sees ECONNRESET
  void close() { socket_.close(); }
  void finish_sending();  // the peer reads the end of the stream
  int fd() const { return socket_.fd(); }

 private:
  explicit WireClient(daemon::Socket socket) : socket_(std::move(socket)) {}
  bool receive_more();  // false at the end of the stream

  daemon::Socket socket_;
  std::string received_;  // and not given out yet
};

// Runs `condition` until it is true, with short pauses; false after kPatience.
template <class Condition>
bool eventually(Condition condition);

}  // namespace larder::test

#include <thread>

template <class Condition>
bool larder::test::eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}
