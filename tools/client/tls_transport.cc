#include "tools/client/tls_transport.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "tools/client/local_error.h"
#include "tools/client/process.h"
#include "tools/client/tls_contexts.h"

namespace larder::client {
namespace {

using Context = TlsContexts::Context;
using SslPtr = std::unique_ptr<SSL, void (*)(SSL*)>;

// What a record can hold: short pieces are joined up to this.
constexpr size_t kRecordBytes = 16 * 1024;

// Whether the oldest error that OpenSSL has noted in this thread is a lack of this process.
bool has_local_error() {
  const unsigned long code = ERR_peek_error();
  if (code == 0) return false;
  const int reason = ERR_GET_REASON(code);
  return ERR_SYSTEM_ERROR(code) ? is_local_error(reason) : reason == ERR_R_MALLOC_FAILURE;
}

// The oldest error that OpenSSL has noted in this thread; the others are forgotten.
std::string openssl_error() {
  const unsigned long code = ERR_get_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string text = reason != nullptr ? reason : "error " + std::to_string(code);
  if (code != 0 && ERR_SYSTEM_ERROR(code)) {
    text = std::generic_category().message(ERR_GET_REASON(code));
  }
  ERR_clear_error();
  return text;
}

// -- The socket as OpenSSL sees it. Its own kind calls write(), which raises SIGPIPE.

int fd_of(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

int after_moving(BIO* bio, ssize_t n, int retry) {
  BIO_clear_retry_flags(bio);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
  }
  return static_cast<int>(n);
}

int read_socket(BIO* bio, char* into, int bytes) {
  return after_moving(bio, ::recv(fd_of(bio), into, static_cast<size_t>(bytes), 0), BIO_FLAGS_READ);
}

int write_socket(BIO* bio, const char* data, int bytes) {
  return after_moving(bio, ::send(fd_of(bio), data, static_cast<size_t>(bytes), MSG_NOSIGNAL),
                      BIO_FLAGS_WRITE);
}

long control_socket(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

// Null if there is no memory.
const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "larder client socket");
    if (made != nullptr) {
      BIO_meth_set_read(made, read_socket);
      BIO_meth_set_write(made, write_socket);
      BIO_meth_set_ctrl(made, control_socket);
    }
    return made;
  }();
  return method;
}

// The default would ask at the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

// A file that this process cannot open now may be as good as any.
Error unusable(const std::string& what, const std::string& file) {
  const bool is_local = has_local_error();
  return {is_local ? ErrorKind::Unreachable : ErrorKind::BadRequest,
          what + " cannot be used: " + file + ": " + openssl_error(), is_local};
}

// Null: they are read, as far as they are there. OpenSSL does not say that it could not open them,
// and then trusts nobody.
std::optional<Error> trust_system(SSL_CTX* context) {
  constexpr const char* kWhat = "the system's authorities";
  if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return unusable(kWhat, "as OpenSSL finds them");
  }
  const X509_STORE* const store = SSL_CTX_get_cert_store(context);
  if (sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) > 0) return std::nullopt;
  const char* const named = secure_getenv(X509_get_default_cert_file_env());
  const char* const file = named != nullptr ? named : X509_get_default_cert_file();
  ERR_clear_error();
  if (SSL_CTX_load_verify_file(context, file) != 1 && has_local_error()) {
    return unusable(kWhat, file);
  }
  ERR_clear_error();  // a system may have a folder instead
  return std::nullopt;
}

Result<Context> make_context(const TlsSettings& settings) {
  ERR_clear_error();
  Context made(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX* const context = made.get();
  if (context == nullptr) {
    const bool is_local = has_local_error();
    return Error{is_local ? ErrorKind::Unreachable : ErrorKind::Denied,
                 "TLS cannot be set up: " + openssl_error(), is_local};
  }
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(context, settings.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!settings.ca_file.empty()) {
    if (SSL_CTX_load_verify_locations(context, settings.ca_file.c_str(), nullptr) != 1) {
      return unusable("the authority's certificate", settings.ca_file);
    }
  } else if (settings.verify) {
    if (std::optional<Error> error = trust_system(context)) return *error;
  }
  if (settings.certificate_file.empty()) return made;
  if (SSL_CTX_use_certificate_chain_file(context, settings.certificate_file.c_str()) != 1) {
    return unusable("the client's certificate", settings.certificate_file);
  }
  const std::string& key =
      settings.key_file.empty() ? settings.certificate_file : settings.key_file;
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return unusable("the client's key", key);
  }
  return made;
}

