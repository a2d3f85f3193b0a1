// ClientWatch: sees what happens to a client's nodes and lists, for counters and discovery.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "tools/client/client.h"
#include "tools/client/discovery.h"

namespace larder::client {

// Counts, tells the program's own observer, and has the list asked for when a node fails. Any
// thread.
class ClientWatch : public ClientObserver {
 public:
  explicit ClientWatch(std::shared_ptr<ClientObserver> next) : next_(std::move(next)) {}

  void node_failed(const std::string& node, const Error& why) noexcept override;
  void node_ejected(const std::string& node, const Error& why) noexcept override;
  void node_returned(const std::string& node) noexcept override;
  void list_followed(uint64_t version, size_t nodes) noexcept override;
  void list_failed(const Error& why) noexcept override;

  // Somebody told a list, whether or not it is followed.
  void list_told() noexcept { list_failures_ = 0; }
  // All who told one told a smaller version than is followed.
  void lists_are_behind(const Error& why) noexcept {
    if (next_) next_->list_failed(why);
  }

  // Whom a failed node wakes; null: nobody any more.
  void set_poller(Poller* poller);
  ClientCounters counters() const noexcept;

 private:
  const std::shared_ptr<ClientObserver> next_;
  std::mutex mutex_;
  Poller* poller_ = nullptr;  // guarded by mutex_
  std::atomic<uint64_t> node_failures_ = 0;
  std::atomic<uint64_t> ejections_ = 0;
  std::atomic<uint64_t> returns_ = 0;
  std::atomic<uint64_t> lists_followed_ = 0;
  std::atomic<uint64_t> list_failures_ = 0;
};

}  // namespace larder::client
