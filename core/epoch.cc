#include "core/epoch.h"

#include <algorithm>

namespace larder::core {

Epoch::Epoch(size_t readers) : readers_(new Reader[readers]), count_(readers) {}

Epoch::Stamp Epoch::horizon() const noexcept {
  // now_ first: a reader that enters after this load has seen at least this value.
  Stamp oldest = now_.load(std::memory_order_seq_cst);
  for (size_t i = 0; i < count_; ++i) {
    oldest = std::min(oldest, readers_[i].seen.load(std::memory_order_seq_cst));
  }
  return oldest;
}

}  // namespace larder::core
