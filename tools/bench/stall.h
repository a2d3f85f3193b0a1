// What clients of a server notice while one of its workers is held up in the middle of a request.
#pragma once

#include <cstddef>
#include <string>

namespace larder::bench {

struct StallOptions {
  std::string server;   // its command, with {port}, of two threads and a cache that fills
  std::string library;  // preloaded: tests/preload/stalling_send.cc
  int connections = 4;  // that store, on the other worker
  size_t value_bytes = 1000;
  int rounds = 5;
  int milliseconds = 1500;  // of each run, with the stall and without
  int server_cpu = 0;       // below 0: any
};

// Measures single gets and pipelined sets on one worker, in turn without and with the other held
// up, `rounds` times; prints the p99.9 of gets, the rate of sets until one has to wait for memory,
// when that was, how many were refused and when the first, and what `stats larder` says after it.
// Throws std::runtime_error.
void measure_stall(const StallOptions& options);

}  // namespace larder::bench
