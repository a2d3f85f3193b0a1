#include "tools/client/pool.h"

#include <utility>

#include "tools/client/transport.h"

namespace larder::client {
ConnectionPool::ConnectionPool(Endpoint endpoint, ConnectionOptions options, size_t most_idle,
                               std::chrono::milliseconds trusted_idle,
                               std::chrono::milliseconds idle_timeout, OnMove on_move)
    : endpoint_(std::move(endpoint)),
      options_(std::move(options)),
      // A late reply in classic may fit the next request: only a look finds it before.
      trusted_idle_(options_.dialect == Dialect::Classic ? std::chrono::milliseconds{}
                                                         : trusted_idle),
      idle_timeout_(idle_timeout),
      on_move_(std::move(on_move)),
      first_most_idle_(most_idle),
      most_idle_(most_idle) {
  idle_.reserve(most_idle);
}

std::unique_ptr<Connection> ConnectionPool::take_idle() {
  while (true) {
    Idle idle;
    {
      const std::lock_guard lock(mutex_);
      if (idle_.empty()) return nullptr;
      idle = std::move(idle_.back());
      idle_.pop_back();
    }
    if (idle.connection->is_inherited()) continue;
    const bool trusted = std::chrono::steady_clock::now() - idle.since < trusted_idle_;
    if (trusted || !idle.connection->is_stale()) return std::move(idle.connection);
  }
}

Result<std::unique_ptr<Connection>> ConnectionPool::take(Deadline deadline) {
  std::unique_ptr<Connection> connection = take_idle();
  if (connection) return connection;
  return open(deadline);
}

Result<std::unique_ptr<Connection>> ConnectionPool::open(Deadline deadline) {
  std::string preferred;
  {
    const std::lock_guard lock(mutex_);
    preferred = address_;
  }
  auto opened = Connection::open(endpoint_, options_, deadline, preferred);
  if (opened) lead_to(**opened);
  return opened;
}

Result<std::unique_ptr<Connection>> ConnectionPool::open_over(Connected connected,
                                                              Deadline deadline) {
  auto opened = Connection::open_over(std::move(connected), endpoint_, options_, deadline);
  if (opened) lead_to(**opened);
  return opened;
}

void ConnectionPool::lead_to(const Connection& opened) {
  std::string address = opened.address();
  std::vector<Idle> closed;  // without the lock
  closed.reserve(first_most_idle_);
  const std::lock_guard lock(mutex_);
  if (address_ != address) {
    if (!address_.empty()) on_move_(address_, address);
    address_.swap(address);
    for (Idle& idle : idle_) closed.push_back(std::move(idle));
    idle_.clear();
  }
}

void ConnectionPool::give_back(std::unique_ptr<Connection> connection) noexcept {
  if (!connection->is_in_step()) return;
  const auto now = std::chrono::steady_clock::now();
  std::unique_ptr<Connection> unused;  // closed without the lock
  const std::lock_guard lock(mutex_);
  if (idle_.size() < most_idle_ && connection->address() == address_) {
    idle_.push_back({std::move(connection), now});
  }
  if (!idle_.empty() && now - idle_.front().since >= idle_timeout_) {
    unused = std::move(idle_.front().connection);
    idle_.erase(idle_.begin());
  }
}

void ConnectionPool::clear() noexcept {
  for (std::unique_ptr<Connection> closed = take_any(); closed; closed = take_any()) {
  }
}

// Without a look at it.
std::unique_ptr<Connection> ConnectionPool::take_any() noexcept {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return nullptr;
  std::unique_ptr<Connection> taken = std::move(idle_.back().connection);
  idle_.pop_back();
  return taken;
}

void ConnectionPool::set_most_idle(size_t count) noexcept {
  {
    const std::lock_guard lock(mutex_);
    most_idle_ = count;
  }
  while (idle() > count) take_any();
}

size_t ConnectionPool::idle() const {
  const std::lock_guard lock(mutex_);
  return idle_.size();
}

}  // namespace larder::client
