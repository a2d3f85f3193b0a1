// What clients feel while a server's table grows from empty.
//
// A filler stores new keys at a steady rate; meanwhile probes, on connections of their own, get and
// set a few other keys at a rate of theirs. Then the filler overwrites what is there, at the same
// rate, and the probes go on: what they feel now is what growth is compared with. Latencies are
// those of the probes, from when each was due.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/bench/histogram.h"

namespace larder::bench {

struct GrowthPlan {
  std::string command;  // with {port}, maybe {memory}
  uint64_t items = 10'000'000;
  double rate = 500'000;  // of the filler, keys a second
  double probe_rate = 5'000;
  int probe_connections = 10;
  uint32_t value_bytes = 100;
  uint64_t memory_mib = 4096;
  int rounds = 5;
  int server_cpu = 0;
  int client_cpu = 1;
  const std::atomic<bool>* stop = nullptr;
};

struct GrowthRound {
  struct Phase {
    double seconds = 0;
    double keys_per_second = 0;  // of the filler
    double p50_us = 0, p999_us = 0;
    double worst_second_us = 0;   // the highest p99.9 of a single second
    double longest_pause_us = 0;  // of the load: what it was kept from by the machine
    std::vector<double> p999_us_by_second;
  };
  Phase growth;
  Phase steady;

  double ratio() const { return growth.p999_us / steady.p999_us; }
};

// A fresh server, filled once. Throws std::runtime_error with a sentence, also for wrong replies.
GrowthRound measure_growth(const GrowthPlan& plan);

std::string text_of(const GrowthRound& round);
std::string json_of(const GrowthPlan& plan, const std::vector<GrowthRound>& rounds);
double median_ratio(const std::vector<GrowthRound>& rounds);

}  // namespace larder::bench
