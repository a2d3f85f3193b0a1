// Waits until a server has caught up with the work that it was given, judged by its CPU time.
//
// A server may go on working after its last reply: memcached's LRU maintainer moves items between
// its queues for some time after a fill. What it has left would be charged to the next row.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

#include "tools/bench/server.h"

namespace larder::bench {

constexpr double kSettleWindowSeconds = 0.2;
// Above what an idle server needs for its clock and its timers, and far below upkeep.
constexpr double kSettledCpuShare = 0.01;
// One second together: memcached's LRU maintainer never sleeps for longer between its passes.
constexpr size_t kSettledWindows = 5;
constexpr double kSettleLimitSeconds = 30;

struct CpuSample {
  double at_seconds;   // on a steady clock
  double cpu_seconds;  // of all threads of the server since it started
};

enum class Settling {
  Busy,     // take another sample
  Settled,  // each of the last kSettledWindows windows used less than kSettledCpuShare of a core
  Never,    // it was busy until kSettleLimitSeconds after the first sample
};

// Judges samples, in the order in which they were taken; two neighbours bound a window. Any thread.
Settling settling_of(std::span<const CpuSample> samples);

// Samples a running server that has no requests until it is settled.
//
// stop  may be null; when it becomes true the wait ends
//
// Returns false where the server was busy until the limit, or where `stop` ended the wait. Blocks
// for 1 to 30 seconds. Throws std::filesystem::filesystem_error when the server's process is gone.
bool wait_until_settled(const Server& server, const std::atomic<bool>* stop);

}  // namespace larder::bench
