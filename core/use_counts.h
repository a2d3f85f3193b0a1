// UseCounts: how often the items of each group were used or stored (Eviction: size classes, then
// rings of large items). Each worker counts for itself with plain loads and stores; any thread may
// add up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/atomic.h"
#include "core/units.h"

namespace larder::core {

class UseCounts {
 public:
  static constexpr uint32_t kMostGroups = 256;

  explicit UseCounts(uint32_t workers) : counts_(workers) {}

  void add(uint32_t worker, uint32_t group, uint64_t uses = 1) noexcept {
    counts_[worker].of[group].add(uses);
  }
  // One of `count`, each in its turn.
  size_t draw(uint32_t worker, size_t count) noexcept { return counts_[worker].drawn++ % count; }
  uint64_t total(uint32_t group) const noexcept {
    uint64_t sum = 0;
    for (const Counts& counts : counts_) sum += counts.of[group].get();
    return sum;
  }

 private:
  struct alignas(kCacheLineBytes) Counts {
    std::array<Counter, kMostGroups> of{};
    uint32_t drawn = 0;
  };
  std::vector<Counts> counts_;
};

}  // namespace larder::core
