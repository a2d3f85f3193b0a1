#include "daemon/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>

#include "daemon/log.h"

namespace larder::daemon {
namespace {

LogSite error_site;

// The oldest error that OpenSSL has noted in this thread; the others are forgotten.
std::string openssl_error() {
  char text[256] = "";
  if (const unsigned long code = ERR_get_error(); code != 0) {
    ERR_error_string_n(code, text, sizeof text);
  }
  ERR_clear_error();
  return text;
}

// -- The socket as OpenSSL sees it. Its own kind calls write(), which raises SIGPIPE.

int fd_of(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

int moved(BIO* bio, ssize_t n, int retry_flag) {
  BIO_clear_retry_flags(bio);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
  }
  return static_cast<int>(n);
}

template <class Call>
ssize_t uninterrupted(Call call) {
  ssize_t n;
  do {
    n = call();
  } while (n < 0 && errno == EINTR);
  return n;
}

int read_socket(BIO* bio, char* into, int bytes) {
  const auto room = static_cast<size_t>(bytes);
  const ssize_t n = uninterrupted([&] { return ::recv(fd_of(bio), into, room, 0); });
  return moved(bio, n, BIO_FLAGS_READ);
}

int write_socket(BIO* bio, const char* data, int bytes) {
  const auto size = static_cast<size_t>(bytes);
  const ssize_t n = uninterrupted([&] { return ::send(fd_of(bio), data, size, MSG_NOSIGNAL); });
  return moved(bio, n, BIO_FLAGS_WRITE);
}

long control_socket(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "larder socket");
    if (made == nullptr) throw std::runtime_error("out of memory for TLS");
    BIO_meth_set_read(made, read_socket);
    BIO_meth_set_write(made, write_socket);
    BIO_meth_set_ctrl(made, control_socket);
    return made;
  }();
  return method;
}

int min_version_of(const Settings::Tls& settings) {
  constexpr int kVersions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
  return kVersions[settings.min_version];
}

// The default would ask at the terminal, also for a key that is read again by a worker.
int no_passphrase(char*, int, int, void*) { return 0; }

// OpenSSL shows every message here, and the header of each record under a type of its own.
void see_message(int write, int, int type, const void*, size_t, SSL*, void* session) {
  if (write == 0 && type == SSL3_RT_HEADER) static_cast<TlsSession*>(session)->count_record();
}

int count_new_session(SSL* ssl, SSL_SESSION*) {
  auto* counters = static_cast<TlsCounters*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  counters->new_sessions.fetch_add(1, std::memory_order_relaxed);
  return 0;  // the session stays OpenSSL's
}

}  // namespace

void TlsDeleter::operator()(TlsSession* session) const noexcept { delete session; }

// -- Sessions.

TlsSession::TlsSession(SslPtr ssl, std::span<char> gather, TlsCounters& counters, EventLog& events)
    : ssl_(std::move(ssl)), gather_(gather), counters_(counters), events_(events) {
  SSL_set_msg_callback(ssl_.get(), see_message);
  SSL_set_msg_callback_arg(ssl_.get(), this);
}

TlsSession::~TlsSession() {
  if (!broken_ && shaken_) SSL_shutdown(ssl_.get());
  ssl_.reset();
  ERR_clear_error();
}

void TlsSession::tell_error(std::string_view message) noexcept {
  if (events_.wants(Streams::kConnEvents)) {
    events_.write_tls_error(fd_of(SSL_get_rbio(ssl_.get())), message);
  };
}

// The loops that a peer can feed are inside OpenSSL, and none of them can be left in the middle.
// All of them look, after each record, whether the peer has said goodbye.
void TlsSession::count_record() noexcept {
  ++records_in_call_;
  if (++records_without_data_ > kMaxRecordsWithoutData) {
    SSL_set_shutdown(ssl_.get(), SSL_get_shutdown(ssl_.get()) | SSL_RECEIVED_SHUTDOWN);
  }
}

