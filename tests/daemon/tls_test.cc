#include "daemon/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/certificates.h"
#include "tests/support/temp_folder.h"

using namespace larder::daemon;
using larder::test::Authority;
using larder::test::TempFolder;
using Status = Socket::Status;

namespace {

struct Files {
  Files() { authority.issue("first", {settings.chain_cert, settings.key}); }

  TempFolder folder;
  Authority authority{"the authority"};
  Settings::Tls settings = [this] {
    Settings::Tls tls;
    tls.enabled = true;
    tls.chain_cert = folder.file("certificate");
    tls.key = folder.file("key");
    return tls;
  }();
};

// A server's socket with a session, and OpenSSL at the other end of it. Nothing blocks.
struct Pair {
  explicit Pair(TlsContext& context, size_t gather_bytes = kMaxRecordBytes)
      : gather(gather_bytes), client_context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    server = Socket(ends[0]);
    peer = Socket(ends[1]);
    server.use(context.begin(server.fd(), TlsMode::AsSet, gather, events));
    client.reset(SSL_new(client_context.get()));
    SSL_set_fd(client.get(), peer.fd());
    SSL_set_connect_state(client.get());
  }

  // Until the server waits for application data.
  void shake_hands() {
    char nothing;
    for (int i = 0; i < 4; ++i) {
      SSL_do_handshake(client.get());
      CHECK(server.receive({&nothing, 1}).status == Status::Again);
    }
    REQUIRE(SSL_is_init_finished(client.get()) == 1);
  }
  void client_writes(const std::string& text) {
    REQUIRE(SSL_write(client.get(), text.data(), static_cast<int>(text.size())) > 0);
  }
  // From here on what the client writes stays in memory.
  void keep_records_back() { SSL_set0_wbio(client.get(), BIO_new(BIO_s_mem())); }
  std::string_view kept_records() {
    char* kept = nullptr;
    const long bytes = BIO_get_mem_data(SSL_get_wbio(client.get()), &kept);
    return {kept, static_cast<size_t>(bytes)};
  }
  // What is there, record by record.
  std::vector<std::string> client_reads() {
    std::vector<std::string> records;
    std::vector<char> buffer(1 << 15);
    int n;
    while ((n = SSL_read(client.get(), buffer.data(), static_cast<int>(buffer.size()))) > 0) {
      records.emplace_back(buffer.data(), static_cast<size_t>(n));
    }
    ERR_clear_error();
    return records;
  }

  EventLog events{1, 4096};
  std::vector<char> gather;
  Socket server, peer;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> client_context;
  std::unique_ptr<SSL, void (*)(SSL*)> client{nullptr, SSL_free};
};

std::vector<iovec> pieces_of(std::vector<std::string>& texts) {
  std::vector<iovec> pieces;
  for (std::string& text : texts) pieces.push_back({text.data(), text.size()});
  return pieces;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += text;
  return all;
}

std::string refusal(const Settings::Tls& settings) {
  try {
    TlsContext context(settings);
  } catch (const SettingsError& error) {
    CHECK(error.exit_code == 64);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a session receives what the client wrote and sends what it reads") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  pair.shake_hands();
  pair.client_writes("get a\r\n");
  std::array<char, 100> buffer;
  const Socket::Moved moved = pair.server.receive(buffer);
  CHECK(moved.status == Status::Ok);
  CHECK(std::string(buffer.data(), moved.bytes) == "get a\r\n");
  CHECK(!pair.server.holds_input());
  CHECK(pair.server.receive(buffer).status == Status::Again);

  std::vector<std::string> reply = {"END\r\n"};
  CHECK(pair.server.send(pieces_of(reply)).bytes == 5);
  CHECK(pair.client_reads() == reply);
}

TEST_CASE("input that does not fit is held and says so until the last byte is fetched") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  pair.shake_hands();
  pair.client_writes("0123456789");
  pair.client_writes("abcde");
  std::array<char, 4> first, second;
  const std::array<iovec, 2> into = {iovec{first.data(), 4}, iovec{second.data(), 4}};
  CHECK(pair.server.receive(into).bytes == 8);
  CHECK(std::string(second.data(), 4) == "4567");
  CHECK(pair.server.holds_input());
  std::array<char, 100> rest;
  const Socket::Moved moved = pair.server.receive(rest);
  CHECK(std::string(rest.data(), moved.bytes) == "89abcde");  // of two records
  CHECK(!pair.server.holds_input());
}

TEST_CASE("a goodbye right behind the last request is held and comes with the next call") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  pair.shake_hands();
  pair.client_writes("quit\r\n");
  SSL_shutdown(pair.client.get());  // the socket stays open and makes no further event
  std::array<char, 100> buffer;
  CHECK(pair.server.receive(buffer).bytes == 6);
  CHECK(pair.server.holds_input());
  CHECK(pair.server.receive(buffer).status == Status::Closed);
}

