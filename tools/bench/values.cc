#include "tools/bench/values.h"

#include <algorithm>
#include <cstring>

#include "tools/bench/digits.h"

namespace larder::bench {
namespace {

size_t offset_of(uint64_t hash) { return ((hash >> 32) * Values::kPeriod) >> 32; }

// 8 printable bytes, from 32 bits of the hash, which is a bijection of the number.
uint64_t head_of(uint64_t hash) {
  return ((hash ^ (hash >> 20)) & 0x0f0f0f0f0f0f0f0f) | 0x6060606060606060;
}

}  // namespace

Values::Values(const Distribution& bytes) : bytes_(bytes) {
  for (const uint32_t length : bytes_.table()) {
    LengthLine line{};
    char* end = write_decimal(line.text, length);
    *end++ = '\r';
    *end++ = '\n';
    line.length = static_cast<uint8_t>(end - line.text);
    lines_.push_back(line);
  }
  // Always the same pattern: what one run has stored another one can check.
  Random random(0x6c6172646572);
  pattern_.resize(2 * kPeriod);
  for (size_t i = 0; i < kPeriod; ++i) {
    pattern_[i] = pattern_[i + kPeriod] = static_cast<char>('!' + random.below('~' - '!' + 1));
  }
}

char* Values::write(char* out, uint32_t number) const {
  const uint64_t hash = mix(number);
  const size_t length = bytes_.at(hash);
  size_t from = offset_of(hash);
  char* const begin = out;
  for (size_t left = length; left > 0;) {
    const size_t piece = std::min(left, kPeriod);
    std::memcpy(out, &pattern_[from], piece);
    out += piece;
    left -= piece;
  }
  if (length >= kHeadBytes) {
    const uint64_t head = head_of(hash);
    std::memcpy(begin, &head, kHeadBytes);
  }
  return out;
}

bool Values::matches(uint32_t number, size_t position, const char* data, size_t length) const {
  const uint64_t hash = mix(number);
  const size_t offset = offset_of(hash);
  if (position < kHeadBytes && bytes_.at(hash) >= kHeadBytes) {
    const uint64_t head = head_of(hash);
    const size_t piece = std::min(length, kHeadBytes - position);
    if (std::memcmp(data, reinterpret_cast<const char*>(&head) + position, piece) != 0) {
      return false;
    }
    position += piece;
    data += piece;
    length -= piece;
  }
  while (length > 0) {
    size_t from = offset + position;
    if (from >= kPeriod) from %= kPeriod;
    const size_t piece = std::min(length, kPeriod);
    if (std::memcmp(data, &pattern_[from], piece) != 0) return false;
    position += piece;
    data += piece;
    length -= piece;
  }
  return true;
}

std::string Values::text(uint32_t number) const {
  std::string value(bytes(number), '\0');
  write(value.data(), number);
  return value;
}

}  // namespace larder::bench
