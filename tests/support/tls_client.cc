#include "tests/support/tls_client.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>

namespace larder::test {
namespace {

daemon::Socket connect_without_waiting(int port, int receive_buffer) {
  daemon::Socket socket = connect_over_tcp(port, receive_buffer);
  fcntl(socket.fd(), F_SETFL, fcntl(socket.fd(), F_GETFL) | O_NONBLOCK);
  return socket;
}

}  // namespace

TlsClient::TlsClient(int port, const TlsOptions& options)
    : StreamClient(connect_without_waiting(port, options.receive_buffer)),
      context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free),
      ssl_(nullptr, SSL_free) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets that the server has closed
  SSL_CTX* const context = context_.get();
  if (options.version != 0) {
    SSL_CTX_set_min_proto_version(context, options.version);
    SSL_CTX_set_max_proto_version(context, options.version);
  }
  if (!options.certificate.empty() &&
      (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1 ||
       SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) != 1)) {
    throw std::runtime_error("the client's certificate cannot be used");
  }
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ssl_.reset(SSL_new(context));
  SSL_set_fd(ssl_.get(), socket_.fd());
  if (options.session != nullptr) SSL_set_session(ssl_.get(), options.session.get());
  int result;
  while ((result = SSL_connect(ssl_.get())) != 1) {
    if (!wait_if_asked(result)) throw std::runtime_error("no handshake");
  }
}

bool TlsClient::wait_if_asked(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  ERR_clear_error();
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
  wait_for(socket_.fd(), error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT);
  return true;
}

void TlsClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t sent = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent);
    if (result != 1 && !wait_if_asked(result)) throw std::runtime_error("cannot send");
    bytes.remove_prefix(sent);
  }
}

size_t TlsClient::send_some(std::string_view bytes) {
  size_t sent = 0;
  SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent);
  ERR_clear_error();
  return sent;
}

bool TlsClient::receive_more() {
  char buffer[16384];
  size_t bytes = 0;
  int result;
  while ((result = SSL_read_ex(ssl_.get(), buffer, sizeof buffer, &bytes)) != 1) {
    if (!wait_if_asked(result)) return false;
  }
  received_.append(buffer, bytes);
  return true;
}

bool TlsClient::update_key(bool asks) {
  SSL_key_update(ssl_.get(), asks ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
  const bool sent = SSL_do_handshake(ssl_.get()) == 1;
  ERR_clear_error();
  return sent;
}

void TlsClient::keep_back() { SSL_set0_wbio(ssl_.get(), BIO_new(BIO_s_mem())); }

void TlsClient::send_kept() {
  char* kept = nullptr;
  const long bytes = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &kept);
  std::string_view left(kept, static_cast<size_t>(bytes));
  while (!left.empty()) {
    const ssize_t n = ::send(socket_.fd(), left.data(), left.size(), MSG_NOSIGNAL);
    if (n > 0) {
      left.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      wait_for(socket_.fd(), POLLOUT);
    } else {
      throw std::runtime_error("cannot send");
    }
  }
  SSL_set0_wbio(ssl_.get(), BIO_new_socket(socket_.fd(), BIO_NOCLOSE));
}

std::string TlsClient::server_name() const {
  char name[128] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ssl_.get())),
                            NID_commonName, name, sizeof name);
  return name;
}

bool TlsClient::resumed() const { return SSL_session_reused(ssl_.get()) == 1; }

TlsSessionPtr TlsClient::session() const {
  return TlsSessionPtr(SSL_get1_session(ssl_.get()), SSL_SESSION_free);
}

void TlsClient::finish_sending() {
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

}  // namespace larder::test
