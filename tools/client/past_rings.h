// PastRings: rings of one kind, asked together where a key lives on each.
//
// A client that remembers 64 lists asks all of them for each key that it writes. They have most of
// their nodes in common, so what these need is computed once: the hash of the key, and with
// rendezvous the bid of each node.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tools/client/key_hash.h"
#include "tools/client/ring.h"

namespace larder::client {

// Immutable once made: any thread.
class PastRings {
 public:
  static constexpr size_t kMost = 64;

  PastRings() = default;
  // rings  up to kMost, of one kind
  explicit PastRings(std::vector<std::shared_ptr<const Ring>> rings);

  // nodes  as long as the rings; nodes[i] becomes what node_of(key) of the i-th ring is
  void nodes_of(std::string_view key, std::span<uint32_t> nodes) const noexcept;

  const std::vector<std::shared_ptr<const Ring>>& rings() const noexcept { return rings_; }

 private:
  // A node of rendezvous, in all rings that have it.
  struct Bidder {
    Murmur3 begun;           // the hash of "label-"
    uint64_t rings = 0;      // a bit for each
    size_t first_place = 0;  // in places_: its index in each of these rings, in their order
  };
  void bid(std::string_view key, std::span<uint32_t> nodes) const noexcept;

  std::vector<std::shared_ptr<const Ring>> rings_;
  std::vector<Bidder> bidders_;  // the label that sorts last is the first; empty: other kinds
  std::vector<uint32_t> places_;
};

}  // namespace larder::client
