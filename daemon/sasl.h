// Sasl, SaslExchange: cyrus libsasl, as memcached sets it up.
//
// The application is called "memcached", so its configuration is memcached.conf in a folder of
// SASL_CONF_PATH, or else of the library's own list. MEMCACHED_SASL_PWDB, if it is set, names a
// file of user@host:password lines that is looked at before what the configuration says; it is read
// afresh for each attempt. That blocks, as the library's own sources do: SaslClerk asks.
#pragma once

#include <sasl/sasl.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace larder::daemon {

// The library, ready for exchanges; it outlives them. Made on one thread, then any thread.
class Sasl {
 public:
  Sasl();  // throws SettingsError
  ~Sasl();
  Sasl(const Sasl&) = delete;
  Sasl& operator=(const Sasl&) = delete;

  // Where users without one belong: this machine's name, as memcached has it.
  const std::string& realm() const noexcept { return realm_; }

 private:
  std::string realm_;
  std::string password_base_;  // a path; empty: none
  std::array<sasl_callback_t, 3> callbacks_;
};

// One client's attempts. One thread at a time.
class SaslExchange {
 public:
  enum class Status { Done, Continue, Failed };
  struct Result {
    Status status;
    std::string_view challenge;  // Continue: to be sent; good until the next call
  };

  // Null: the library refuses.
  static std::unique_ptr<SaslExchange> make(const Sasl& sasl);

  // Names with blanks between them; false: the library refuses. Good until the next call.
  bool list_mechanisms(std::string_view& names);
  // Begins anew, whatever was before; an empty response is none.
  Result start(const std::string& mechanism, std::string_view response);
  // Only after a Continue.
  Result step(std::string_view response);

 private:
  struct Dispose {
    void operator()(sasl_conn_t* conn) const noexcept { sasl_dispose(&conn); }
  };
  using Handle = std::unique_ptr<sasl_conn_t, Dispose>;

  SaslExchange(const Sasl& sasl, Handle conn) : sasl_(sasl), conn_(std::move(conn)) {}
  static Handle make_handle(const Sasl& sasl);
  Result settle(int result, const char* challenge, unsigned bytes);

  const Sasl& sasl_;
  Handle conn_;
  bool used_ = false;     // by an earlier start()
  bool started_ = false;  // and waits for a step
};

}  // namespace larder::daemon
