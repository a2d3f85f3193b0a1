// ConnectionPool: the connections to one server that nobody uses at the moment.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "tools/client/connection.h"

namespace larder::client {

// Any thread. One that has been in use a moment ago is taken as it is; others are looked at. The
// one that was given back last is taken first: the others are closed once nobody has needed them
// for idle_timeout.
class ConnectionPool {
 public:
  // most_idle, trusted_idle, idle_timeout  see ClientOptions
  ConnectionPool(Endpoint endpoint, ConnectionOptions options, size_t most_idle,
                 std::chrono::milliseconds trusted_idle, std::chrono::milliseconds idle_timeout);

  // An idle one that is not stale, without waiting; null if there is none.
  std::unique_ptr<Connection> take_idle();
  // An idle one, or a new one by this time.
  Result<std::unique_ptr<Connection>> take(Deadline deadline);
  // Always a new one.
  Result<std::unique_ptr<Connection>> open(Deadline deadline) const;

  // Keeps it, if it is in step and not enough are idle.
  void give_back(std::unique_ptr<Connection> connection) noexcept;
  // Closes all that are idle.
  void clear();
  // From now on, at most as many as at first; closes those that are more.
  void set_most_idle(size_t count);

  size_t idle() const;
  const Endpoint& endpoint() const noexcept { return endpoint_; }

 private:
  const Endpoint endpoint_;
  const ConnectionOptions options_;
  const std::chrono::milliseconds trusted_idle_;
  const std::chrono::milliseconds idle_timeout_;
  mutable std::mutex mutex_;
  size_t most_idle_;  // guarded by mutex_
  struct Idle {
    std::unique_ptr<Connection> connection;
    std::chrono::steady_clock::time_point since;
  };
  std::vector<Idle> idle_;  // guarded by mutex_; the one that was used last is the last
};

}  // namespace larder::client
