#include "proto/tokens.h"

#include <limits>

namespace larder::proto {
namespace {

constexpr bool is_digit(char c) noexcept { return static_cast<unsigned char>(c - '0') < 10; }

// As isspace in the C locale.
constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct LaxNumber {
  bool ok = false;
  bool negative = false;
  uint64_t magnitude = 0;
};

LaxNumber read_lax(const char* begin, const char* end) noexcept {
  LaxNumber number;
  const char* p = begin;
  while (p != end && is_space(*p)) ++p;
  if (p != end && (*p == '-' || *p == '+')) number.negative = *p++ == '-';
  const char* const digits = p;
  for (; p != end && is_digit(*p); ++p) {
    const uint64_t digit = static_cast<uint64_t>(*p - '0');
    if (__builtin_mul_overflow(number.magnitude, 10u, &number.magnitude) ||
        __builtin_add_overflow(number.magnitude, digit, &number.magnitude)) {
      return number;
    }
  }
  number.ok = p != digits && (p == end || is_space(*p) || *p == '\0');
  return number;
}

// What clients send: a few digits and a blank. False if it is anything else, which may still be a
// number.
bool read_plain(const char* begin, const char* end, uint32_t& out) noexcept {
  constexpr size_t kFewDigits = 9;  // 32 bits hold any of them
  if (static_cast<size_t>(end - begin) > kFewDigits) end = begin + kFewDigits;
  uint32_t sum = 0;
  const char* p = begin;
  for (; p != end && is_digit(*p); ++p) sum = sum * 10 + static_cast<uint32_t>(*p - '0');
  if (p == begin || p == end || *p != ' ') return false;
  out = sum;
  return true;
}

// Digits and nothing else, and no more than `most`.
bool read_digits(std::string_view digits, uint64_t most, uint64_t& out) noexcept {
  uint64_t sum = 0;
  for (const char c : digits) {
    if (!is_digit(c)) return false;
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (sum > (most - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  out = sum;
  return true;
}

}  // namespace

Tokens::Tokens(Line line) noexcept {
  const char* p = line.begin;
  while (true) {
    while (p != line.end && *p == ' ') ++p;
    if (p == line.end || count_ == kMaxTokens) return;
    const char* const begin = p;
    // A line holds no newline, so this stops at blanks only.
    p = find_blank_or_newline(p, line.end);
    begin_[count_] = begin;
    bytes_[count_++] = static_cast<uint32_t>(p - begin);
  }
}

bool Tokens::ends_with_noreply() const noexcept {
  return count_ > 0 && (*this)[count_ - 1] == "noreply";
}

bool read_u32(std::string_view token, uint32_t& out) noexcept {
  if (token.size() > kMaxNumber32Bytes) return false;
  uint64_t sum = 0;
  for (const char c : token) {
    if (!is_digit(c)) return false;
    sum = sum * 10 + static_cast<uint64_t>(c - '0');  // 11 digits fit 64 bits
  }
  if (sum > std::numeric_limits<uint32_t>::max()) return false;
  out = static_cast<uint32_t>(sum);
  return true;
}

bool read_i32(std::string_view token, int32_t& out) noexcept {
  if (token.size() > kMaxNumber32Bytes) return false;
  const bool negative = !token.empty() && token[0] == '-';
  int64_t sum = 0;
  for (const char c : token.substr(negative ? 1 : 0)) {
    if (!is_digit(c)) return false;
    sum = sum * 10 + (c - '0');
  }
  if (negative) sum = -sum;
  if (sum > std::numeric_limits<int32_t>::max() || sum < std::numeric_limits<int32_t>::min()) {
    return false;
  }
  out = static_cast<int32_t>(sum);
  return true;
}

bool read_u64(std::string_view token, uint64_t& out) noexcept {
  if (token.size() > kMaxNumber64Bytes) return false;
  return read_digits(token, std::numeric_limits<uint64_t>::max(), out);
}

bool read_lax_flags(const char* begin, const char* end, uint32_t& out) noexcept {
  if (read_plain(begin, end, out)) return true;
  const LaxNumber number = read_lax(begin, end);
  if (!number.ok) return false;
  uint64_t value = number.magnitude;
  if (number.negative) {
    value = 0 - value;
    // A minus is forgiven if what it leads to is not: -18446744073709551615 is 1.
    if (static_cast<int64_t>(value) < 0) return false;
  }
  out = static_cast<uint32_t>(value);
  return true;
}

bool read_lax_exptime(const char* begin, const char* end, int32_t& out) noexcept {
  uint32_t plain = 0;
  if (read_plain(begin, end, plain)) {
    out = static_cast<int32_t>(plain);
    return true;
  }
  const LaxNumber number = read_lax(begin, end);
  constexpr uint64_t kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!number.ok || number.magnitude > kMost + (number.negative ? 1 : 0)) return false;
  const uint64_t value = number.negative ? 0 - number.magnitude : number.magnitude;
  out = static_cast<int32_t>(static_cast<uint32_t>(value));
  return true;
}

}  // namespace larder::proto
