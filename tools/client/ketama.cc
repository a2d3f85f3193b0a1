#include "tools/client/ketama.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "tools/client/key_hash.h"
#include "tools/client/md5.h"

namespace larder::client {
namespace {

constexpr uint32_t kPoints = 160;            // of a node of mean weight
constexpr uint32_t kUnweightedPoints = 100;  // of any node of libmemcached's unweighted ring
constexpr uint32_t kPointsPerMd5 = 4;

uint32_t sum_of_weights(const std::vector<LabelledNode>& nodes) {
  uint32_t sum = 0;
  for (const LabelledNode& node : nodes) sum += node.weight;
  return sum;
}

std::string numbered(const std::string& label, char separator, uint32_t number) {
  return label + separator + std::to_string(number);
}

// libmemcached, twemproxy and spymemcached agree on this, down to where it rounds: in single
// precision, but for the addition. So some numbers of equal nodes, 100 among them, have 39 digests
// each and not 40.
uint32_t md5_digests_of(uint32_t weight, uint32_t total, size_t nodes) {
  const float share = static_cast<float>(weight) / static_cast<float>(total);
  const float digests = share * kPoints / kPointsPerMd5 * static_cast<float>(nodes);
  return static_cast<uint32_t>(std::floor(static_cast<float>(digests + 0.0000000001)));
}

// "label-0", "label-1", ...: four points from each MD5. `digests_of` says how many a node has.
template <typename DigestsOf>
std::vector<RingPoint> md5_points(const std::vector<LabelledNode>& nodes, DigestsOf digests_of) {
  std::vector<RingPoint> points;
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    const uint32_t digests = digests_of(nodes[node]);
    for (uint32_t i = 0; i < digests; ++i) {
      for (const uint32_t word : md5(numbered(nodes[node].label, '-', i))) {
        points.push_back({word, node});
      }
    }
  }
  return points;
}

std::vector<RingPoint> weighted_md5_points(const std::vector<LabelledNode>& nodes) {
  const uint32_t total = sum_of_weights(nodes);
  return md5_points(nodes, [&](const LabelledNode& node) {
    return md5_digests_of(node.weight, total, nodes.size());
  });
}

bool all_weigh_one(const std::vector<LabelledNode>& nodes) {
  return std::all_of(nodes.begin(), nodes.end(),
                     [](const LabelledNode& node) { return node.weight == 1; });
}

// spymemcached divides only where it was given weights.
std::vector<RingPoint> spymemcached_points(const std::vector<LabelledNode>& nodes) {
  if (!all_weigh_one(nodes)) return weighted_md5_points(nodes);
  return md5_points(nodes, [](const LabelledNode&) { return kPoints / kPointsPerMd5; });
}

std::vector<RingPoint> one_at_a_time_points(const std::vector<LabelledNode>& nodes) {
  std::vector<RingPoint> points;
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    for (uint32_t i = 0; i < kUnweightedPoints; ++i) {
      points.push_back({one_at_a_time(numbered(nodes[node].label, '-', i)), node});
    }
  }
  return points;
}

// libmemcached makes a ring weighted as soon as it is told a weight above 1; keys keep their hash.
std::vector<RingPoint> libmemcached_points(const std::vector<LabelledNode>& nodes) {
  return all_weigh_one(nodes) ? one_at_a_time_points(nodes) : weighted_md5_points(nodes);
}

// "label:0", "label:1", ...: the first four bytes of SHA-1, big-endian.
std::vector<RingPoint> sha1_points(const std::vector<LabelledNode>& nodes) {
  std::vector<RingPoint> points;
  const double total = sum_of_weights(nodes);
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    const uint64_t shares = uint64_t{nodes.size()} * kPoints * nodes[node].weight;
    const auto count = static_cast<uint32_t>(std::floor(static_cast<double>(shares) / total));
    for (uint32_t i = 0; i < count; ++i) {
      const std::string text = numbered(nodes[node].label, ':', i);
      unsigned char digest[EVP_MAX_MD_SIZE];
      if (EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha1(), nullptr) != 1) {
        return {};
      }
      points.push_back({static_cast<uint32_t>(digest[0]) << 24 |
                            static_cast<uint32_t>(digest[1]) << 16 |
                            static_cast<uint32_t>(digest[2]) << 8 | digest[3],
                        node});
    }
  }
  return points;
}

// From each point the next: CRC-32 of the label and the four bytes of the point before it, the
// lowest first; before the first stand four zeros.
std::vector<RingPoint> crc32_points(const std::vector<LabelledNode>& nodes) {
  std::vector<RingPoint> points;
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    std::string text = nodes[node].label + std::string(sizeof(uint32_t), '\0');
    char* const before = text.data() + nodes[node].label.size();
    const uint64_t count = uint64_t{nodes[node].weight} * kPoints;
    for (uint64_t i = 0; i < count; ++i) {
      const uint32_t value = crc32_of(text);
      points.push_back({value, node});
      for (size_t byte = 0; byte < sizeof value; ++byte) {
        before[byte] = static_cast<char>(value >> (8 * byte));
      }
    }
  }
  return points;
}

std::vector<RingPoint> unsorted_points(RingKind kind, const std::vector<LabelledNode>& nodes) {
  switch (kind) {
    case RingKind::LibmemcachedKetamaWeighted:
    case RingKind::TwemproxyKetamaFnv1a64:
      return weighted_md5_points(nodes);
    case RingKind::SpymemcachedKetama:
      return spymemcached_points(nodes);
    case RingKind::LibmemcachedKetama:
      return libmemcached_points(nodes);
    case RingKind::Dalli:
      return sha1_points(nodes);
    case RingKind::Nginx:
      return crc32_points(nodes);
    default:
      assert(false);
      return {};
  }
}

bool lower(const RingPoint& a, const RingPoint& b) { return a.value < b.value; }

}  // namespace

bool has_points(RingKind kind) noexcept {
  switch (kind) {
    case RingKind::LibmemcachedKetamaWeighted:
    case RingKind::LibmemcachedKetama:
    case RingKind::SpymemcachedKetama:
    case RingKind::TwemproxyKetamaFnv1a64:
    case RingKind::Dalli:
    case RingKind::Nginx:
      return true;
    case RingKind::LibmemcachedModula:
    case RingKind::PymemcacheRendezvous:
    case RingKind::Gomemcache:
    case RingKind::JumpXxh3:
      return false;
  }
  return false;
}

std::vector<RingPoint> make_points(RingKind kind, const std::vector<LabelledNode>& nodes) {
  std::vector<RingPoint> points = unsorted_points(kind, nodes);
  // spymemcached holds its points in a map: of two alike the later one stays.
  if (kind == RingKind::SpymemcachedKetama) std::reverse(points.begin(), points.end());
  std::stable_sort(points.begin(), points.end(), lower);
  return points;
}

const RingPoint& point_from(const std::vector<RingPoint>& points, uint32_t hash) noexcept {
  const auto found = std::lower_bound(points.begin(), points.end(), RingPoint{hash, 0}, lower);
  return found == points.end() ? points.front() : *found;
}

const RingPoint& point_up_to(const std::vector<RingPoint>& points, uint32_t hash) noexcept {
  const auto above = std::upper_bound(points.begin(), points.end(), RingPoint{hash, 0}, lower);
  return above == points.begin() ? points.back() : *(above - 1);
}

}  // namespace larder::client
