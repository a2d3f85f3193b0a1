#include "daemon/scheduled_flush.h"

#include "core/cache.h"

namespace larder::daemon {

void ScheduledFlush::run(uint64_t due, core::Seconds now) {
  cache_.flush_once(number_of(due), now);
  // Another may have been faster, or has scheduled the next one.
  pending_.compare_exchange_strong(due, due & ~uint64_t{UINT32_MAX}, std::memory_order_release,
                                   std::memory_order_relaxed);
}

void ScheduledFlush::replace(core::Seconds when) {
  uint64_t pending = pending_.load(std::memory_order_relaxed);
  uint64_t next;
  do {
    // A worker may have found it due and not begun.
    cache_.forgo_flush(number_of(pending));
    next = uint64_t{number_of(pending) + 1} << 32 | when;
  } while (!pending_.compare_exchange_weak(pending, next, std::memory_order_release,
                                           std::memory_order_relaxed));
}

}  // namespace larder::daemon
