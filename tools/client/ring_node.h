// A server as a ring sees it.
#pragma once

#include <cstdint>
#include <string>

namespace larder::client {

// What is hashed for a node is its host and port as they are written in the configuration, never
// what they resolve to: "cache-1" and its address are two different nodes of most rings.
struct RingNode {
  // A name or an address, as the other clients of the ring write it, IPv6 without brackets; or
  // "/path" of a Unix socket, whose port is not read.
  std::string host;
  uint16_t port = 0;
  uint32_t weight = 1;  // 1 to kMaxRingWeight
  // Stands for host and port where a ring hashes something else. twemproxy: the name after the
  // weight in `servers:`. spymemcached: "host/address:port", which it makes of a host that it
  // resolved, with brackets around an IPv6 address. Empty for all others.
  std::string name = {};

  bool operator==(const RingNode&) const = default;
};

// Bounds that keep every sum of weights in 32 bits, as libmemcached and twemproxy count them.
constexpr uint32_t kMaxRingNodes = 4096;
constexpr uint32_t kMaxRingWeight = 1'000'000;
static_assert(uint64_t{kMaxRingNodes} * kMaxRingWeight <= UINT32_MAX);

}  // namespace larder::client
