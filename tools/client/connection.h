// Connection: one connection to one server, over which operations are pipelined.
//
// What blocks ends at a deadline; the rest never blocks and is driven by poll(), so that one thread
// can wait for many servers at once. One thread at a time. After a failure (failed()) nothing can
// be asked any more: what has not been answered by then has `Outcome::Failed`.
//
// A connection belongs to the process that opened it. In a child of fork() it takes no operation
// (Closed), and its destructor closes the child's descriptor alone: the parent goes on using it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tools/client/cancellation.h"
#include "tools/client/deadline.h"
#include "tools/client/lingering.h"
#include "tools/client/operation.h"
#include "tools/client/result.h"

namespace larder::client {

struct Connected;  // transport.h

// Where a server listens.
struct Endpoint {
  std::string host = {};  // a name or an address; empty: `path` counts
  uint16_t port = 11211;
  std::string path = {};  // of a Unix socket

  std::string text() const;  // "host:port", "[::1]:port" or the path, for messages
};

struct TlsSettings {
  bool enabled = false;
  bool verify = true;            // the server's certificate, and its name
  std::string ca_file;           // empty: what the system trusts
  std::string certificate_file;  // of this client; empty: none
  std::string key_file;
};

struct ConnectionOptions {
  // A server that does not know the meta commands gets no value: it refuses an `mn` before the
  // first one of a connection (Refused).
  Dialect dialect = Dialect::Meta;
  TlsSettings tls;
  // A login: SASL PLAIN where the dialect is binary, else memcached's ASCII login (a `set` of
  // "user password"). Empty user: none.
  std::string user;
  std::string password;
  size_t most_value_bytes = 64u << 20;        // of one reply; a larger one is TooLarge
  size_t most_reply_bytes = size_t{1} << 30;  // of all values that are held for one submit
  // Where names are looked up: "ADDRESS[:PORT],...", IPv6 with a port as "[::1]:53", as a local
  // agent has it. Empty: the name servers of resolv.conf.
  std::string name_servers;
};

class Connection {
 public:
  // Looks the name up, connects, agrees on TLS, logs in, all before the deadline.
  //
  // preferred     an address(): is tried first if the name still leads there
  // cancellation  ends this and the waits of the connection, which fails with Timeout, as the
  //               deadline does; lives as long as the connection; null: nobody cancels
  static Result<std::unique_ptr<Connection>> open(const Endpoint& endpoint,
                                                  const ConnectionOptions& options,
                                                  Deadline deadline,
                                                  std::string_view preferred = {},
                                                  const Cancellation* cancellation = nullptr);
  // Likewise over a socket that is connected: without TLS and a login it does not wait.
  static Result<std::unique_ptr<Connection>> open_over(Connected connected,
                                                       const Endpoint& endpoint,
                                                       const ConnectionOptions& options,
                                                       Deadline deadline,
                                                       const Cancellation* cancellation = nullptr);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // -- Without blocking. Several submits may be under way; they are answered in order.

  // answers  as many as operations; answers[i] is filled in when it has come. Both must live until
  //          idle() or failed(): until then an answer may still be taken back, and fail with the
  //          connection, if no later reply has proven that it is its request's. What no server
  //          would take is answered at once with BadRequest and is not sent; that is everything
  //          where there are fewer answers than operations.
  // In classic, gets that follow each other in one submit go in lines of many keys (get_line.h).
  void submit(std::span<const Operation> operations, std::span<Answer> answers);
  bool idle() const noexcept;  // everything has been sent and answered
  // Idle, and no byte has been read that nobody asked for: the next request may go over it.
  bool is_in_step() const noexcept;
  // For poll(): what to wait for while not idle.
  int fd() const noexcept;
  short events() const noexcept;
  // Sends and reads as far as it goes without waiting, and not for long after the deadline, in
  // which it takes some 4 MiB.
  void advance(Deadline deadline);
  // Likewise, but waits until it is idle or has failed, or for about as long as the deadline says;
  // it may return before. A cancellation does not end this wait.
  void advance_by(Deadline deadline);
  // All that is not answered fails with this, and so does the connection. Where memory has run out
  // answers have the kind of the error alone.
  void fail(Error error) noexcept;
  bool failed() const noexcept;
  const std::optional<Error>& failure() const noexcept;
  // Failed, but not by the server's fault: it was given up on account of one answer.
  bool was_left() const noexcept;
  // Of one that has failed with something under way that changes what the server has, which may
  // come to that yet: what is left of it, to be waited for; else empty. Once; else the rest is
  // reset.
  LingeringList take_lingering() noexcept;
  // Opened by the process that this one was forked from.
  bool is_inherited() const noexcept;
  // Inherited, or closed by the server while it was idle, or with something to read that nobody
  // asked for.
  bool is_stale() const;

  // -- Blocking. On an idle connection only.

  // submit() and the answers; past the deadline it fails with Timeout.
  void run(std::span<const Operation> operations, std::span<Answer> answers, Deadline deadline);

  // One text command of an operator, without its line end, and its reply as it came: all lines up
  // to and with the first that is one of `ends` or begins with it and a blank ("END", "EN", "OK",
  // "VERSION" ...), or an ERROR,
  // CLIENT_ERROR or SERVER_ERROR, which becomes Refused. Not in the binary dialect (BadRequest).
  // `on_line` gets each line as it comes, without its line end, and nothing is kept; it returns
  // false to give up, which fails the connection.
  Result<std::string> ask(std::string_view command, std::span<const std::string_view> ends,
                          Deadline deadline);
  Result<void> ask_lines(std::string_view command, std::span<const std::string_view> ends,
                         Deadline deadline, const std::function<bool(std::string_view)>& on_line);

  const Endpoint& endpoint() const noexcept;
  // Of the server, in digits, without its port; of a Unix socket its path.
  const std::string& address() const noexcept;

 private:
  struct State;
  explicit Connection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace larder::client
