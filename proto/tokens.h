// Tokens: a line cut at its blanks, and the numbers in it, with the acceptance rules of the text
// protocol, which differ by the place a number stands in. No allocation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "proto/limits.h"

namespace larder::proto {

// A line without its newline.
struct Line {
  char* begin;
  char* end;
};

// The tokens of one line, in order, at most kMaxTokens: the rest of a longer line belongs to none.
// Views into the line. Left uninitialised beyond count(), since it is made for every line.
class Tokens {
 public:
  explicit Tokens(Line line) noexcept;

  size_t count() const noexcept { return count_; }
  std::string_view operator[](size_t i) const noexcept { return {begin_[i], bytes_[i]}; }
  const char* begin_of(size_t i) const noexcept { return begin_[i]; }
  // Whether the last token is `noreply`; the verb itself counts.
  bool ends_with_noreply() const noexcept;

 private:
  uint32_t count_ = 0;
  uint32_t bytes_[kMaxTokens];
  const char* begin_[kMaxTokens];
};

// The first blank or newline in [begin, end), or end. One pass for both, eight bytes at a time.
inline const char* find_blank_or_newline(const char* begin, const char* end) noexcept {
  constexpr uint64_t kOnes = 0x0101010101010101u;
  constexpr uint64_t kHighs = 0x8080808080808080u;
  if constexpr (std::endian::native == std::endian::little) {
    for (; end - begin >= 8; begin += 8) {
      uint64_t word;
      std::memcpy(&word, begin, 8);
      const uint64_t blanks = word ^ (kOnes * ' ');
      const uint64_t newlines = word ^ (kOnes * '\n');
      // Zero bytes show as high bits; a borrow may spoil only bits above the first true one.
      const uint64_t hits =
          (((blanks - kOnes) & ~blanks) | ((newlines - kOnes) & ~newlines)) & kHighs;
      if (hits != 0) return begin + (std::countr_zero(hits) >> 3);
    }
  }
  while (begin != end && *begin != ' ' && *begin != '\n') ++begin;
  return begin;
}

// -- Strict numbers: all of the token must be digits, with a `-` before them where signed. A lone
// `-` and an empty token read as 0. False, and `out` untouched, on anything else, on overflow, and
// on tokens longer than kMaxNumber32Bytes or kMaxNumber64Bytes.
[[nodiscard]] bool read_u32(std::string_view token, uint32_t& out) noexcept;
[[nodiscard]] bool read_i32(std::string_view token, int32_t& out) noexcept;
[[nodiscard]] bool read_u64(std::string_view token, uint64_t& out) noexcept;

// -- Lax numbers, only for flags and exptime of the classic storage commands. What strtoul and
// strtol make of [begin, end), `end` being that of the line: white space (also blanks, so that an
// odd token can be skipped), a sign, digits, then white space, NUL or the end. False if there is no
// digit or 64 bits do not hold it; more than 32 bits are cut off.
[[nodiscard]] bool read_lax_flags(const char* begin, const char* end, uint32_t& out) noexcept;
[[nodiscard]] bool read_lax_exptime(const char* begin, const char* end, int32_t& out) noexcept;

}  // namespace larder::proto
