// MemoryAhead: the thread that has the kernel find memory before the cache needs it.
//
// The first touch of a huge page waits until the kernel has found and cleared 2 MiB, which takes
// some hundred microseconds, in a virtual machine even milliseconds, and it used to happen under a
// shard's lock. This thread sleeps until a worker sees that little is ready, and is nice: on a busy
// core it gives way to the workers, and if it comes too late they do it themselves.
#pragma once

#include <atomic>
#include <thread>

#include "core/cache.h"

namespace larder::daemon {

class MemoryAhead {
 public:
  explicit MemoryAhead(core::Cache& cache) : cache_(cache) {}
  ~MemoryAhead() { stop(); }
  MemoryAhead(const MemoryAhead&) = delete;
  MemoryAhead& operator=(const MemoryAhead&) = delete;

  void start();
  void stop();

  // Any thread, as often as it likes: a few loads unless there is something to do.
  void look() noexcept {
    if (cache_.wants_memory_ahead() && state_.load(std::memory_order_relaxed) == kAsleep)
        [[unlikely]] {
      wake(kAwake);
    }
  }

 private:
  static constexpr int kAsleep = 0;
  static constexpr int kAwake = 1;
  static constexpr int kStopping = 2;

  void run();
  void wake(int state) noexcept;

  core::Cache& cache_;
  std::atomic<int> state_{kAsleep};
  std::thread thread_;
};

}  // namespace larder::daemon
