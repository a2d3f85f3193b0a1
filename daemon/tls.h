// TLS by OpenSSL: TlsContext is what all connections of the server share, TlsSession the state of
// one. Sockets own sessions, so that nothing above socket.h knows whether bytes are encrypted but
// for the two things that only encryption brings: input that is here without the socket being
// readable, and reading that has to wait until the socket can be written.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/mutex.h"
#include "core/units.h"
#include "daemon/event_log.h"
#include "daemon/listener_traits.h"
#include "daemon/settings.h"
#include "daemon/socket.h"

struct ssl_st;      // OpenSSL's SSL
struct ssl_ctx_st;  // and SSL_CTX

namespace larder::daemon {

// The most bytes in one TLS record; a longer buffer to gather them in would only be copied twice.
constexpr size_t kMaxRecordBytes = 16 * 1024;

// The most records in a row that may bring no data. A handshake takes about ten, a client
// certificate of 100 KB seven more; OpenSSL itself takes KeyUpdates and refused renegotiations
// without end, inside one call, and each costs the worker some ten microseconds.
constexpr uint32_t kMaxRecordsWithoutData = 32;

// And the most that one call of receive() takes in all, about. Data in short records may have as
// many KeyUpdates between them.
constexpr uint32_t kMaxRecordsPerCall = 64;

struct TlsCounters {
  std::atomic<uint64_t> new_sessions{0};  // entered into the session cache. All: plain sums
  std::atomic<uint64_t> handshake_errors{0};
  std::atomic<uint64_t> protocol_errors{0};  // after the handshake
};

// One thread at a time, like the socket that owns it. Never blocks.
class TlsSession {
 public:
  using SslPtr = std::unique_ptr<ssl_st, void (*)(ssl_st*)>;

  // gather  where short pieces become one record: kMaxRecordBytes or fewer, lent by the worker and
  //         used only within a call
  // events  told of errors
  TlsSession(SslPtr ssl, std::span<char> gather, TlsCounters& counters, EventLog& events);
  // Says goodbye (close_notify) if that can be sent at once. The descriptor must still be open.
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // OpenSSL has read the header of a record, inside receive(). Ends the session if none of the last
  // kMaxRecordsWithoutData records brought data: receive() returns Broken then.
  void count_record() noexcept;

  // As Socket's. The handshake happens inside receive(), which says Again until it is done; nothing
  // may be sent before it has given the first bytes. After a send() that was short the same bytes
  // must be offered again, at least as many.
  Socket::Moved receive(std::span<const iovec> into) noexcept;
  Socket::Moved send(std::span<const iovec> pieces) noexcept;

  // The session leaves the worker that lent it the memory to gather in: from now on each piece is a
  // record of its own.
  void leave_worker() noexcept { gather_ = {}; }

  // After receive(): more can be received although the socket may not become readable again. Never
  // set after Again.
  bool holds_input() const noexcept { return holds_input_; }
  // After receive(): nothing more comes before the socket has become writable.
  bool wants_write() const noexcept { return wants_write_; }

 private:
  Socket::Status status_after_failure(bool& wants_write) noexcept;
  void tell_error(std::string_view message) noexcept;

  SslPtr ssl_;
  std::span<char> gather_;
  TlsCounters& counters_;
  EventLog& events_;
  bool holds_input_ = false;
  bool wants_write_ = false;
  uint32_t records_without_data_ = 0;
  uint32_t records_in_call_ = 0;
  bool shaken_ = false;  // the handshake is done; OpenSSL forgets that when something fails
  bool broken_ = false;  // no goodbye
};

class TlsContext {
 public:
  // Reads the files that the settings name. Throws SettingsError with one sentence.
  explicit TlsContext(const Settings::Tls& settings);

  // Any thread. Reads certificates and key again: sessions that begin later use them, others keep
  // what they have. Returns nothing if that went well; otherwise what refresh_certs answers, and
  // nothing has changed.
  std::string reload(core::Seconds now);

  // Any thread. The server's side of a session on a connected socket, not for TlsMode::Off. Empty
  // without memory.
  TlsPtr begin(int fd, TlsMode mode, std::span<char> gather, EventLog& events);

  // Any thread.
  const TlsCounters& counters() const noexcept { return counters_; }
  void reset_counters() noexcept;
  // When the files were read last. The server says it of the first time, once its clock is right.
  core::Seconds loaded_at() const noexcept { return loaded_at_.load(std::memory_order_relaxed); }
  void set_loaded_at(core::Seconds now) noexcept {
    loaded_at_.store(now, std::memory_order_relaxed);
  }

 private:
  using ContextPtr = std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)>;

  // Throws std::runtime_error with memcached's words.
  ContextPtr load();

  const Settings::Tls settings_;
  TlsCounters counters_;
  std::atomic<core::Seconds> loaded_at_{core::kFirstSecond};  // a figure
  core::Mutex mutex_;
  ContextPtr context_ GUARDED_BY(mutex_);
};

}  // namespace larder::daemon
