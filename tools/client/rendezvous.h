// Rendezvous hashing (Thaler and Ravishankar, 1998), as pymemcache does it: every node bids for the
// key with a hash of both, and the highest bid wins.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/client/key_hash.h"

namespace larder::client {

// Immutable: any thread.
class Rendezvous {
 public:
  // labels  "host:port" of each node, at least one
  explicit Rendezvous(std::vector<std::string> labels);

  // The index of the key's node; a step for each node.
  uint32_t node_of(std::string_view key) const noexcept;

  const std::vector<std::string>& labels() const noexcept { return labels_; }

 private:
  std::vector<std::string> labels_;
  std::vector<Murmur3> begun_;  // for each node the hash of "label-", which every bid begins with
};

}  // namespace larder::client
