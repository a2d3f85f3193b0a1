#include "tools/client/ketama.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace larder::client;

namespace {

std::vector<uint32_t> points_per_node(RingKind kind, const std::vector<LabelledNode>& nodes) {
  std::vector<uint32_t> counts(nodes.size());
  for (const RingPoint& point : make_points(kind, nodes)) ++counts[point.node];
  return counts;
}

}  // namespace

TEST_CASE("a hash meets the first point from itself up, and the first of all past the last") {
  const std::vector<RingPoint> points = {{10, 0}, {20, 1}, {20, 2}, {30, 3}};
  CHECK(point_from(points, 0).node == 0);
  CHECK(point_from(points, 10).node == 0);
  CHECK(point_from(points, 11).node == 1);
  CHECK(point_from(points, 20).node == 1);
  CHECK(point_from(points, 30).node == 3);
  CHECK(point_from(points, 31).node == 0);
  CHECK(point_from(points, UINT32_MAX).node == 0);
}

TEST_CASE("Dalli goes down, and from below the first point to the last") {
  const std::vector<RingPoint> points = {{10, 0}, {20, 1}, {30, 2}};
  CHECK(point_up_to(points, 9).node == 2);
  CHECK(point_up_to(points, 10).node == 0);
  CHECK(point_up_to(points, 29).node == 1);
  CHECK(point_up_to(points, UINT32_MAX).node == 2);
}

TEST_CASE("points are in rising order and in proportion to weights") {
  const std::vector<LabelledNode> nodes = {{"a", 1}, {"b", 1}, {"c", 2}};
  for (const RingKindRow& row : ring_kinds()) {
    if (!has_points(row.kind)) continue;
    CAPTURE(std::string(row.name));
    const std::vector<RingPoint> points = make_points(row.kind, nodes);
    CHECK(std::is_sorted(points.begin(), points.end(),
                         [](const RingPoint& a, const RingPoint& b) { return a.value < b.value; }));
    // Of a ring in which the mean is 160, or with 160 for each unit.
    CHECK(points_per_node(row.kind, nodes) == (row.kind == RingKind::Nginx
                                                   ? std::vector<uint32_t>{160, 160, 320}
                                                   : std::vector<uint32_t>{120, 120, 240}));
  }
}

TEST_CASE("without weights libmemcached's plain ketama has 100 points a node, the others 160") {
  const std::vector<LabelledNode> nodes = {{"a", 1}, {"b", 1}};
  for (const RingKindRow& row : ring_kinds()) {
    if (!has_points(row.kind)) continue;
    CAPTURE(std::string(row.name));
    const uint32_t points = row.kind == RingKind::LibmemcachedKetama ? 100 : 160;
    CHECK(points_per_node(row.kind, nodes) == std::vector<uint32_t>{points, points});
  }
}

TEST_CASE("some numbers of equal nodes lose four points each, where shares are rounded") {
  for (const auto& [count, points] :
       {std::pair{99u, 160u}, std::pair{100u, 156u}, std::pair{101u, 160u}}) {
    std::vector<LabelledNode> nodes;
    for (uint32_t i = 0; i < count; ++i) nodes.push_back({"10.0.0." + std::to_string(i), 1});
    INFO(count);
    const std::vector<uint32_t> expected(count, points);
    CHECK(points_per_node(RingKind::LibmemcachedKetamaWeighted, nodes) == expected);
    CHECK(points_per_node(RingKind::TwemproxyKetamaFnv1a64, nodes) == expected);
    // It divides nothing where it has no weights.
    CHECK(points_per_node(RingKind::SpymemcachedKetama, nodes) ==
          std::vector<uint32_t>(count, 160));
  }
}

TEST_CASE("two points of one value are asked in the library's order") {
  // The same label twice makes every point twice. (A ring refuses such nodes.)
  const std::vector<LabelledNode> nodes = {{"a", 1}, {"a", 1}};
  for (const auto& [kind, met] : {std::pair{RingKind::LibmemcachedKetamaWeighted, 0u},
                                  std::pair{RingKind::SpymemcachedKetama, 1u}}) {
    const std::vector<RingPoint> points = make_points(kind, nodes);
    REQUIRE(points.size() == 320);
    for (const RingPoint& point : points) CHECK(point_from(points, point.value).node == met);
  }
}
