// KeyMarks: a set of keys of which none is ever taken out, in 16 MiB however many there are.
//
// A Bloom filter: has() says yes for every key that was marked, and for a few others: 1 in 200 with
// 10 million keys, a third with 40 million. One thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace larder::operate {

class KeyMarks {
 public:
  KeyMarks() : words_(std::make_unique<uint64_t[]>(kBits / 64)) {}  // throws std::bad_alloc

  // hash  of the key, 64 bits
  void mark(uint64_t hash) noexcept {
    for (const size_t bit : bits_of(hash)) words_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
  bool has(uint64_t hash) const noexcept {
    for (const size_t bit : bits_of(hash)) {
      if ((words_[bit / 64] >> (bit % 64) & 1) == 0) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kBits = size_t{1} << 27;
  static constexpr size_t kProbes = 4;

  // Kirsch and Mitzenmacher: two hashes do for any number of probes.
  static std::array<size_t, kProbes> bits_of(uint64_t hash) noexcept {
    std::array<size_t, kProbes> bits;
    const uint64_t step = hash >> 32 | 1;
    for (size_t i = 0; i < kProbes; ++i) bits[i] = (hash + i * step) % kBits;
    return bits;
  }

  std::unique_ptr<uint64_t[]> words_;
};

}  // namespace larder::operate