TEST_CASE("a record that breaks the session right behind a request is held for the next call") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  pair.shake_hands();
  pair.keep_records_back();
  pair.client_writes("get a\r\n");
  std::string records(pair.kept_records());
  records += std::string(100, '?');  // no record; nothing else comes after it
  REQUIRE(::send(pair.peer.fd(), records.data(), records.size(), 0) ==
          static_cast<ssize_t>(records.size()));
  std::array<char, 100> buffer;
  CHECK(pair.server.receive(buffer).bytes == 7);
  CHECK(pair.server.holds_input());
  CHECK(pair.server.receive(buffer).status == Status::Broken);
}

TEST_CASE("half a record is neither input nor held") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  pair.shake_hands();
  pair.keep_records_back();
  pair.client_writes("hello");
  const std::string_view record = pair.kept_records();
  REQUIRE(record.size() > 10);
  REQUIRE(::send(pair.peer.fd(), record.data(), 10, 0) == 10);
  std::array<char, 100> buffer;
  CHECK(pair.server.receive(buffer).status == Status::Again);
  CHECK(!pair.server.holds_input());
  REQUIRE(::send(pair.peer.fd(), record.data() + 10, record.size() - 10, 0) > 0);
  CHECK(pair.server.receive(buffer).bytes == 5);
}

