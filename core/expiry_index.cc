#include "core/expiry_index.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/reserve_for_one.h"

namespace larder::core {

Seconds ExpiryIndex::minimum(size_t level, size_t node) const noexcept {
  const std::vector<Seconds>& below = levels_[level - 1];
  Seconds least = kLater;
  const size_t end = std::min(below.size(), (node + 1) * kFanOut);
  for (size_t i = node * kFanOut; i < end; ++i) least = std::min(least, below[i]);
  return least;
}

uint32_t ExpiryIndex::find_due(Seconds now) const noexcept {
  if (earliest() > now) return kNone;
  size_t node = 0;
  for (size_t level = levels_.size() - 1; level > 0; --level) {
    node *= kFanOut;
    while (levels_[level - 1][node] > now) ++node;
  }
  return static_cast<uint32_t>(node);
}

void ExpiryIndex::prepare() {
  size_t needed = levels_.front().size() + 1;
  for (std::vector<Seconds>& level : levels_) {
    if (level.size() < needed) reserve_for_one(level);
    if (&level != &levels_.back()) needed = (needed + kFanOut - 1) / kFanOut;
  }
  if (needed <= 1 || spare_.capacity() > 0) return;
  reserve_for_one(levels_);  // a new root
  spare_.reserve(kFanOut);
}

void ExpiryIndex::add() {
  levels_.front().push_back(kLater);
  for (size_t level = 1; levels_[level - 1].size() > 1; ++level) {
    if (level == levels_.size()) {
      const Seconds least = minimum(level, 0);
      levels_.push_back(std::move(spare_));
      spare_ = {};
      levels_.back().push_back(least);
    }
    const size_t needed = (levels_[level - 1].size() + kFanOut - 1) / kFanOut;
    if (levels_[level].size() < needed) levels_[level].push_back(kLater);
  }
}

void ExpiryIndex::remove(uint32_t page) noexcept {
  const uint32_t last = size() - 1;
  const Seconds of_last = of(last);
  set(last, kLater);
  levels_.front().pop_back();
  for (size_t level = 1; level < levels_.size(); ++level) {
    const size_t needed = (levels_[level - 1].size() + kFanOut - 1) / kFanOut;
    if (levels_[level].size() > needed) levels_[level].pop_back();
  }
  while (levels_.size() > 1 && levels_[levels_.size() - 2].size() <= 1) levels_.pop_back();
  if (page != last) set(page, of_last);
}

void ExpiryIndex::lower(uint32_t page, Seconds expiry) noexcept {
  size_t node = page;
  for (std::vector<Seconds>& level : levels_) {
    if (level[node] <= expiry) return;
    level[node] = expiry;
    node /= kFanOut;
  }
}

void ExpiryIndex::set(uint32_t page, Seconds expiry) noexcept {
  levels_.front()[page] = expiry;
  size_t node = page;
  for (size_t level = 1; level < levels_.size(); ++level) {
    node /= kFanOut;
    const Seconds least = minimum(level, node);
    if (levels_[level][node] == least) return;
    levels_[level][node] = least;
  }
}

void ExpiryIndex::check_invariants() const {
  const auto require = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "expiry index invariant broken: %s\n", what);
    std::abort();
  };
  require(levels_.back().size() <= 1, "more than one root");
  for (size_t level = 1; level < levels_.size(); ++level) {
    require(levels_[level].size() == (levels_[level - 1].size() + kFanOut - 1) / kFanOut,
            "a level has not the size of the one below");
    for (size_t node = 0; node < levels_[level].size(); ++node) {
      require(levels_[level][node] == minimum(level, node), "a node is not the least below it");
    }
  }
}

}  // namespace larder::core
