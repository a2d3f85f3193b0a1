// Rings of points: each node stands at many places of a circle of 32 bits, and a key belongs to the
// node whose point its hash meets. How many points there are, what they are hashed from and which
// of two neighbours a key meets is what tells the libraries apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/client/ring_kind.h"

namespace larder::client {

struct RingPoint {
  uint32_t value;
  uint32_t node;  // index
};

// A node as points are made of it.
struct LabelledNode {
  std::string label;  // ring_label.h
  uint32_t weight;
};

// True for the kinds that have points.
bool has_points(RingKind kind) noexcept;

// The points of a ring of `kind`, which must have some, in rising order. Two points of one value
// stand in the order in which the library asks them, so that only one of them is ever met.
// Empty only if OpenSSL refuses SHA-1, which Dalli's points are made of.
std::vector<RingPoint> make_points(RingKind kind, const std::vector<LabelledNode>& nodes);

// The first point from `hash` up, else the first of all. `points` is not empty and in rising order.
const RingPoint& point_from(const std::vector<RingPoint>& points, uint32_t hash) noexcept;
// The last point up to `hash`, else the last of all: Dalli goes the other way.
const RingPoint& point_up_to(const std::vector<RingPoint>& points, uint32_t hash) noexcept;

}  // namespace larder::client
