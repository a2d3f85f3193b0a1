// Decimal numbers in values, as incr and decr read and write them.
#pragma once

#include <cstdint>
#include <string_view>

namespace larder::core {

// Reads a number as memcached does with strtoull: blanks and a sign may lead; after the digits the
// value ends, or a blank or NUL follows, and what comes after that is ignored. False for anything
// else, for a negative number and for one beyond 64 bits.
inline bool parse_number(std::string_view value, uint64_t& number) noexcept {
  const auto is_blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  size_t at = 0;
  while (at < value.size() && is_blank(value[at])) ++at;
  bool negative = false;
  if (at < value.size() && (value[at] == '-' || value[at] == '+')) negative = value[at++] == '-';
  const size_t digits_from = at;
  uint64_t n = 0;
  for (; at < value.size() && value[at] >= '0' && value[at] <= '9'; ++at) {
    if (__builtin_mul_overflow(n, uint64_t{10}, &n) ||
        __builtin_add_overflow(n, static_cast<uint64_t>(value[at] - '0'), &n)) {
      return false;
    }
  }
  if (at == digits_from) return false;
  if (at < value.size() && !is_blank(value[at]) && value[at] != '\0') return false;
  if (negative) {
    n = 0 - n;
    if (static_cast<int64_t>(n) < 0) return false;
  }
  number = n;
  return true;
}

// Writes a number's digits; returns how many, at most 20.
inline uint32_t write_decimal(uint64_t number, char* out) noexcept {
  char reversed[20];
  uint32_t n = 0;
  do {
    reversed[n++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  for (uint32_t i = 0; i < n; ++i) out[i] = reversed[n - 1 - i];
  return n;
}

}  // namespace larder::core
