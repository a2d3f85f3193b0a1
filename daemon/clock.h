// Clock: coarse seconds for the cache, the same for all workers.
//
// Runs on CLOCK_MONOTONIC, so a jump of the wall clock expires nothing; its seconds change together
// with the wall clock's as they stood at the start, so that absolute exptimes are met to the
// second. Any thread; a worker samples it once per turn.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/units.h"

namespace larder::daemon {

class Clock {
 public:
  using Nanoseconds = int64_t (*)();  // since some fixed moment; never goes back

  Clock();  // the machine's clocks
  // For tests: what to use for the monotonic clock and for unix time, both in nanoseconds.
  Clock(Nanoseconds monotonic, Nanoseconds unix_time);

  // Counts on from where another clock stood, plus what the wall's has gone on since: for a cache
  // that outlasts its server. Before any other thread asks.
  //
  // then       what the other showed
  // unix_time  at that moment
  void continue_from(core::Seconds then, int64_t unix_time) noexcept;

  // Seconds since the start plus core::kFirstSecond; never goes back.
  core::Seconds sample() const noexcept;

  // The unix time at which the cache's second 0 lies; constant but for continue_from.
  int64_t unix_time_of_zero() const noexcept { return unix_time_of_zero_; }

  // debugtime: stand still, run again (what was missed is caught up), move ahead. Time moved while
  // standing still is shown at once.
  void freeze() noexcept;
  void run() noexcept;
  void advance(core::Seconds seconds) noexcept;

 private:
  int64_t running_seconds() const noexcept;

  static constexpr int64_t kRunning = -1;

  Nanoseconds monotonic_;
  int64_t zero_nanoseconds_;  // what monotonic_ shows at second 0
  int64_t unix_time_of_zero_;
  // Nothing else is published through these: relaxed everywhere.
  std::atomic<int64_t> moved_{0};          // seconds added by advance()
  std::atomic<int64_t> frozen_{kRunning};  // the second shown while standing still, less moved_
};

}  // namespace larder::daemon
