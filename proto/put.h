// Put: small things written into memory that was reserved for them. Each call returns where it
// stopped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace larder::proto {

namespace put_detail {
inline constexpr auto kTwoDigits = [] {
  std::array<char, 200> digits{};
  for (size_t i = 0; i < 100; ++i) {
    digits[2 * i] = static_cast<char>('0' + i / 10);
    digits[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return digits;
}();

inline size_t decimal_digits(uint64_t value) noexcept {
  size_t digits = 1;
  while (value >= 10000) {
    value /= 10000;
    digits += 4;
  }
  return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}
}  // namespace put_detail

// Decimal, no padding; at most kDigits64 characters.
inline char* put_number(char* out, uint64_t value) noexcept {
  if (value < 10) {  // client flags, mostly
    *out = static_cast<char>('0' + value);
    return out + 1;
  }
  char* const end = out + put_detail::decimal_digits(value);
  char* p = end;
  while (value >= 100) {
    p -= 2;
    std::memcpy(p, &put_detail::kTwoDigits[2 * (value % 100)], 2);
    value /= 100;
  }
  if (value >= 10) {
    std::memcpy(p - 2, &put_detail::kTwoDigits[2 * value], 2);
  } else {
    p[-1] = static_cast<char>('0' + value);
  }
  return end;
}

// A constant: the size is known, so this becomes one or two stores.
template <size_t kBytes>
inline char* put(char* out, const char (&text)[kBytes]) noexcept {
  std::memcpy(out, text, kBytes - 1);
  return out + kBytes - 1;
}

inline char* put(char* out, char c) noexcept {
  *out = c;
  return out + 1;
}

// Something short of any length, such as a key: without the call that memcpy would be.
inline char* put_short(char* out, std::string_view bytes) noexcept {
  const char* const in = bytes.data();
  const size_t size = bytes.size();
  if (size >= 16) {
    size_t done = 0;
    do {
      std::memcpy(out + done, in + done, 16);
      done += 16;
    } while (done + 16 <= size);
    std::memcpy(out + size - 16, in + size - 16, 16);
  } else if (size >= 8) {
    std::memcpy(out, in, 8);
    std::memcpy(out + size - 8, in + size - 8, 8);
  } else if (size >= 4) {
    std::memcpy(out, in, 4);
    std::memcpy(out + size - 4, in + size - 4, 4);
  } else if (size > 0) {
    out[0] = in[0];
    out[size / 2] = in[size / 2];
    out[size - 1] = in[size - 1];
  }
  return out + size;
}

}  // namespace larder::proto
