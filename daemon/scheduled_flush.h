// ScheduledFlush: a flush_all with a delay.
//
// Any worker whose clock has reached the time flushes before it does anything else, and waits for
// nobody: several may flush, the cache obeys the first for each shard (Cache::flush_once). The
// flush stays pending until one of them has been through all shards. So a client that
// reads after the time reads nothing older, and a worker that the system stops in the middle of the
// flush takes nothing that was stored meanwhile.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/units.h"

namespace larder::core {
class Cache;
}

namespace larder::daemon {

class ScheduledFlush {
 public:
  // The cache outlives it.
  explicit ScheduledFlush(core::Cache& cache) : cache_(cache) {}

  // In the place of what was pending: that takes nothing stored after this call.
  void schedule(core::Seconds when) { replace(when); }
  void cancel() { replace(kNone); }
  // 0: none is pending.
  core::Seconds when() const noexcept { return time_of(pending_.load(std::memory_order_relaxed)); }

  // What is to be flushed at `now`, for run(); 0 if nothing is.
  uint64_t due(core::Seconds now) const noexcept {
    // Acquire: who no longer finds it pending finds the shards flushed.
    const uint64_t pending = pending_.load(std::memory_order_acquire);
    const core::Seconds when = time_of(pending);
    if (when == kNone || now < when) [[likely]]
      return 0;
    return pending;
  }
  void run(uint64_t due, core::Seconds now);

 private:
  static constexpr core::Seconds kNone = 0;

  static core::Seconds time_of(uint64_t pending) noexcept {
    return static_cast<core::Seconds>(pending);
  }
  static uint32_t number_of(uint64_t pending) noexcept {
    return static_cast<uint32_t>(pending >> 32);
  }
  void replace(core::Seconds when);

  core::Cache& cache_;
  std::atomic<uint64_t> pending_{0};  // number of the flush 32 | time 32
};

}  // namespace larder::daemon
