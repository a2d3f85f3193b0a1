// How well a ring spreads keys, and how many it moves when its nodes change: counted over keys, so
// that any ring can be measured and the same question has the same answer everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/client/ring.h"

namespace larder::client {

// The key of that number: "user:0", "user:1", ...
std::string measured_key(uint32_t number);

// How many of measured_key(0) up to measured_key(keys - 1) each node has, in the ring's order.
std::vector<uint32_t> loads_of(const Ring& ring, uint32_t keys);

// The load of the node that is worst off over what its weight would give it: 1 is perfect, 1.2
// means that a node holds a fifth more than its share. Chance alone adds about sqrt(2 ln(nodes) *
// nodes / keys) to it, where all weights are alike.
//
// keys  how many are counted, at least 1: measured_key(0) up to measured_key(keys - 1)
double max_over_mean_load(const Ring& ring, uint32_t keys);
// The same of keys that were counted: loads_of() the ring, their sum above 0.
double max_over_mean_load(const Ring& ring, const std::vector<uint32_t>& loads);

// Of measured_key(0) up to measured_key(keys - 1), the share that has another node afterwards, 0
// to 1. Nodes are the same if their host, port and name are.
double share_of_keys_moved(const Ring& before, const Ring& after, uint32_t keys);

// The least that can move for loads to follow the weights on both sides, 0 to 1: what nodes lose or
// gain of their shares. `before` and `after` as above.
double least_share_moved(const Ring& before, const Ring& after);

}  // namespace larder::client