Socket::Status TlsSession::status_after_failure(bool& wants_write) noexcept {
  const int error = errno;
  if (records_without_data_ > kMaxRecordsWithoutData) {
    if (!broken_) {
      auto& counter = shaken_ ? counters_.protocol_errors : counters_.handshake_errors;
      counter.fetch_add(1, std::memory_order_relaxed);
      tell_error("too many records without data");
    }
    broken_ = true;
    return Socket::Status::Broken;
  }
  switch (SSL_get_error(ssl_.get(), 0)) {
    case SSL_ERROR_WANT_READ:
      return Socket::Status::Again;
    case SSL_ERROR_WANT_WRITE:
      wants_write = true;
      return Socket::Status::Again;
    case SSL_ERROR_ZERO_RETURN:
      return Socket::Status::Closed;
    case SSL_ERROR_SYSCALL:  // left without a goodbye, as many do; or reset
      if (!broken_ && error != 0) tell_error(std::strerror(error));
      broken_ = true;
      return Socket::Status::Broken;
    default:
      break;
  }
  // Once for each session: it is closed now.
  if (!broken_) {
    auto& counter = shaken_ ? counters_.protocol_errors : counters_.handshake_errors;
    counter.fetch_add(1, std::memory_order_relaxed);
    try {
      const std::string message = openssl_error();
      tell_error(message);
      log(LogLevel::Debug, error_site, "a TLS connection fails: " + message);
    } catch (const std::bad_alloc&) {
      tell_error("no memory to say what");
    }
  }
  broken_ = true;
  return Socket::Status::Broken;
}

Socket::Moved TlsSession::receive(std::span<const iovec> into) noexcept {
  holds_input_ = wants_write_ = false;
  records_in_call_ = 0;
  ERR_clear_error();
  size_t total = 0;
  for (const iovec& room : into) {
    for (size_t used = 0; used < room.iov_len;) {
      size_t bytes = 0;
      char* const to = static_cast<char*>(room.iov_base) + used;
      if (SSL_read_ex(ssl_.get(), to, room.iov_len - used, &bytes) != 1) {
        const Socket::Status status = status_after_failure(wants_write_);
        if (status != Socket::Status::Broken) shaken_ = SSL_is_init_finished(ssl_.get()) == 1;
        if (total == 0) return {status, 0};
        holds_input_ = status != Socket::Status::Again;  // the next call says what has happened
        return {Socket::Status::Ok, total};
      }
      shaken_ = true;
      records_without_data_ = 0;
      used += bytes;
      total += bytes;
      // Spares the call of recv that would say that there is no more.
      if (SSL_has_pending(ssl_.get()) == 0) return {Socket::Status::Ok, total};
      if (records_in_call_ >= kMaxRecordsPerCall) {
        holds_input_ = true;  // the worker's other clients come first
        return {Socket::Status::Ok, total};
      }
    }
  }
  holds_input_ = true;
  return {Socket::Status::Ok, total};
}

// A record for each call of SSL_write_ex: of one long piece as it lies, of short ones after
// gathering them. What is offered again after a short send makes a record at least as long, since
// it begins at the same byte and a backlog only joins pieces.
Socket::Moved TlsSession::send(std::span<const iovec> pieces) noexcept {
  ERR_clear_error();
  size_t total = 0;
  size_t first = 0;   // piece that the next record begins with
  size_t offset = 0;  // in it
  while (first < pieces.size()) {
    const char* record = static_cast<const char*>(pieces[first].iov_base) + offset;
    size_t record_bytes = std::min(pieces[first].iov_len - offset, kMaxRecordBytes);
    if (record_bytes < gather_.size() && first + 1 < pieces.size()) {
      std::memcpy(gather_.data(), record, record_bytes);
      record = gather_.data();
      for (size_t i = first + 1; i < pieces.size() && record_bytes < gather_.size(); ++i) {
        const size_t n = std::min(pieces[i].iov_len, gather_.size() - record_bytes);
        std::memcpy(gather_.data() + record_bytes, pieces[i].iov_base, n);
        record_bytes += n;
      }
    }
    if (record_bytes == 0) break;
    size_t sent = 0;
    if (SSL_write_ex(ssl_.get(), record, record_bytes, &sent) != 1) {
      bool wants_write = false;
      Socket::Status status = status_after_failure(wants_write);
      // Without renegotiation nothing that is sent after the handshake waits for the peer.
      if (status == Socket::Status::Again && !wants_write) status = Socket::Status::Broken;
      if (total > 0) status = Socket::Status::Ok;  // if it was not Again, the next call says so
      return {status, total};
    }
    total += sent;
    for (offset += sent; first < pieces.size() && offset >= pieces[first].iov_len; ++first) {
      offset -= pieces[first].iov_len;
    }
  }
  return {Socket::Status::Ok, total};
}

