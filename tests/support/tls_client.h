// TlsClient: a WireClient's counterpart that speaks TLS. Every wait is bounded by kPatience.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tests/support/wire_client.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace larder::test {

using TlsSessionPtr = std::shared_ptr<ssl_session_st>;

struct TlsOptions {
  std::string certificate;  // file, PEM; empty: none to show
  std::string key;
  int version = 0;         // the only one spoken, as OpenSSL counts (TLS1_3_VERSION); 0: any
  TlsSessionPtr session;   // to be resumed
  int receive_buffer = 0;  // bytes, about; 0: as the system chooses
};

class TlsClient {
 public:
  // Connects and shakes hands; throws std::runtime_error if either fails.
  explicit TlsClient(int port, const TlsOptions& options = {});

  void send(std::string_view bytes);
  size_t send_some(std::string_view bytes);         // what fits without waiting
  std::string receive(size_t bytes);                // exactly so many
  std::string receive_line();                       // with its \r\n
  std::string receive_until(std::string_view end);  // up to and with `end`
  bool closed_by_peer();  // waits for the end of the stream; throws if bytes come instead
  bool answers(std::string_view request, std::string_view reply);  // and nothing more

  std::string server_name() const;  // the CN of its certificate
  bool resumed() const;
  TlsSessionPtr session() const;  // for another client to resume
  void say_goodbye();             // close_notify; the socket stays open
  int fd() const { return socket_.fd(); }

 private:
  bool receive_more();
  bool wait_if_asked(int result);  // false: the connection is over

  daemon::Socket socket_;
  std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  std::string received_;  // and not given out yet
};

}  // namespace larder::test
