// StreamClient: a blocking client for tests that speak bytes; WireClient and TlsClient say how the
// bytes go.
//
// Every wait is bounded: what does not come within kPatience throws, and the test fails there.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "daemon/socket.h"

namespace larder::test {

constexpr std::chrono::seconds kPatience{60};  // generous: sanitizers on a busy machine

// Waits until the descriptor is ready for `what` (POLLIN, POLLOUT).
void wait_for(int fd, short what);

// To this machine; receive_buffer is SO_RCVBUF in bytes, 0 what the kernel gives.
daemon::Socket connect_over_tcp(int port, int receive_buffer);

class StreamClient {
 public:
  virtual ~StreamClient() = default;
  StreamClient(StreamClient&&) = default;
  StreamClient& operator=(StreamClient&&) = default;

  virtual void send(std::string_view bytes) = 0;
  // Sends what fits without waiting and returns how much that was; 0 if the server closed.
  virtual size_t send_some(std::string_view bytes) = 0;
  virtual void finish_sending() = 0;  // the peer reads the end of the stream

  std::string receive(size_t bytes);                // exactly so many
  std::string receive_line();                       // with its \r\n
  std::string receive_until(std::string_view end);  // up to and with `end`
  std::string receive_until_closed();
  bool has_input() const;  // or the end of the stream, at this moment
  bool closed_by_peer();   // waits for the end of the stream; throws if bytes come instead

  // Sends and gives back as many bytes as the expected reply has, for comparing.
  std::string ask(std::string_view request, size_t reply_bytes);
  // Sends a line and gives back one line, without \r\n.
  std::string ask_line(std::string_view request);

  // Sends the request and expects exactly this reply, followed by nothing: a text command (`mn`)
  // sent after it is answered next.
  bool answers(std::string_view request, std::string_view reply);

  void reset();  // closes so that the peer sees ECONNRESET
  void close() { socket_.close(); }
  int fd() const { return socket_.fd(); }

 protected:
  explicit StreamClient(daemon::Socket socket) : socket_(std::move(socket)) {}
  // Appends what comes next to received_; false at the end of the stream.
  virtual bool receive_more() = 0;

  daemon::Socket socket_;
  std::string received_;  // and not given out yet
};

// Runs `condition` until it is true, with short pauses; false after kPatience.
template <class Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace larder::test
