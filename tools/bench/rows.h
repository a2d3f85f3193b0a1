// The workloads that servers are compared by.
#pragma once

#include <string>
#include <vector>

#include "tools/bench/workload.h"

namespace larder::bench {

struct Row {
  std::string name;  // stable: what --only and readers of old figures go by
  Workload workload;
  int connections = 50;
  uint64_t memory_mib = 1024;
  // Filled with new keys until the server evicts; else every key of the workload is stored.
  bool evicting = false;

  // Servers that one row has filled serve the other as they are.
  bool same_data(const Row& other) const;
};

std::vector<Row> comparison_rows();

}  // namespace larder::bench
