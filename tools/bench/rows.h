// The workloads that servers are compared by.
#pragma once

#include <string>
#include <vector>

#include "tools/bench/workload.h"

namespace larder::bench {

// From so many items on, a server's memory is far larger than the caches and the TLB of a core, and
// huge pages weigh most.
constexpr uint64_t kManyItems = 10'000'000;

struct Row {
  std::string name;  // stable: what --only and readers of old figures go by
  Workload workload;
  int connections = 50;
  uint64_t memory_mib = 1024;
  // Filled with new keys until the server evicts; else every key of the workload is stored.
  bool evicting = false;

  // Servers that one row has filled serve the other as they are.
  bool same_data(const Row& other) const;
  bool many_items() const { return workload.keys >= kManyItems; }
};

std::vector<Row> comparison_rows();

// How many operations warm a server up before it is measured, after it has been stopped and others
// have run on its core: five times its keys, so that uniform draws leave 0.7 % of them untouched;
// at most 200,000, which replace a last-level cache of 64 MiB at about five lines of 64 bytes each;
// at most 256 MiB of values, which do so too; at least one exchange.
uint64_t warmup_operations(const Workload& workload);

}  // namespace larder::bench
