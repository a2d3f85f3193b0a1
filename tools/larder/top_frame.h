// `larder top`: what is on the screen, made of two samples of what nodes count.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/larder/report.h"
#include "tools/larder/stats.h"

namespace larder::operate {

// What a node said at one time.
struct NodeSample {
  std::string node;
  std::string error;  // a sentence; empty: it answered
  std::chrono::steady_clock::time_point when;
  Stats stats;
  Stats latency;  // of larderd's `stats latency`; empty: it has none
};

// Microseconds in the server, since its start.
struct CommandLatency {
  std::string command;  // "get", "set", "other" ...
  uint64_t count = 0;   // that were timed
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double p999 = 0;
};

// Rates are per second, and null where they cannot be told: before the second sample, or where a
// counter has gone back since the first.
struct NodeFigures {
  std::string node;
  std::string error;
  std::optional<double> gets;
  std::optional<double> sets;
  std::optional<double> hits;  // 0 to 1, of the gets between the samples
  std::optional<double> evictions;
  std::optional<double> bytes_in;
  std::optional<double> bytes_out;
  uint64_t memory_bytes = 0;
  uint64_t memory_limit_bytes = 0;
  uint64_t items = 0;
  uint64_t connections = 0;
  std::vector<CommandLatency> latencies;  // those with any count
};

// before  of the same node, earlier; may be one that did not answer
NodeFigures figures_of(const NodeSample& before, const NodeSample& now);

// Of all that answered.
NodeFigures sum_of(const std::vector<NodeFigures>& nodes);

struct FrameSize {
  size_t columns = 80;
  size_t rows = 24;
};

// At most `rows` lines of at most `columns` characters (80 are needed for all to be seen). What
// does not fit is counted in a last line.
//
// remark  at the right of the first line
std::vector<std::string> frame_lines(const std::vector<NodeFigures>& nodes,
                                     const std::string& remark, FrameSize size);

// [{"node", "gets_per_second", ...}]; what cannot be told is null.
Json frame_json(const std::vector<NodeFigures>& nodes);

}  // namespace larder::operate
