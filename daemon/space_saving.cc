#include "daemon/space_saving.h"

#include <algorithm>

namespace larder::daemon {
namespace {

double things(uint64_t parts, uint64_t one) {
  return static_cast<double>(parts) / static_cast<double>(one);
}

}  // namespace

SpaceSaving::SpaceSaving(uint32_t capacity) : capacity_(capacity) {
  counts_.reserve(capacity);
  errors_.reserve(capacity);
  hashes_.reserve(capacity);
  slots_.reserve(capacity);
}

SpaceSaving::Place SpaceSaving::count(uint64_t hash) {
  if (const auto found = slots_.find(hash); found != slots_.end()) {
    total_ += kOne;
    counts_[found->second] += kOne;
    return {found->second, false};
  }
  if (size() < capacity_) {
    const uint32_t slot = size();
    slots_.emplace(hash, slot);  // allocates; the others have their memory
    total_ += kOne;
    counts_.push_back(kOne);
    errors_.push_back(0);
    hashes_.push_back(hash);
    return {slot, true};
  }
  total_ += kOne;
  const uint32_t slot = take_least();
  auto node = slots_.extract(hashes_[slot]);  // and not a new one: no allocation
  node.key() = hash;
  slots_.insert(std::move(node));
  errors_[slot] = counts_[slot];
  counts_[slot] += kOne;
  hashes_[slot] = hash;
  return {slot, true};
}

// Counts only grow until the next halve(): one look around for each value that the least one has.
uint32_t SpaceSaving::take_least() {
  for (; cursor_ < size(); ++cursor_) {
    if (counts_[cursor_] <= least_) return cursor_++;
  }
  const auto least = std::min_element(counts_.begin(), counts_.end());
  least_ = *least;
  const auto slot = static_cast<uint32_t>(least - counts_.begin());
  cursor_ = slot + 1;
  return slot;
}

// The count rounds up and what is certain down, so that the bounds go on to hold.
void SpaceSaving::halve() {
  for (uint32_t slot = 0; slot < size(); ++slot) {
    const uint64_t certain = (counts_[slot] - errors_[slot]) / 2;
    counts_[slot] = (counts_[slot] + 1) / 2;
    errors_[slot] = counts_[slot] - certain;
  }
  total_ /= 2;
  least_ = 0;
  cursor_ = size();
}

void SpaceSaving::clear() {
  counts_.clear();
  errors_.clear();
  hashes_.clear();
  slots_.clear();
  total_ = 0;
  least_ = 0;
  cursor_ = 0;
}

double SpaceSaving::count_of(uint32_t slot) const noexcept { return things(counts_[slot], kOne); }
double SpaceSaving::error_of(uint32_t slot) const noexcept { return things(errors_[slot], kOne); }
double SpaceSaving::total() const noexcept { return things(total_, kOne); }

}  // namespace larder::daemon
