#include "daemon/clock.h"

#include <algorithm>
#include <ctime>

namespace larder::daemon {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

int64_t read_clock(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return t.tv_sec * kNanosecondsPerSecond + t.tv_nsec;
}

// The coarse clock is some milliseconds late and costs no read of the hardware; seconds are all we
// ask of it.
int64_t monotonic_now() { return read_clock(CLOCK_MONOTONIC_COARSE); }
int64_t unix_now() { return read_clock(CLOCK_REALTIME); }

}  // namespace

Clock::Clock() : Clock(monotonic_now, unix_now) {}

Clock::Clock(Nanoseconds monotonic, Nanoseconds unix_time) : monotonic_(monotonic) {
  const int64_t now = unix_time();
  zero_nanoseconds_ = monotonic_() - now % kNanosecondsPerSecond -
                      int64_t{core::kFirstSecond} * kNanosecondsPerSecond;
  unix_time_of_zero_ = now / kNanosecondsPerSecond - int64_t{core::kFirstSecond};
}

void Clock::continue_from(core::Seconds then, int64_t unix_time) noexcept {
  // A wall that was set back says nothing of how long it was; one set ahead must not wrap.
  constexpr int64_t kMostSeconds = INT32_MAX;
  const int64_t started = unix_time_of_zero_ + core::kFirstSecond;
  const int64_t between = std::clamp<int64_t>(started - unix_time, 0, kMostSeconds);
  const int64_t ahead = then + between - int64_t{core::kFirstSecond};
  zero_nanoseconds_ -= ahead * kNanosecondsPerSecond;
  unix_time_of_zero_ -= ahead;
}

int64_t Clock::running_seconds() const noexcept {
  return (monotonic_() - zero_nanoseconds_) / kNanosecondsPerSecond;
}

core::Seconds Clock::sample() const noexcept {
  const int64_t frozen = frozen_.load(std::memory_order_relaxed);
  const int64_t seconds = frozen == kRunning ? running_seconds() : frozen;
  return static_cast<core::Seconds>(seconds + moved_.load(std::memory_order_relaxed));
}

void Clock::freeze() noexcept {
  int64_t running = kRunning;
  frozen_.compare_exchange_strong(running, running_seconds(), std::memory_order_relaxed);
}

void Clock::run() noexcept { frozen_.store(kRunning, std::memory_order_relaxed); }

void Clock::advance(core::Seconds seconds) noexcept {
  moved_.fetch_add(seconds, std::memory_order_relaxed);
}

}  // namespace larder::daemon
