// A connection to the server: TCP, a unix socket, and either under TLS.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>

struct ssl_ctx_st;
struct ssl_st;

namespace larder::bench {

struct TlsOptions {
  bool wanted = false;
  bool insecure = false;    // whoever answers
  std::string ca_file;      // PEM; empty: the system's
  std::string certificate;  // PEM, with its key; empty: none is shown
  std::string key;
};

// What the connections of a load share. Any thread, once made.
class TlsContext {
 public:
  // Throws std::runtime_error with a sentence.
  explicit TlsContext(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* get() const { return context_; }
  bool insecure() const { return insecure_; }

 private:
  ssl_ctx_st* context_;
  bool insecure_;
};

struct Endpoint {
  std::string host = "127.0.0.1";
  int port = 11211;
  std::string unix_path;            // instead of host and port
  std::shared_ptr<TlsContext> tls;  // null: plain

  std::string text() const;
};

// One thread. Does not block once connected.
class Stream {
 public:
  static constexpr ssize_t kAgain = -1;   // nothing now
  static constexpr ssize_t kFailed = -2;  // closed or broken: see why()

  // Connects, and shakes hands; throws std::runtime_error with a sentence.
  explicit Stream(const Endpoint& endpoint);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int fd() const { return fd_; }
  // The bytes read or written, at least 1, or one of the above.
  ssize_t read(char* data, size_t bytes);
  ssize_t write(const char* data, size_t bytes);
  // More may be read although the socket has nothing.
  bool pending() const;
  const std::string& why() const { return why_; }

 private:
  ssize_t read_tls(char* data, size_t bytes);
  ssize_t write_tls(const char* data, size_t bytes);
  ssize_t fail(std::string why);

  int fd_ = -1;
  ssl_st* ssl_ = nullptr;
  std::string why_;
};

}  // namespace larder::bench
