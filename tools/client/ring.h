// Which server a key lives on: a ring of one of the deployed kinds over a list of nodes.
//
//   RingResult made = Ring::make(RingKind::Dalli, {{"10.0.0.1", 11211}, {"10.0.0.2", 11211}});
//   if (!made.ring) return fail(made.error);
//   const uint32_t server = made.ring->node_of("user:42");
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/client/ketama.h"
#include "tools/client/rendezvous.h"
#include "tools/client/ring_kind.h"
#include "tools/client/ring_node.h"

namespace larder::client {

struct RingResult;

// Immutable once made: any thread may ask. Another list of nodes is another ring.
class Ring {
 public:
  // nodes   in the order of the configuration; it decides for gomemcache, jump and modula, which
  //         know a server by its place alone
  //
  // Refused with a sentence: no node or more than kMaxRingNodes, an empty host without a name, a
  // port of 0 without a name (but for Unix sockets, "/..."), a weight outside of 1 to
  // kMaxRingWeight or one that is of no use (ring_kind.h), an address that the ring's library
  // cannot have (ring_label.h), and two nodes that the ring could not tell apart.
  [[nodiscard]] static RingResult make(RingKind kind, std::vector<RingNode> nodes);

  // An index into nodes(). A binary search over points, or for rendezvous a hash for each node.
  uint32_t node_of(std::string_view key) const noexcept;

  // In two steps, but for rendezvous: rings of one kind share the first.
  uint64_t hash_of(std::string_view key) const noexcept;
  uint32_t node_at(uint64_t hash) const noexcept;
  // Null for the other kinds.
  const Rendezvous* rendezvous() const noexcept { return rendezvous_ ? &*rendezvous_ : nullptr; }

  RingKind kind() const noexcept { return kind_; }
  const std::vector<RingNode>& nodes() const noexcept { return nodes_; }

 private:
  Ring(RingKind kind, std::vector<RingNode> nodes) : kind_(kind), nodes_(std::move(nodes)) {}

  RingKind kind_;
  std::vector<RingNode> nodes_;
  // What the kind needs of these; the other is empty.
  std::vector<RingPoint> points_;
  std::optional<Rendezvous> rendezvous_;
};

// Either a ring or why there is none.
struct RingResult {
  std::optional<Ring> ring;
  std::string error;
};

}  // namespace larder::client
