// Backlog: the replies that a client has not taken yet, and the budget that all of them share.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/cache.h"
#include "daemon/socket.h"
#include "proto/reply_buffer.h"

namespace larder::daemon {

// Bytes that may wait in the process for clients: replies copied, values held, input put aside.
// One for the whole server; any thread. It is touched only when a client is slow.
class BufferBudget {
 public:
  explicit BufferBudget(uint64_t limit_bytes) : limit_(limit_bytes) {}

  // False if the budget is used up already. What finds room is admitted whole, so one value may be
  // larger than the limit: the overshoot is one connection's backlog.
  [[nodiscard]] bool take(uint64_t bytes) noexcept {
    if (used() >= limit_) return false;
    used_.fetch_add(bytes, std::memory_order_relaxed);
    return true;
  }
  // The same without asking, for what is bounded otherwise.
  void charge(uint64_t bytes) noexcept { used_.fetch_add(bytes, std::memory_order_relaxed); }
  void give_back(uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> used_{0};  // a plain sum: relaxed
};

// Values longer than this are held in the cache until they are sent; shorter ones are copied, so
// that a slow client does not keep many small chunks from being reused.
constexpr size_t kHoldAboveBytes = 64 * 1024;

// What remained of one ReplyBuffer after a short send. One thread, its worker's; may be destroyed
// at any time (held items are released, the budget gets its bytes back).
class Backlog {
 public:
  // The pieces without their first `sent` bytes. Pieces with an owner belong to the core::Item that
  // it points to, found in this turn. Null if the budget has no room: then nothing is held.
  static std::unique_ptr<Backlog> keep(std::span<const proto::ReplyBuffer::Piece> pieces,
                                       size_t sent, core::Cache& cache, BufferBudget& budget);
  ~Backlog();
  Backlog(const Backlog&) = delete;
  Backlog& operator=(const Backlog&) = delete;

  // What one call of send() offers to the socket. From a client that keeps up, TLS takes all that
  // is offered, and the worker's other clients wait while it encrypts.
  static constexpr size_t kBytesPerSend = 512 * 1024;

  // Sends until all is gone (Ok), kBytesPerSend have gone or the socket takes no more (Again); else
  // Broken.
  Socket::Moved send(Socket& socket);

  bool empty() const noexcept { return next_ == parts_.size(); }
  uint64_t bytes() const noexcept { return left_; }  // still to be sent

 private:
  struct Part {
    const char* data;
    size_t bytes;
    const core::Item* held;  // released once this part is sent; null: nothing to release
  };

  Backlog(core::Cache& cache, BufferBudget& budget) : cache_(cache), budget_(budget) {}
  void drop_front(size_t bytes) noexcept;

  core::Cache& cache_;
  BufferBudget& budget_;
  std::unique_ptr<char[]> copied_;
  std::vector<Part> parts_;
  size_t next_ = 0;  // parts before it are sent
  uint64_t left_ = 0;
  uint64_t charged_ = 0;
};

}  // namespace larder::daemon
