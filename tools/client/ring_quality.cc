#include "tools/client/ring_quality.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <numeric>
#include <tuple>
#include <vector>

namespace larder::client {
namespace {

using Identity = std::tuple<std::string, uint16_t, std::string>;

Identity identity(const RingNode& node) { return {node.host, node.port, node.name}; }

double sum_of_weights(const Ring& ring) {
  double sum = 0;
  for (const RingNode& node : ring.nodes()) sum += node.weight;
  return sum;
}

std::map<Identity, uint32_t> indexes_of(const Ring& ring) {
  std::map<Identity, uint32_t> indexes;
  for (uint32_t i = 0; i < ring.nodes().size(); ++i) indexes[identity(ring.nodes()[i])] = i;
  return indexes;
}

}  // namespace

std::string measured_key(uint32_t number) { return "user:" + std::to_string(number); }

std::vector<uint32_t> loads_of(const Ring& ring, uint32_t keys) {
  std::vector<uint32_t> loads(ring.nodes().size());
  for (uint32_t i = 0; i < keys; ++i) ++loads[ring.node_of(measured_key(i))];
  return loads;
}

double max_over_mean_load(const Ring& ring, uint32_t keys) {
  assert(keys > 0);
  return max_over_mean_load(ring, loads_of(ring, keys));
}

double max_over_mean_load(const Ring& ring, const std::vector<uint32_t>& loads) {
  const double keys = std::accumulate(loads.begin(), loads.end(), 0.0);
  const double total = sum_of_weights(ring);
  double worst = 0;
  for (size_t node = 0; node < loads.size(); ++node) {
    worst = std::max(worst, loads[node] / (keys * (ring.nodes()[node].weight / total)));
  }
  return worst;
}

double share_of_keys_moved(const Ring& before, const Ring& after, uint32_t keys) {
  assert(keys > 0);
  // Where each node of `after` stands in `before`; past its end if it is new.
  const std::map<Identity, uint32_t> old_indexes = indexes_of(before);
  std::vector<uint32_t> old_index;
  for (const RingNode& node : after.nodes()) {
    const auto found = old_indexes.find(identity(node));
    old_index.push_back(found == old_indexes.end() ? UINT32_MAX : found->second);
  }
  uint32_t moved = 0;
  for (uint32_t i = 0; i < keys; ++i) {
    const std::string key = measured_key(i);
    if (old_index[after.node_of(key)] != before.node_of(key)) ++moved;
  }
  return static_cast<double>(moved) / keys;
}

double least_share_moved(const Ring& before, const Ring& after) {
  std::map<Identity, double> gains;
  for (const RingNode& node : after.nodes()) {
    gains[identity(node)] += node.weight / sum_of_weights(after);
  }
  for (const RingNode& node : before.nodes()) {
    gains[identity(node)] -= node.weight / sum_of_weights(before);
  }
  double moved = 0;  // what some gain others lose
  for (const auto& [node, gain] : gains) moved += std::max(gain, 0.0);
  return moved;
}

}  // namespace larder::client
