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

Epoch::Stamp Epoch::Horizon::look() noexcept {
  if (!may_have_moved()) return known_;
  ++scans_;
  known_ = epoch_.now_.load(std::memory_order_seq_cst);  // first, as in horizon()
  holder_ = nullptr;
  for (size_t i = 0; i < epoch_.count_; ++i) {
    const Reader& reader = epoch_.readers_[i];
    const Stamp seen = reader.seen.load(std::memory_order_seq_cst);
    if (seen < known_) {
      known_ = seen;
      holder_ = &reader;
    }
  }
  return known_;
}

}  // namespace larder::core
