#include "tools/client/ring.h"

#include <algorithm>
#include <cassert>
#include <unordered_set>
#include <utility>

#include "tools/client/jump.h"
#include "tools/client/key_hash.h"
#include "tools/client/ring_label.h"

namespace larder::client {
namespace {

std::string quoted(std::string text) {
  if (text.ends_with('\0')) text.pop_back();          // ring_label() of nginx: a Unix socket
  std::replace(text.begin(), text.end(), '\0', ':');  // and all others
  return "'" + text + "'";
}

// nginx' ring has 160 points for each unit of weight: these take 80 MiB.
constexpr uint64_t kNginxMostWeight = 65536;

uint64_t sum_of_weights(const std::vector<RingNode>& nodes) {
  uint64_t sum = 0;
  for (const RingNode& node : nodes) sum += node.weight;
  return sum;
}

// A sentence, or empty if nothing is wrong with the node itself.
std::string fault_of(RingKind kind, const RingNode& node, const std::string& label) {
  if (node.name.empty() && node.host.empty()) return "a node of the ring has no host";
  if (node.name.empty() && node.port == 0 && !is_unix_socket(node))
    return "node " + quoted(node.host) + " has no port";
  if (node.weight == 0 || node.weight > kMaxRingWeight) {
    return "node " + quoted(label) + " has the weight " + std::to_string(node.weight) +
           ", which is not from 1 to " + std::to_string(kMaxRingWeight);
  }
  if (node.weight != 1 && row_of(kind).weights == RingWeights::Refused) {
    return "node " + quoted(label) + " has a weight, but " + std::string(name_of(kind)) +
           " knows none";
  }
  if (const std::string fault = address_fault(kind, node); !fault.empty()) {
    return "node " + quoted(label) + " cannot be in the ring " + std::string(name_of(kind)) + ": " +
           fault;
  }
  return {};
}

}  // namespace

RingResult Ring::make(RingKind kind, std::vector<RingNode> nodes) {
  if (nodes.empty()) return {std::nullopt, "a ring needs at least one node"};
  if (nodes.size() > kMaxRingNodes) {
    return {std::nullopt, "a ring takes at most " + std::to_string(kMaxRingNodes) + " nodes, not " +
                              std::to_string(nodes.size())};
  }
  std::vector<std::string> labels;
  std::unordered_set<std::string> seen;
  for (const RingNode& node : nodes) {
    labels.push_back(ring_label(kind, node));
    std::string fault = fault_of(kind, node, labels.back());
    if (!fault.empty()) return {std::nullopt, std::move(fault)};
    if (!seen.insert(labels.back()).second) {
      return {std::nullopt, "node " + quoted(labels.back()) + " stands twice in the ring"};
    }
  }

  if (kind == RingKind::Nginx && sum_of_weights(nodes) > kNginxMostWeight) {
    return {std::nullopt, "the weights of a ring of nginx add up to at most " +
                              std::to_string(kNginxMostWeight) +
                              " here: each unit is 160 points of it"};
  }
  Ring ring(kind, std::move(nodes));
  if (has_points(kind)) {
    std::vector<LabelledNode> labelled;
    for (size_t i = 0; i < labels.size(); ++i) {
      labelled.push_back({std::move(labels[i]), ring.nodes_[i].weight});
    }
    ring.points_ = make_points(kind, labelled);
    if (ring.points_.empty()) {
      return {std::nullopt, "OpenSSL refuses SHA-1, which the points of " +
                                std::string(name_of(kind)) + " are made of"};
    }
  } else if (kind == RingKind::PymemcacheRendezvous) {
    ring.rendezvous_.emplace(std::move(labels));
  }
  return {std::move(ring), {}};
}

uint32_t Ring::node_of(std::string_view key) const noexcept {
  return rendezvous_ ? rendezvous_->node_of(key) : node_at(hash_of(key));
}

uint64_t Ring::hash_of(std::string_view key) const noexcept {
  switch (kind_) {
    case RingKind::LibmemcachedKetamaWeighted:
    case RingKind::SpymemcachedKetama:
      return md5_word(key);
    case RingKind::LibmemcachedKetama:
    case RingKind::LibmemcachedModula:
      return one_at_a_time(key);
    case RingKind::TwemproxyKetamaFnv1a64:
      return fnv1a_64_in_32(key);
    case RingKind::Nginx:
    case RingKind::Dalli:
    case RingKind::Gomemcache:
      return crc32_of(key);
    case RingKind::JumpXxh3:
      return xxh3(key);
    case RingKind::PymemcacheRendezvous:
      break;
  }
  assert(false);
  return 0;
}

uint32_t Ring::node_at(uint64_t hash) const noexcept {
  const auto nodes = static_cast<uint32_t>(nodes_.size());
  const auto word = static_cast<uint32_t>(hash);
  switch (kind_) {
    case RingKind::LibmemcachedKetamaWeighted:
    case RingKind::LibmemcachedKetama:
    case RingKind::SpymemcachedKetama:
    case RingKind::TwemproxyKetamaFnv1a64:
    case RingKind::Nginx:
      return point_from(points_, word).node;
    case RingKind::Dalli:
      return point_up_to(points_, word).node;
    case RingKind::LibmemcachedModula:
    case RingKind::Gomemcache:
      return word % nodes;
    case RingKind::JumpXxh3:
      return jump_bucket(hash, nodes);
    case RingKind::PymemcacheRendezvous:
      break;
  }
  assert(false);
  return 0;
}

}  // namespace larder::client
