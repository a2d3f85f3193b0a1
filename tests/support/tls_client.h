// TlsClient: a StreamClient whose bytes go through TLS.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tests/support/stream_client.h"

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

class TlsClient : public StreamClient {
 public:
  // Connects and shakes hands; throws std::runtime_error if either fails.
  explicit TlsClient(int port, const TlsOptions& options = {});

  void send(std::string_view bytes) override;
  size_t send_some(std::string_view bytes) override;
  void finish_sending() override;  // close_notify; the socket stays open

  // TLS 1.3: a record that brings no data, a new key. With `asks` the server has to answer with one
  // of its own. False: the server has closed, or takes nothing now.
  bool update_key(bool asks);

  // From here on what is sent is kept back; send_kept() sends all of it in one piece.
  void keep_back();
  void send_kept();

  std::string server_name() const;  // the CN of its certificate
  bool resumed() const;
  TlsSessionPtr session() const;  // for another client to resume

 private:
  bool receive_more() override;
  bool wait_if_asked(int result);  // false: the connection is over

  std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
};

}  // namespace larder::test
