// A load: threads with connections that exchange what a workload asks for, closed loop or at a
// rate.
//
// Closed loop: each connection sends its next exchange when the last one has been answered. Open
// loop: exchanges are due by a schedule, the next free connection takes one, and latency counts
// from when it was due, also while it waited for a connection: nothing is left out when a server
// stalls.
//
// Phases: connect; warm-up; measured, which is what the result says; then what is still under way
// is waited for and checked. Errors count in all of them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/bench/histogram.h"
#include "tools/bench/schedule.h"
#include "tools/bench/stream.h"
#include "tools/bench/workload.h"

namespace larder::bench {

struct LoadPlan {
  Workload workload;
  Endpoint endpoint;
  int connections = 50;
  int threads = 1;
  double seconds = 10;    // measured
  uint64_t requests = 0;  // above 0: so many operations instead of a time, and no warm-up
  double warmup_seconds = 0;
  double rate = 0;  // operations a second; 0 is closed loop
  Arrivals arrivals = Arrivals::Even;
  bool windows = false;   // a histogram for every second
  std::vector<int> cpus;  // the i-th thread runs on the i-th; beyond, anywhere
  // Called by the first thread when measuring begins and when it ends.
  std::function<void()> on_begin;
  std::function<void()> on_end;
  const std::atomic<bool>* stop = nullptr;  // ends the load early; set by whoever wants that
};

// What the threads say while they run; relaxed, as nothing else is read because of it.
struct Progress {
  std::atomic<uint64_t> operations{0};
  std::atomic<uint64_t> gets{0};
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> errors{0};
};

struct LoadResult {
  struct PerKind {
    uint64_t hits = 0;
    uint64_t misses = 0;
    Histogram latency;
  };
  std::array<PerKind, kKinds> kinds;
  double seconds = 0;
  double client_cpu_seconds = 0;      // of its threads, while measured
  double busiest_thread_seconds = 0;  // of client_cpu_seconds
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  uint64_t exchanges = 0;
  uint64_t next_key = 0;  // where a unique workload goes on
  uint64_t unsent = 0;    // open loop: were due before the end but no connection was free
  uint64_t errors = 0;
  std::vector<std::string> examples;
  // run_together: the longest time from one turn to the next. What was due meanwhile waited for the
  // load, not for the server.
  uint64_t longest_pause_ns = 0;
  std::string failure;  // why it ended early; empty if it did not
  std::vector<Histogram> windows;

  uint64_t operations() const;
  uint64_t misses() const;
  Histogram latency() const;  // of all kinds
};

// Runs it to the end. Throws std::runtime_error where not even all connections could be made.
LoadResult run_load(const LoadPlan& plan, Progress* progress = nullptr);

// Runs loads of one thread each by turns in the calling thread, which never sleeps: where they
// share a core, none has to wait for the scheduler to let it go on. All end when the first has
// ended.
std::vector<LoadResult> run_together(const std::vector<LoadPlan>& plans);

}  // namespace larder::bench
