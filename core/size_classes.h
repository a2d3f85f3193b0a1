// The sizes of chunks: 4-byte steps while 4 bytes are more than the factor, then geometric, and
// from a 128th of a page widened so that a page divides evenly. Items end at a quarter of a page;
// what is larger is cut into parts: quarters, halves and whole pages, the rest with the key.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/page_pool.h"
#include "core/units.h"

namespace larder::core {

class SizeClasses {
 public:
  static constexpr uint32_t kMaxItemBytes = kPageBytes / 4;   // larger values are cut into parts
  static constexpr uint32_t kMaxChunkBytes = kPageBytes / 2;  // of a part
  static constexpr uint32_t kCount = 144;                     // room for any factor from 1.03 up

  // factor        between one class and the next, 1.03 or more
  // min_bytes     the smallest chunk; rounded up to 4
  SizeClasses(double factor, uint32_t min_bytes) {
    uint32_t bytes = std::clamp<uint32_t>((min_bytes + 3) / 4 * 4, kMinBytes, kMaxItemBytes / 2);
    while (bytes < kMaxItemBytes && count_ + kPartClasses + 1 < kCount) {
      push(bytes);
      uint32_t next = static_cast<uint32_t>(static_cast<double>(bytes) * factor) / 4 * 4;
      next = std::max(next, bytes + 4);
      if (next > kEvenFromBytes) {
        // The largest size of which as many fit in a page.
        const uint32_t fit = static_cast<uint32_t>(kPageBytes) / next;
        next = std::max(next, static_cast<uint32_t>(kPageBytes) / fit / 4 * 4);
      }
      bytes = next;
    }
    for (uint32_t part = kMaxItemBytes; part <= kMaxChunkBytes; part *= 2) push(part);
    for (uint32_t units = 0, c = 0; units < index_.size(); ++units) {
      while (units * 4 > chunk_bytes_[c]) ++c;
      index_[units] = static_cast<uint8_t>(c);
    }
  }

  uint32_t count() const noexcept { return count_; }
  // The first so many are for items (and parts), the others for parts alone.
  uint32_t item_count() const noexcept { return count_ - kPartClasses; }
  uint32_t chunk_bytes(uint32_t c) const noexcept { return chunk_bytes_[c]; }
  uint32_t chunks_per_page(uint32_t c) const noexcept {
    return static_cast<uint32_t>(kPageBytes) / chunk_bytes_[c];
  }
  // The smallest class with room for `bytes`, 1 .. kMaxChunkBytes.
  uint32_t class_for(uint32_t bytes) const noexcept { return index_[(bytes + 3) / 4]; }

 private:
  static constexpr uint32_t kMinBytes = 16;
  static constexpr uint32_t kEvenFromBytes = kPageBytes / 128;
  static constexpr uint32_t kPartClasses = 1;  // of parts alone

  void push(uint32_t bytes) noexcept { chunk_bytes_[count_++] = bytes; }

  std::array<uint32_t, kCount> chunk_bytes_{};
  std::array<uint8_t, kMaxChunkBytes / 4 + 1> index_{};
  uint32_t count_ = 0;
};

}  // namespace larder::core