TEST_CASE("one call receives some 64 records, also where data lies between KeyUpdates") {
  Files files;
  TlsContext context(files.settings);
  for (const size_t updates : {0u, 1u, 8u, 24u}) {  // before each byte
    CAPTURE(updates);
    Pair pair(context);
    pair.shake_hands();
    pair.keep_records_back();
    constexpr size_t kRecords = 600;
    const size_t bytes = kRecords / (updates + 1);
    std::string text;
    for (size_t i = 0; i < bytes; ++i) {
      for (size_t k = 0; k < updates; ++k) {
        REQUIRE(SSL_key_update(pair.client.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        REQUIRE(SSL_do_handshake(pair.client.get()) == 1);
      }
      text += static_cast<char>('a' + i % 26);
      pair.client_writes(text.substr(i));
    }
    // All are there before the first call.
    const std::string_view records = pair.kept_records();
    REQUIRE(::send(pair.peer.fd(), records.data(), records.size(), 0) ==
            static_cast<ssize_t>(records.size()));
    std::string got;
    std::array<char, 4096> buffer;
    size_t most_records = 0;
    do {
      const Socket::Moved moved = pair.server.receive(buffer);
      REQUIRE(moved.status == Status::Ok);
      got.append(buffer.data(), moved.bytes);
      most_records = std::max(most_records, moved.bytes * (updates + 1));
    } while (pair.server.holds_input() || got.size() < bytes);
    CHECK(got == text);
    CHECK(most_records <= kMaxRecordsPerCall + updates);
    CHECK(most_records >= kMaxRecordsPerCall / 2);
  }
}

TEST_CASE("short pieces become one record, long ones records of 16 KiB") {
  Files files;
  TlsContext context(files.settings);
  SECTION("the gather buffer as large as a record") {
    Pair pair(context);
    pair.shake_hands();
    std::vector<std::string> texts = {"VALUE a 0 40000\r\n", std::string(40'000, 'x'), "\r\n", "",
                                      "END\r\n"};
    CHECK(pair.server.send(pieces_of(texts)).bytes == joined(texts).size());
    const auto records = pair.client_reads();
    CHECK(records.size() == 3);
    CHECK(joined(records) == joined(texts));
  }
  SECTION("a smaller one") {
    Pair pair(context, 1024);
    pair.shake_hands();
    std::vector<std::string> texts(100, std::string(100, 'y'));
    CHECK(pair.server.send(pieces_of(texts)).bytes == 10'000);
    const auto records = pair.client_reads();
    CHECK(records.size() == 10);
    CHECK(joined(records) == joined(texts));
  }
}

TEST_CASE("a send is short when the socket takes no more, and goes on from there") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  pair.shake_hands();
  const int small = 4096;
  setsockopt(pair.server.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  std::string all;
  for (int i = 0; all.size() < 1'000'000; ++i) all += std::to_string(i) + ' ';
  std::string got;
  int short_sends = 0;
  for (size_t sent = 0; sent < all.size();) {
    const size_t half = (all.size() - sent) / 2;
    const std::array<iovec, 2> rest = {iovec{all.data() + sent, half},
                                       iovec{all.data() + sent + half, all.size() - sent - half}};
    const Socket::Moved moved = pair.server.send(rest);
    REQUIRE((moved.status == Status::Ok || moved.status == Status::Again));
    sent += moved.bytes;
    if (sent < all.size()) ++short_sends;
    got += joined(pair.client_reads());
  }
  CHECK(short_sends > 0);
  got += joined(pair.client_reads());
  CHECK(got == all);
}

TEST_CASE("a handshake that the socket has no room for waits until it can be written") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  const int small = 1;
  setsockopt(pair.server.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  SSL_do_handshake(pair.client.get());  // sends its hello
  size_t filling = 0;
  const std::string junk(512, 'j');
  ssize_t sent;
  while ((sent = ::send(pair.server.fd(), junk.data(), junk.size(), 0)) > 0) {
    filling += static_cast<size_t>(sent);
  }
  char nothing;
  CHECK(pair.server.receive({&nothing, 1}).status == Status::Again);
  CHECK(pair.server.wants_write());
  while (filling > 0) {
    std::array<char, 512> junk_back;
    const ssize_t n =
        ::recv(pair.peer.fd(), junk_back.data(), std::min(junk_back.size(), filling), 0);
    REQUIRE(n > 0);
    filling -= static_cast<size_t>(n);
  }
  pair.shake_hands();
  CHECK(!pair.server.wants_write());
}

TEST_CASE("what is no TLS breaks the session and is counted once") {
  Files files;
  TlsContext context(files.settings);
  std::array<char, 100> buffer;
  SECTION("instead of a handshake") {
    Pair pair(context);
    const std::string text = "get a\r\nget b\r\n";
    REQUIRE(::send(pair.peer.fd(), text.data(), text.size(), 0) > 0);
    CHECK(pair.server.receive(buffer).status == Status::Broken);
    CHECK(pair.server.receive(buffer).status == Status::Broken);
    CHECK(context.counters().handshake_errors == 1);
    CHECK(context.counters().protocol_errors == 0);
  }
  SECTION("after it") {
    Pair pair(context);
    pair.shake_hands();
    const std::string text(100, 'x');
    REQUIRE(::send(pair.peer.fd(), text.data(), text.size(), 0) > 0);
    CHECK(pair.server.receive(buffer).status == Status::Broken);
    CHECK(context.counters().handshake_errors == 0);
    CHECK(context.counters().protocol_errors == 1);
    context.reset_counters();
    CHECK(context.counters().protocol_errors == 0);
  }
  SECTION("who just leaves is no error") {
    Pair pair(context);
    pair.shake_hands();
    pair.peer.close();
    CHECK(pair.server.receive(buffer).status == Status::Broken);
    std::vector<std::string> reply = {"END\r\n"};
    CHECK(pair.server.send(pieces_of(reply)).status == Status::Broken);
    CHECK(context.counters().handshake_errors == 0);
    CHECK(context.counters().protocol_errors == 0);
  }
}

TEST_CASE("a socket says goodbye when it is closed") {
  Files files;
  TlsContext context(files.settings);
  Pair pair(context);
  pair.shake_hands();
  pair.server.close();
  char nothing;
  const int n = SSL_read(pair.client.get(), &nothing, 1);
  CHECK(SSL_get_error(pair.client.get(), n) == SSL_ERROR_ZERO_RETURN);
}

TEST_CASE("a context that cannot be set up says why") {
  Files files;
  Settings::Tls bad = files.settings;
  bad.chain_cert = "/nowhere";
  CHECK(refusal(bad) ==
        "Error loading the certificate chain: /nowhere : "
        "error:80000002:system library::No such file or directory");
  bad = files.settings;
  bad.key = "/nowhere";
  CHECK(refusal(bad) ==
        "Error loading the key: /nowhere : "
        "error:80000002:system library::No such file or directory");
  bad = files.settings;
  files.authority.issue("other", {files.folder.file("c2"), files.folder.file("k2")});
  bad.key = files.folder.file("k2");
  CHECK(refusal(bad) == "Error loading the key: " + bad.key +
                            " : error:05800074:x509 certificate routines::key values mismatch");
  bad = files.settings;
  bad.ca_cert = "/nowhere";
  CHECK(refusal(bad).starts_with("Error loading the CA certificate: /nowhere : error:"));
  bad = files.settings;
  bad.ciphers = "none such";
  CHECK(refusal(bad) == "Error setting the provided cipher(s): none such");
  bad = files.settings;
  bad.key_format = 2;  // and it is PEM
  CHECK(refusal(bad).starts_with("Error loading the key: "));
}

TEST_CASE("a reload with bad files changes nothing; with good ones it counts from then") {
  Files files;
  TlsContext context(files.settings);
  context.set_loaded_at(10);
  std::ofstream(files.settings.chain_cert) << "no certificate";
  CHECK(context.reload(20).starts_with("Error loading the certificate chain: "));
  CHECK(context.loaded_at() == 10);
  Pair old(context);
  old.shake_hands();

  files.authority.issue("second", {files.settings.chain_cert, files.settings.key});
  CHECK(context.reload(30) == "");
  CHECK(context.loaded_at() == 30);
  Pair fresh(context);
  fresh.shake_hands();
  const auto name = [](Pair& pair) {
    char cn[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(pair.client.get())),
                              NID_commonName, cn, sizeof cn);
    return std::string(cn);
  };
  CHECK(name(old) == "first");
  CHECK(name(fresh) == "second");
  old.client_writes("still here");
  std::array<char, 100> buffer;
  CHECK(old.server.receive(buffer).bytes == 10);
}
