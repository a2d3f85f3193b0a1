// The texts of keys: a word, zeros, and the key's number in decimal, in a length that the number
// decides. Numbers up to 2^32 - 1.
//
//   key-0000000000004711     20 bytes, number 4711
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tools/bench/digits.h"
#include "tools/bench/distribution.h"
#include "tools/bench/random.h"

namespace larder::bench {

// Immutable: any thread.
class Keys {
 public:
  static constexpr size_t kMaxBytes = 250;   // the protocol's limit
  static constexpr size_t kRoomBytes = 256;  // what write() may touch

  // word    four letters, so that spaces of keys do not meet
  // bytes   their lengths; raised where the numbers below `count` would not fit
  // Throws std::invalid_argument if they are too long, or fixed and too short.
  Keys(std::string_view word, const Distribution& bytes, uint64_t count)
      : bytes_(bytes.clamped(least_bytes(count), kMaxBytes)) {
    if (bytes.max() > kMaxBytes || (bytes.fixed() && bytes.max() < least_bytes(count))) {
      throw std::invalid_argument("--key-bytes: keys of " + std::to_string(bytes.max()) +
                                  " bytes cannot be " + std::to_string(count) +
                                  " different ones of at most 250");
    }
    std::memset(zeros_, '0', sizeof zeros_);
    std::memcpy(zeros_, word.data(), std::min<size_t>(word.size(), 4));
  }

  // Writes the key at `out`, where kRoomBytes are free; returns its length.
  size_t write(char* out, uint32_t number) const {
    const size_t length = bytes(number);
    if (length >= 11) [[likely]] {
      std::memcpy(out, zeros_, 32);
      if (length > 32) std::memcpy(out + 32, zeros_ + 32, length - 32);
      write_ten_digits(out + length - 10, number);
      return length;
    }
    char digits[10];
    write_ten_digits(digits, number);
    out[0] = zeros_[0];
    std::memcpy(out + 1, digits + (11 - length), length - 1);
    return length;
  }
  size_t bytes(uint32_t number) const {
    return bytes_.fixed() ? bytes_.min() : bytes_.at(mix(number + 0x5bd1e995ULL));
  }
  const Distribution& lengths() const { return bytes_; }
  std::string text(uint32_t number) const {
    char key[kRoomBytes];
    return {key, write(key, number)};
  }

 private:
  // A letter and the digits of the largest number.
  static uint32_t least_bytes(uint64_t count) {
    char digits[20];
    const char* end = write_decimal(digits, count == 0 ? 0 : count - 1);
    return static_cast<uint32_t>(end - digits) + 1;
  }

  Distribution bytes_;
  char zeros_[kRoomBytes];
};

}  // namespace larder::bench
