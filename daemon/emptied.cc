#include "daemon/emptied.h"

#include <algorithm>
#include <ctime>

namespace larder::daemon {

using std::chrono::milliseconds;

milliseconds Emptied::now() noexcept {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return milliseconds(int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000);
}

void Emptied::note(milliseconds when) noexcept {
  int64_t known = at_.load(std::memory_order_relaxed);
  while (known < when.count() &&
         !at_.compare_exchange_weak(known, when.count(), std::memory_order_relaxed)) {
  }
}

std::optional<milliseconds> Emptied::ago() const noexcept {
  const int64_t at = at_.load(std::memory_order_relaxed);
  if (at == kNever) return std::nullopt;
  // Rounded up: `at` was cut to a millisecond, and so is now().
  return std::max(now() - milliseconds(at), milliseconds(0)) + milliseconds(1);
}

}  // namespace larder::daemon
