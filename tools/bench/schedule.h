// When the exchanges of an open loop are due.
#pragma once

#include <cmath>
#include <cstdint>

#include "tools/bench/random.h"

namespace larder::bench {

enum class Arrivals : uint8_t { Even, Poisson };

// One thread.
class Schedule {
 public:
  // begin_ns      when the first is due at the earliest
  // interval_ns   from one to the next, on average
  // phase         0 to 1: how far into the first interval an even schedule begins, so that threads
  //               take turns
  Schedule(Arrivals arrivals, uint64_t begin_ns, double interval_ns, double phase, uint64_t seed)
      : arrivals_(arrivals), random_(seed), interval_ns_(interval_ns), begin_ns_(begin_ns) {
    if (arrivals == Arrivals::Even) {
      first_ns_ = offset_ns_ = phase * interval_ns;
    } else {
      offset_ns_ = gap();
    }
  }

  uint64_t due_ns() const { return begin_ns_ + static_cast<uint64_t>(offset_ns_); }
  void advance() {
    ++taken_;
    // Multiplied, not added up: an even schedule must not drift.
    offset_ns_ = arrivals_ == Arrivals::Even
                     ? first_ns_ + static_cast<double>(taken_) * interval_ns_
                     : offset_ns_ + gap();
  }

 private:
  double gap() { return -std::log(random_.unit()) * interval_ns_; }

  Arrivals arrivals_;
  Random random_;
  double interval_ns_;
  uint64_t begin_ns_;
  double offset_ns_ = 0;
  double first_ns_ = 0;
  uint64_t taken_ = 0;
};

}  // namespace larder::bench
