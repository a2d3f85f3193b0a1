// BufferBudget, BufferClaim: how much memory clients may make the server hold, and who goes when
// that is used up.
//
// A claim is what one connection holds. When a budget is used up, the claim that has made no
// progress for longest is condemned, and its connection closed by the worker that owns it; the
// client that asks now is served. There are three budgets (ClientBuffers), so that one kind of
// waiting cannot use up what another needs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/mutex.h"

namespace larder::daemon {

class BufferClaim;
class Connection;

// One for the whole server; any thread. It is touched only when a client is slow.
class BufferBudget {
 public:
  // limit_bytes  of all claims; one that finds room is admitted whole, so that one value may be
  //              larger than the limit
  // workers      how many own connections
  // wake         called with the number of a worker of whose claims one was condemned, without any
  //              lock; may be empty. What it throws is ignored: the worker looks in its next pass
  BufferBudget(uint64_t limit_bytes, size_t workers, std::function<void(uint32_t)> wake);
  BufferBudget(const BufferBudget&) = delete;
  BufferBudget& operator=(const BufferBudget&) = delete;

  // Without what is condemned.
  uint64_t used() const noexcept {
    return claimed_.load(std::memory_order_relaxed) + charged_.load(std::memory_order_relaxed);
  }
  uint64_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
  void set_limit(uint64_t bytes) noexcept { limit_.store(bytes, std::memory_order_relaxed); }

  // -- The worker's thread.
  bool has_condemned(uint32_t worker) const noexcept {
    return condemned_[worker].count.load(std::memory_order_relaxed) != 0;
  }
  // Takes one condemned claim of this worker off the list and returns its connection, which is to
  // be closed; null: there is none.
  Connection* next_condemned(uint32_t worker) noexcept EXCLUDES(mutex_);

 private:
  friend class BufferClaim;

  struct List {
    BufferClaim* first = nullptr;
    BufferClaim* last = nullptr;
  };
  struct Condemned {
    List list;
    std::atomic<uint32_t> count{0};  // of the list, for a look without the lock
  };

  void admit(BufferClaim& claim, uint64_t bytes) EXCLUDES(mutex_);
  void make_progress(BufferClaim& claim, uint64_t bytes) noexcept EXCLUDES(mutex_);
  void forget(BufferClaim& claim) noexcept EXCLUDES(mutex_);
  static void append(List& list, BufferClaim& claim) noexcept;
  static void remove(List& list, BufferClaim& claim) noexcept;

  std::atomic<uint64_t> limit_;
  // Plain sums: relaxed. The limit is that of claims; what is charged is bounded by -c, and does
  // not have others closed.
  std::atomic<uint64_t> claimed_{0};
  std::atomic<uint64_t> charged_{0};
  const std::function<void(uint32_t)> wake_;
  core::Mutex mutex_;
  List waiting_ GUARDED_BY(mutex_);   // the first has made no progress for longest
  std::vector<Condemned> condemned_;  // by worker; the lists under the mutex
};

// One thread, its worker's. Gives back what it holds when it goes.
class BufferClaim {
 public:
  BufferClaim() = default;
  ~BufferClaim() { release(); }
  BufferClaim(const BufferClaim&) = delete;
  BufferClaim& operator=(const BufferClaim&) = delete;

  // Claims `bytes` for a connection, which is closed if this is condemned; it claims nothing yet.
  void take(BufferBudget& budget, uint32_t worker, Connection* connection, uint64_t bytes);
  // The same for so few bytes that -c bounds them all: it is never condemned, and takes no lock.
  void charge(BufferBudget& budget, uint64_t bytes) noexcept;
  // So many bytes have gone: the client makes progress.
  void give_back(uint64_t bytes) noexcept;
  void release() noexcept;

  uint64_t bytes() const noexcept { return bytes_; }

 private:
  friend class BufferBudget;

  BufferBudget* budget_ = nullptr;  // null: it claims nothing
  uint64_t bytes_ = 0;
  Connection* connection_ = nullptr;  // null: charged
  uint32_t worker_ = 0;
  bool condemned_ = false;  // by any worker, under the budget's mutex; its bytes count no more
  bool in_list_ = false;    // likewise
  BufferClaim* previous_ = nullptr;  // likewise
  BufferClaim* next_ = nullptr;      // likewise
};

// The three budgets of a server.
struct ClientBuffers {
  // A stranger's share of the limit, as one in so many.
  static constexpr uint64_t kStrangersShare = 8;
  // Of the cache, as one in so many: pinned items cannot be evicted.
  static constexpr uint64_t kPinnedShare = 4;

  ClientBuffers(uint64_t limit_bytes, uint64_t memory_bytes, size_t workers,
                const std::function<void(uint32_t)>& wake)
      : copies(limit_bytes, workers, wake),
        pinned(memory_bytes / kPinnedShare, workers, wake),
        strangers(limit_bytes / kStrangersShare, workers, wake) {}

  BufferBudget copies;     // replies copied, input put aside, small values that are not all here
  BufferBudget pinned;     // values that stay in the cache until a slow client has taken them
  BufferBudget strangers;  // input of connections that have not shown a password yet
};

}  // namespace larder::daemon
