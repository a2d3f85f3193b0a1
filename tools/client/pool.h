// ConnectionPool: the connections to one server that nobody uses at the moment.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tools/client/connection.h"

namespace larder::client {

// Any thread. One that has been in use a moment ago is taken as it is; others are looked at. The
// one that was given back last is taken first: the others are closed once nobody has needed them
// for idle_timeout.
//
// In a child of fork() the idle connections are the parent's: the child closes its copies, which
// tells the server nothing, and opens its own.
//
// All connections of a pool lead to one server, though its name may have several addresses or come
// to have another: where a new one cannot be had at the address of the others, those are kept no
// more.
class ConnectionPool {
 public:
  using OnMove = std::function<void(const std::string& from, const std::string& to)>;

  // most_idle, trusted_idle, idle_timeout  see ClientOptions
  // on_move  called with a lock, before any connection to another address than before is given out
  ConnectionPool(
      Endpoint endpoint, ConnectionOptions options, size_t most_idle,
      std::chrono::milliseconds trusted_idle, std::chrono::milliseconds idle_timeout,
      OnMove on_move = [](const std::string&, const std::string&) {});

  // An idle one that is not stale, without waiting; null if there is none.
  std::unique_ptr<Connection> take_idle();
  // An idle one, or a new one by this time.
  Result<std::unique_ptr<Connection>> take(Deadline deadline);
  // Always a new one.
  Result<std::unique_ptr<Connection>> open(Deadline deadline);
  // Likewise over a socket that is connected to the endpoint.
  Result<std::unique_ptr<Connection>> open_over(Connected connected, Deadline deadline);

  // Keeps it, if it is in step, leads where the others do, and not enough are idle.
  void give_back(std::unique_ptr<Connection> connection) noexcept;
  // Closes all that are idle.
  void clear() noexcept;
  // From now on, at most as many as at first; closes those that are more.
  void set_most_idle(size_t count) noexcept;

  size_t idle() const;
  const Endpoint& endpoint() const noexcept { return endpoint_; }

 private:
  std::unique_ptr<Connection> take_any() noexcept;
  // Keeps no idle one that leads to another address than this.
  void lead_to(const Connection& opened);

  const Endpoint endpoint_;
  const ConnectionOptions options_;
  const std::chrono::milliseconds trusted_idle_;
  const std::chrono::milliseconds idle_timeout_;
  const OnMove on_move_;
  const size_t first_most_idle_;
  mutable std::mutex mutex_;
  size_t most_idle_;     // guarded by mutex_
  std::string address_;  // of all idle ones; guarded by mutex_; empty: none was opened yet
  struct Idle {
    std::unique_ptr<Connection> connection;
    std::chrono::steady_clock::time_point since;
  };
  std::vector<Idle> idle_;  // guarded by mutex_; the one that was used last is the last
};

}  // namespace larder::client
