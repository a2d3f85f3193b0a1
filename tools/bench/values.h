// The values of keys: pure functions of their numbers, so that every reply can be checked without
// remembering anything, and cheap to write and to compare.
//
//   value(n) = 8 bytes made of n, then the shared pattern from an offset made of n
//
// The pattern is kPeriod printable bytes repeated for ever. kPeriod is a prime: a part of a large
// value that comes in the place of another, which is some power of two away, does not pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/distribution.h"
#include "tools/bench/random.h"

namespace larder::bench {

// Immutable: any thread.
class Values {
 public:
  static constexpr size_t kPeriod = 65521;  // the largest prime below 64 Ki: stays in the L2
  static constexpr size_t kHeadBytes = 8;   // shorter values are of the pattern alone

  explicit Values(const Distribution& bytes);

  uint32_t bytes(uint32_t number) const { return bytes_.at(mix(number)); }
  const Distribution& lengths() const { return bytes_; }
  // The length in decimal, followed by \r\n: what ends the head of a classic set. 16 bytes may be
  // read from its beginning.
  std::string_view length_line(uint32_t number) const {
    const LengthLine& line = lines_[mix(number) & (lines_.size() - 1)];
    return {line.text, line.length};
  }

  // Writes bytes(number) bytes; returns the end.
  char* write(char* out, uint32_t number) const;
  // Are these the bytes of the value from `position` on? position + length <= bytes(number).
  bool matches(uint32_t number, size_t position, const char* data, size_t length) const;
  std::string text(uint32_t number) const;

 private:
  struct LengthLine {
    char text[15];
    uint8_t length;
  };

  Distribution bytes_;
  std::vector<LengthLine> lines_;  // one for each of bytes_.table()
  std::vector<char> pattern_;  // two periods, so that one period from any offset is in one piece
};

}  // namespace larder::bench