bool is_address(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

// Whom the certificate must be for: its alternative names alone say that (RFC 9525, section 6.3).
bool set_peer(SSL* ssl, const std::string& host) {
  if (host.empty()) return true;
  SSL_set_hostflags(ssl,
                    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (is_address(host)) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  }
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

class TlsTransport : public Transport {
 public:
  TlsTransport(Descriptor socket, Context context)
      : socket_(std::move(socket)), context_(std::move(context)), ssl_(nullptr, SSL_free) {}

  ~TlsTransport() override {
    if (!over_ && opened_in_ == process_generation()) SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

  Result<void> begin(const Endpoint& endpoint, Deadline deadline,
                     const Cancellation* cancellation) {
    ssl_.reset(SSL_new(context_.get()));
    BIO* const bio = socket_method() == nullptr ? nullptr : BIO_new(socket_method());
    over_ = true;
    if (ssl_ == nullptr || bio == nullptr || !set_peer(ssl_.get(), endpoint.host)) {
      BIO_free(bio);
      return Error{ErrorKind::Denied, "TLS cannot be set up: " + openssl_error()};
    }
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd())));
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_connect_state(ssl_.get());
    for (;;) {
      ERR_clear_error();
      errno = 0;
      const int result = SSL_do_handshake(ssl_.get());
      if (result == 1) break;
      const int why = SSL_get_error(ssl_.get(), result);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
        return handshake_error(endpoint, why);
      }
      const short what = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
      // Also where a peer sends so slowly that there is always something to read.
      const bool late = deadline != Deadline::max() && std::chrono::steady_clock::now() >= deadline;
      if (late || !wait_until_ready(fd(), what, deadline, cancellation)) {
        return Error{ErrorKind::Timeout, endpoint.text() + " did not agree on TLS in time"};
      }
    }
    over_ = false;
    return {};
  }

  // A record for each call of SSL_write_ex: of one long piece as it lies, of short ones after they
  // were joined. What is offered again begins at the same byte and is no shorter, as OpenSSL wants.
  Moved send(std::span<const iovec> pieces) override {
    size_t total = 0;
    size_t first = 0;   // piece that the next record begins with
    size_t offset = 0;  // in it
    while (first < pieces.size()) {
      const char* record = static_cast<const char*>(pieces[first].iov_base) + offset;
      size_t bytes = std::min(pieces[first].iov_len - offset, kRecordBytes);
      if (bytes < kRecordBytes && first + 1 < pieces.size()) {
        bytes = join(pieces.subspan(first), offset);
        record = joined_.get();
      }
      ERR_clear_error();
      errno = 0;
      size_t sent = 0;
      if (SSL_write_ex(ssl_.get(), record, bytes, &sent) != 1) {
        const Status status = after_failure();
        return total > 0 ? Moved{Status::Moved, total} : Moved{status, 0};
      }
      total += sent;
      for (offset += sent; first < pieces.size() && offset >= pieces[first].iov_len; ++first) {
        offset -= pieces[first].iov_len;
      }
    }
    return {Status::Moved, total};
  }

  Moved receive(std::span<const iovec> into) override {
    size_t total = 0;
    for (const iovec& room : into) {
      for (size_t used = 0; used < room.iov_len;) {
        ERR_clear_error();
        errno = 0;
        size_t bytes = 0;
        char* const to = static_cast<char*>(room.iov_base) + used;
        if (SSL_read_ex(ssl_.get(), to, room.iov_len - used, &bytes) != 1) {
          const Status status = after_failure();
          return total > 0 ? Moved{Status::Moved, total} : Moved{status, 0};
        }
        heard_ = true;
        used += bytes;
        total += bytes;
        // Spares the call of recv that would say that there is no more.
        if (SSL_has_pending(ssl_.get()) == 0) return {Status::Moved, total};
      }
    }
    return {Status::Moved, total};
  }

  bool holds_input() const noexcept override { return !over_ && SSL_has_pending(ssl_.get()) == 1; }

  // Behind the handshake come tickets, which are read here and are not for us.
  bool is_readable() override {
    if (over_) return true;
    ERR_clear_error();
    errno = 0;
    char byte;
    size_t bytes = 0;
    if (SSL_peek_ex(ssl_.get(), &byte, 1, &bytes) == 1) return true;
    return after_failure() != Status::Again;
  }

  bool is_denial() const noexcept override { return denied_; }
  std::string why() const override { return why_; }
  int fd() const noexcept override { return socket_.get(); }
  Descriptor release() noexcept override {
    over_ = true;
    return std::move(socket_);
  }

 private:
  Error handshake_error(const Endpoint& endpoint, int why) {
    const int error = errno;
    const long verified = SSL_get_verify_result(ssl_.get());
    if (verified != X509_V_OK) {
      ERR_clear_error();
      return {ErrorKind::Denied, "the certificate of " + endpoint.text() +
                                     " is not trusted: " + X509_verify_cert_error_string(verified)};
    }
    if (why == SSL_ERROR_SSL &&
        ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      return {ErrorKind::Denied,
              "there is no agreement on TLS with " + endpoint.text() + ": " + openssl_error()};
    }
    ERR_clear_error();
    const std::string reason = error != 0 ? ": " + std::generic_category().message(error) : "";
    return {ErrorKind::Closed, endpoint.text() + " closes instead of agreeing on TLS" + reason};
  }

  // Copies the beginning of the pieces, as much as fits a record.
  size_t join(std::span<const iovec> pieces, size_t offset) {
    if (joined_ == nullptr) joined_ = std::make_unique_for_overwrite<char[]>(kRecordBytes);
    size_t bytes = 0;
    for (const iovec& piece : pieces) {
      const size_t n = std::min(piece.iov_len - offset, kRecordBytes - bytes);
      std::memcpy(joined_.get() + bytes, static_cast<const char*>(piece.iov_base) + offset, n);
      offset = 0;
      bytes += n;
      if (bytes == kRecordBytes) break;
    }
    return bytes;
  }

  Status after_failure() {
    const int error = errno;
    if (over_) return status_when_over_;
    switch (SSL_get_error(ssl_.get(), 0)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        return Status::Again;
      case SSL_ERROR_ZERO_RETURN:
        status_when_over_ = Status::Closed;
        break;
      case SSL_ERROR_SYSCALL:
        status_when_over_ = error == 0 ? Status::Closed : Status::Broken;
        why_ = std::generic_category().message(error);
        break;
      default:
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
          status_when_over_ = Status::Closed;  // without a goodbye, as many do
          break;
        }
        status_when_over_ = Status::Broken;
        // In TLS 1.3 a server looks at the client's certificate when the client is done.
        denied_ = !heard_;
        why_ = openssl_error();
    }
    ERR_clear_error();
    over_ = true;
    return status_when_over_;
  }

  Descriptor socket_;
  const uint32_t opened_in_ = process_generation();
  Context context_;
  SslPtr ssl_;
  std::unique_ptr<char[]> joined_;
  bool over_ = true;  // there is nothing to say goodbye to
  bool heard_ = false;
  bool denied_ = false;
  Status status_when_over_ = Status::Broken;
  std::string why_;
};

}  // namespace

Result<std::unique_ptr<Transport>> tls_transport(Descriptor socket, const TlsSettings& settings,
                                                 const Endpoint& endpoint, Deadline deadline,
                                                 const Cancellation* cancellation) {
  Result<Context> context = TlsContexts::of_process().get(settings, deadline, make_context);
  if (!context) return context.error();
  auto made = std::make_unique<TlsTransport>(std::move(socket), std::move(*context));
  const Result<void> begun = made->begin(endpoint, deadline, cancellation);
  if (!begun) return begun.error();
  return std::unique_ptr<Transport>(std::move(made));
}

}  // namespace larder::client
