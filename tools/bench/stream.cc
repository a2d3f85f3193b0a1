#include "tools/bench/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <stdexcept>

namespace larder::bench {
namespace {

std::string openssl_error() {
  const unsigned long code = ERR_get_error();
  if (code == 0) return std::strerror(errno);
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

int connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int connect_tcp(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) throw std::runtime_error("--server: " + host + ": " + gai_strerror(error));
  int fd = -1;
  int cause = 0;
  for (const addrinfo* a = found; a != nullptr && fd < 0; a = a->ai_next) {
    fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
      cause = errno;
      close(fd);
      fd = -1;
    }
  }
  freeaddrinfo(found);
  if (fd < 0) {
    errno = cause;
    return -1;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// An address needs another check than a name.
bool is_address(const std::string& host) {
  in6_addr any{};
  return inet_pton(AF_INET, host.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

void expect_host(SSL* ssl, const std::string& host) {
  if (is_address(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
  } else {
    SSL_set1_host(ssl, host.c_str());
    SSL_set_tlsext_host_name(ssl, host.c_str());
  }
}

}  // namespace

TlsContext::TlsContext(const TlsOptions& options)
    : context_(SSL_CTX_new(TLS_client_method())), insecure_(options.insecure) {
  const auto need = [&](bool good, const std::string& option, const std::string& file) {
    if (good) return;
    SSL_CTX_free(context_);
    throw std::runtime_error(option + ": " + file + " cannot be used: " + openssl_error());
  };
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context_, insecure_ ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (options.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context_);
  } else {
    need(SSL_CTX_load_verify_locations(context_, options.ca_file.c_str(), nullptr) == 1, "--tls-ca",
         options.ca_file);
  }
  if (!options.certificate.empty()) {
    need(SSL_CTX_use_certificate_chain_file(context_, options.certificate.c_str()) == 1,
         "--tls-cert", options.certificate);
    const std::string& key = options.key.empty() ? options.certificate : options.key;
    need(SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM) == 1, "--tls-key",
         key);
  }
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

std::string Endpoint::text() const {
  return unix_path.empty() ? host + ":" + std::to_string(port) : unix_path;
}

Stream::Stream(const Endpoint& endpoint) {
  fd_ = endpoint.unix_path.empty() ? connect_tcp(endpoint.host, endpoint.port)
                                   : connect_unix(endpoint.unix_path);
  if (fd_ < 0) {
    throw std::runtime_error("cannot connect to " + endpoint.text() + ": " + std::strerror(errno));
  }
  if (endpoint.tls != nullptr) {
    ERR_clear_error();
    ssl_ = SSL_new(endpoint.tls->get());
    if (!endpoint.tls->insecure() && endpoint.unix_path.empty()) expect_host(ssl_, endpoint.host);
    SSL_set_fd(ssl_, fd_);
    if (SSL_connect(ssl_) != 1) {
      const long verified = SSL_get_verify_result(ssl_);
      const std::string why =
          verified != X509_V_OK ? X509_verify_cert_error_string(verified) : openssl_error();
      SSL_free(ssl_);
      close(fd_);
      throw std::runtime_error("no TLS with " + endpoint.text() + ": " + why);
    }
  }
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
}

Stream::~Stream() {
  if (ssl_ != nullptr) SSL_free(ssl_);
  close(fd_);
}

ssize_t Stream::read(char* data, size_t bytes) {
  if (ssl_ != nullptr) return read_tls(data, bytes);
  for (;;) {
    const ssize_t n = recv(fd_, data, bytes, 0);
    if (n > 0) return n;
    if (n == 0) return fail("the server closed the connection");
    if (errno == EAGAIN) return kAgain;
    if (errno != EINTR) return fail(std::strerror(errno));
  }
}

ssize_t Stream::write(const char* data, size_t bytes) {
  if (ssl_ != nullptr) return write_tls(data, bytes);
  for (;;) {
    const ssize_t n = send(fd_, data, bytes, MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno == EAGAIN) return kAgain;
    if (errno != EINTR) return fail(std::strerror(errno));
  }
}

bool Stream::pending() const { return ssl_ != nullptr && SSL_has_pending(ssl_) == 1; }

ssize_t Stream::read_tls(char* data, size_t bytes) {
  ERR_clear_error();
  errno = 0;
  const int n = SSL_read(ssl_, data, static_cast<int>(std::min<size_t>(bytes, INT_MAX)));
  if (n > 0) return n;
  switch (SSL_get_error(ssl_, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return kAgain;
    case SSL_ERROR_ZERO_RETURN:
      return fail("the server closed the connection");
    default:
      return fail(openssl_error());
  }
}

ssize_t Stream::write_tls(const char* data, size_t bytes) {
  ERR_clear_error();
  errno = 0;
  const int n = SSL_write(ssl_, data, static_cast<int>(std::min<size_t>(bytes, INT_MAX)));
  if (n > 0) return n;
  switch (SSL_get_error(ssl_, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return kAgain;
    default:
      return fail(openssl_error());
  }
}

ssize_t Stream::fail(std::string why) {
  why_ = std::move(why);
  return kFailed;
}

}  // namespace larder::bench
