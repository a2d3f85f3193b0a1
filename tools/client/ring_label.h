// What a ring hashes for a node, before it appends the number of the point.
#pragma once

#include <string>

#include "tools/client/ring_kind.h"
#include "tools/client/ring_node.h"

namespace larder::client {

// "host:port"; for libmemcached and twemproxy only "host" where the port is 11211; for nginx with a
// zero byte instead of the colon. The name of a node that has one stands for both.
std::string ring_label(RingKind kind, const RingNode& node);

}  // namespace larder::client
