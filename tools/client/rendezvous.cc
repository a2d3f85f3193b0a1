#include "tools/client/rendezvous.h"

#include <utility>

namespace larder::client {

Rendezvous::Rendezvous(std::vector<std::string> labels) : labels_(std::move(labels)) {
  for (const std::string& label : labels_) {
    Murmur3& begun = begun_.emplace_back();
    begun.add(label);
    begun.add("-");
  }
}

uint32_t Rendezvous::node_of(std::string_view key) const noexcept {
  uint32_t winner = 0;
  uint32_t highest = 0;
  for (uint32_t node = 0; node < begun_.size(); ++node) {
    Murmur3 hash = begun_[node];
    hash.add(key);
    const uint32_t bid = hash.result();
    // Among equals the label that sorts last wins, so that the order of nodes does not matter.
    if (bid > highest || (bid == highest && labels_[node] > labels_[winner])) {
      winner = node;
      highest = bid;
    }
  }
  return winner;
}

}  // namespace larder::client
