// Numbers as decimal text, without a branch per digit.
#pragma once

#include <cstdint>
#include <cstring>

namespace larder::bench {

// `n`, below 100,000,000, as eight bytes from 0 to 9, the first digit in the lowest byte: all
// digits are split off at once, by multiplying with rounded-up inverses of 100 and 10 in wide
// enough lanes.
constexpr uint64_t eight_digits(uint32_t n) {
  const uint64_t fours = n / 10000 | static_cast<uint64_t>(n % 10000) << 32;
  const uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007f0000007f;
  const uint64_t twos = hundreds | (fours - hundreds * 100) << 16;
  const uint64_t tens = (twos * 103 >> 10) & 0x000f000f000f000f;
  return tens | (twos - tens * 10) << 8;
}
static_assert(eight_digits(12345678) == 0x0807060504030201);
static_assert(eight_digits(99999999) == 0x0909090909090909);

// Ten digits with leading zeros.
inline void write_ten_digits(char* out, uint32_t n) {
  const uint32_t high = n / 100'000'000;
  out[0] = static_cast<char>('0' + high / 10);
  out[1] = static_cast<char>('0' + high % 10);
  const uint64_t low = eight_digits(n - high * 100'000'000) | 0x3030303030303030;
  std::memcpy(out + 2, &low, 8);  // little-endian: the first digit comes first
}

// As many digits as needed; the end.
inline char* write_decimal(char* out, uint64_t n) {
  char reversed[20];
  int length = 0;
  do {
    reversed[length++] = static_cast<char>('0' + n % 10);
    n /= 10;
  } while (n != 0);
  while (length > 0) *out++ = reversed[--length];
  return out;
}

}  // namespace larder::bench
