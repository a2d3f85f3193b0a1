#include "tools/client/past_rings.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>

namespace larder::client {
namespace {

struct Found {
  std::string_view label;
  std::vector<std::pair<uint32_t, uint32_t>> places;  // ring and index, in the order of rings
};

}  // namespace

PastRings::PastRings(std::vector<std::shared_ptr<const Ring>> rings) : rings_(std::move(rings)) {
  assert(rings_.size() <= kMost);
  if (rings_.empty() || rings_[0]->rendezvous() == nullptr) return;
  std::vector<Found> all;
  std::unordered_map<std::string_view, size_t> known;
  for (uint32_t ring = 0; ring < rings_.size(); ++ring) {
    const std::vector<std::string>& labels = rings_[ring]->rendezvous()->labels();
    for (uint32_t i = 0; i < labels.size(); ++i) {
      const size_t at = known.try_emplace(labels[i], all.size()).first->second;
      if (at == all.size()) all.push_back({labels[i], {}});
      all[at].places.emplace_back(ring, i);
    }
  }
  std::sort(all.begin(), all.end(),
            [](const Found& a, const Found& b) { return a.label > b.label; });
  bidders_.reserve(all.size());
  for (const Found& found : all) {
    Bidder& bidder = bidders_.emplace_back();
    bidder.begun.add(found.label);
    bidder.begun.add("-");
    bidder.first_place = places_.size();
    for (const auto& [ring, place] : found.places) {
      bidder.rings |= uint64_t{1} << ring;
      places_.push_back(place);
    }
  }
}

void PastRings::nodes_of(std::string_view key, std::span<uint32_t> nodes) const noexcept {
  assert(nodes.size() == rings_.size());
  if (rings_.empty()) return;
  if (!bidders_.empty()) return bid(key, nodes);
  const uint64_t hash = rings_[0]->hash_of(key);
  for (size_t i = 0; i < rings_.size(); ++i) nodes[i] = rings_[i]->node_at(hash);
}

// Most bids win nowhere: they are below the lowest of the highest bids of all rings.
void PastRings::bid(std::string_view key, std::span<uint32_t> nodes) const noexcept {
  std::array<int64_t, kMost> highest;
  const auto highest_end = highest.begin() + static_cast<ptrdiff_t>(nodes.size());
  std::fill(highest.begin(), highest_end, -1);
  int64_t lowest = -1;
  for (const Bidder& bidder : bidders_) {
    Murmur3 hash = bidder.begun;
    hash.add(key);
    const int64_t bid = hash.result();
    if (bid <= lowest) continue;
    size_t place = bidder.first_place;
    for (uint64_t left = bidder.rings; left != 0; left &= left - 1, ++place) {
      const auto ring = static_cast<size_t>(std::countr_zero(left));
      // Among equals the label that sorts last wins, which has come first.
      if (bid <= highest[ring]) continue;
      highest[ring] = bid;
      nodes[ring] = places_[place];
    }
    lowest = *std::min_element(highest.begin(), highest_end);
  }
}

}  // namespace larder::client