// -- The context.

TlsContext::TlsContext(const Settings::Tls& settings)
    : settings_(settings), context_(nullptr, SSL_CTX_free) {
  try {
    core::MutexLock lock(mutex_);
    context_ = load();
  } catch (const std::runtime_error& error) {
    throw SettingsError(ExitCode::Usage, error.what());
  }
}

// Built anew and not changed in place: a key that does not fit, or a file that is half written,
// must leave what is in use as it was.
TlsContext::ContextPtr TlsContext::load() {
  ERR_clear_error();
  ContextPtr made(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX* const context = made.get();
  if (context == nullptr) throw std::runtime_error("cannot set up TLS: " + openssl_error());
  SSL_CTX_set_min_proto_version(context, min_version_of(settings_));
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);

  if (SSL_CTX_use_certificate_chain_file(context, settings_.chain_cert.c_str()) != 1) {
    throw std::runtime_error("Error loading the certificate chain: " + settings_.chain_cert +
                             " : " + openssl_error());
  }
  if (SSL_CTX_use_PrivateKey_file(context, settings_.key.c_str(), settings_.key_format) != 1) {
    throw std::runtime_error("Error loading the key: " + settings_.key + " : " + openssl_error());
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    throw std::runtime_error("Error validating the certificate: " + openssl_error());
  }
  if (!settings_.ca_cert.empty()) {
    if (SSL_CTX_load_verify_locations(context, settings_.ca_cert.c_str(), nullptr) != 1) {
      throw std::runtime_error("Error loading the CA certificate: " + settings_.ca_cert + " : " +
                               openssl_error());
    }
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(settings_.ca_cert.c_str()));
  }
  SSL_CTX_set_verify(context, settings_.verify_flags(), nullptr);
  if (!settings_.ciphers.empty() &&
      SSL_CTX_set_cipher_list(context, settings_.ciphers.c_str()) != 1) {
    ERR_clear_error();
    throw std::runtime_error("Error setting the provided cipher(s): " + settings_.ciphers);
  }
  SSL_CTX_set_app_data(context, &counters_);
  SSL_CTX_set_session_cache_mode(
      context, settings_.session_cache ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
  if (settings_.session_cache) SSL_CTX_sess_set_new_cb(context, count_new_session);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  // An idle session keeps no buffers; a busy one fetches header and body of a record, and what
  // follows them, with one call.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  ERR_clear_error();
  return made;
}

std::string TlsContext::reload(core::Seconds now) {
  try {
    ContextPtr fresh = load();
    core::MutexLock lock(mutex_);
    context_.swap(fresh);  // sessions that have begun keep the old one alive
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  set_loaded_at(now);
  return {};
}

TlsPtr TlsContext::begin(int fd, TlsMode mode, std::span<char> gather, EventLog& events) {
  assert(mode != TlsMode::Off);
  TlsSession::SslPtr ssl(nullptr, SSL_free);
  {
    core::MutexLock lock(mutex_);
    ssl.reset(SSL_new(context_.get()));
  }
  BIO* const bio = BIO_new(socket_method());
  if (ssl == nullptr || bio == nullptr) {
    BIO_free(bio);
    ERR_clear_error();
    return nullptr;
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  SSL_set_accept_state(ssl.get());
  if (mode == TlsMode::NoPeer) SSL_set_verify(ssl.get(), SSL_VERIFY_NONE, nullptr);
  if (mode == TlsMode::WithPeer) {
    SSL_set_verify(ssl.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  // Who resumes a session shows no certificate: a session of a listener that asked for none must
  // not be good for one that does.
  const unsigned char name[] = {'l', 'a', 'r', 'd', 'e', 'r', static_cast<unsigned char>(mode)};
  SSL_set_session_id_context(ssl.get(), name, sizeof name);
  return TlsPtr(new TlsSession(std::move(ssl), gather, counters_, events));
}

void TlsContext::reset_counters() noexcept {
  for (auto* counter :
       {&counters_.new_sessions, &counters_.handshake_errors, &counters_.protocol_errors}) {
    counter->store(0, std::memory_order_relaxed);
  }
}

}  // namespace larder::daemon
