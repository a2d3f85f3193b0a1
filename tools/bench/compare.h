// Compares servers by what a key costs them: server CPU, from the kernel's own count.
//
// All servers run at once, each pinned to the same core while the load runs on another, hold the
// same keys, and are measured in turn, A B A B ..., so that what changes on the machine meets all
// of them. The figure of a row is the ratio of medians; its spread is that of the pairs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/bench/load.h"
#include "tools/bench/rows.h"
#include "tools/bench/server.h"

namespace larder::bench {

struct ComparePlan {
  std::vector<std::string> commands;  // the first is A; with {port}, maybe {memory}
  int rounds = 5;
  double seconds = 1;  // of one run
  double warmup_seconds = 0.1;
  int threads = 1;
  int server_cpu = 0;         // below 0: any
  int client_cpu = 1;         // of the first thread; the others run anywhere
  std::vector<double> rates;  // operations a second; empty: closed loop
  const std::atomic<bool>* stop = nullptr;
};

// What one run on one server has shown.
struct Cost {
  double cpu_ns = 0;  // of the server, per key
  double keys_per_second = 0;
  double p50_us = 0, p99_us = 0, p999_us = 0;
  double server_busy = 0;    // of one core; above 1 with several threads
  double client_busy = 0;    // the busiest thread of the load
  double client_cpu_ns = 0;  // of the load, per key
  double hit_ratio = 1;      // of gets
  uint64_t unsent = 0;
  uint64_t errors = 0;
};

// A row as measured: runs[server][round].
struct Comparison {
  std::string name;
  double rate = 0;
  std::vector<std::vector<Cost>> runs;

  // Of one server, the median of a figure.
  double median_of(size_t server, double Cost::*figure) const;
  // How many times A's cost per key another server has; of medians, and of each pair of runs.
  double ratio(size_t server) const;
  std::vector<double> pair_ratios(size_t server) const;  // in rising order
  // The load was busy all the time and a server was not: its figure is right, its keys/s are not.
  bool client_was_limit() const;
  bool keeps_up(size_t server) const;  // with the rate, within 2 %
  bool failed() const;
};

// One thread.
class Comparer {
 public:
  explicit Comparer(const ComparePlan& plan);
  ~Comparer();

  // Starts and fills the servers where the row needs others than the last one; then measures.
  // Throws std::runtime_error with a sentence.
  Comparison measure(const Row& row, double rate);

 private:
  struct Subject;
  class Running;

  void prepare(const Row& row);
  Cost run(Subject& subject, const Row& row, double rate);

  const ComparePlan& plan_;
  std::vector<std::unique_ptr<Subject>> subjects_;
  std::unique_ptr<Row> filled_;  // what they hold
};

// Stores the row's data in a server and makes sure that it is there.
// first_key   of an evicting row: where its keys begin; moved on
void fill_server(const Server& server, const Row& row, uint64_t& first_key);

}  // namespace larder::bench
