// Watchdog: tells whether every worker still makes passes, from the beats that they count.
//
// One thread. An idle worker beats twice a second (its tick), a busy one at least as often.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace larder::daemon {

class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;

  // timeout   of who restarts the process if nothing is heard for so long
  Watchdog(std::chrono::microseconds timeout, size_t workers, Clock::time_point now);

  // How often to look and, if all are alive, to say so: several times in a timeout, so that a
  // worker that only was slow is not what ends the process.
  std::chrono::microseconds interval() const noexcept;

  // beats   of each worker, in the same order every time
  bool all_alive(std::span<const uint64_t> beats, Clock::time_point now);

 private:
  struct Seen {
    uint64_t beats = 0;
    Clock::time_point since;  // seen first then
  };

  const std::chrono::microseconds timeout_;
  std::vector<Seen> seen_;
};

}  // namespace larder::daemon
