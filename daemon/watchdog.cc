#include "daemon/watchdog.h"

#include <algorithm>
#include <cassert>

namespace larder::daemon {
namespace {

// Three beats of an idle worker: with a shorter timeout the process would be ended for nothing.
constexpr std::chrono::milliseconds kLeastPatience{1500};

constexpr std::chrono::milliseconds kLeastInterval{1};

}  // namespace

Watchdog::Watchdog(std::chrono::microseconds timeout, size_t workers, Clock::time_point now)
    : timeout_(timeout), seen_(workers, Seen{0, now}) {}

std::chrono::microseconds Watchdog::interval() const noexcept {
  return std::max<std::chrono::microseconds>(timeout_ / 4, kLeastInterval);
}

bool Watchdog::all_alive(std::span<const uint64_t> beats, Clock::time_point now) {
  assert(beats.size() == seen_.size());
  const auto patience = std::max<Clock::duration>(timeout_ / 2, kLeastPatience);
  bool all = true;
  for (size_t i = 0; i < beats.size(); ++i) {
    if (beats[i] != seen_[i].beats) seen_[i] = {beats[i], now};
    if (now - seen_[i].since > patience) all = false;
  }
  return all;
}

}  // namespace larder::daemon
