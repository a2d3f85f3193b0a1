// `larder ring`: how evenly a ring spreads keys, and how many would move if its nodes changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/client/ring.h"

namespace larder::operate {

struct NodeReport {
  client::RingNode node;
  double share_by_weight;  // of all keys, 0 to 1: what its weight would give it
  double share;            // what it has
};

struct RingReport {
  client::RingKind kind;
  uint32_t keys;  // counted
  std::vector<NodeReport> nodes;
  double max_over_mean;  // ring_quality.h
  std::string change;    // "if a:1 joined"
  double moved;          // of all keys, 0 to 1: those with another node after the change
  double least_moved;    // the least that can move for loads to follow the weights
};

// before  the ring that is reported on
// after   the same kind with other nodes, and `change` says in words what makes the difference
// keys    at least 1
RingReport report_of(const client::Ring& before, const client::Ring& after, std::string change,
                     uint32_t keys);

// A table of at most 80 columns.
std::string report_text(const RingReport& report);
// {"ring", "keys", "nodes": [{"node", "weight", "share_by_weight", "share"}], "max_over_mean",
// "change": {"text", "moved", "least_moved"}}, shares from 0 to 1.
std::string report_json(const RingReport& report);

// `larder ring --list`: the name of every ring, and below it who else uses it and what it makes of
// weights; at most 80 columns.
std::string list_text();
// [{"ring", "users", "weights"}]
std::string list_json();

}  // namespace larder::operate
