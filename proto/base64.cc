#include "proto/base64.h"

#include <array>
#include <cstdint>

namespace larder::proto {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static_assert(kAlphabet.size() == 64);

constexpr uint8_t kSkipped = 0xff;

// Six bits by character; padding counts as zero bits.
constexpr auto kSextets = [] {
  std::array<uint8_t, 256> sextets{};
  sextets.fill(kSkipped);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    sextets[static_cast<unsigned char>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  sextets['='] = 0;
  return sextets;
}();

uint32_t byte_at(std::string_view bytes, size_t i) noexcept {
  return static_cast<unsigned char>(bytes[i]);
}

}  // namespace

char* base64_encode(std::string_view bytes, char* out) noexcept {
  size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const uint32_t three =
        byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 | byte_at(bytes, i + 2);
    *out++ = kAlphabet[three >> 18];
    *out++ = kAlphabet[three >> 12 & 63];
    *out++ = kAlphabet[three >> 6 & 63];
    *out++ = kAlphabet[three & 63];
  }
  const size_t left = bytes.size() - i;
  if (left == 0) return out;
  const uint32_t rest = byte_at(bytes, i) << 16 | (left == 2 ? byte_at(bytes, i + 1) << 8 : 0u);
  *out++ = kAlphabet[rest >> 18];
  *out++ = kAlphabet[rest >> 12 & 63];
  *out++ = left == 2 ? kAlphabet[rest >> 6 & 63] : '=';
  *out++ = '=';
  return out;
}

size_t base64_decode_in_place(char* text, size_t bytes) noexcept {
  size_t counted = 0;
  for (size_t i = 0; i < bytes; ++i) {
    counted += kSextets[static_cast<unsigned char>(text[i])] != kSkipped;
  }
  if (counted == 0 || counted % 4 != 0) return 0;

  // Reading is ahead of writing: four characters make at most three bytes.
  char* out = text;
  uint32_t four = 0;
  size_t have = 0;
  size_t padding = 0;
  for (size_t i = 0; i < bytes; ++i) {
    const char c = text[i];
    const uint8_t sextet = kSextets[static_cast<unsigned char>(c)];
    if (sextet == kSkipped) continue;
    padding += c == '=';
    four = four << 6 | sextet;
    if (++have < 4) continue;
    *out++ = static_cast<char>(four >> 16);
    *out++ = static_cast<char>(four >> 8);
    *out++ = static_cast<char>(four);
    have = 0;
    four = 0;
    if (padding > 2) return 0;
    if (padding > 0) break;
  }
  return static_cast<size_t>(out - text) - padding;
}

}  // namespace larder::proto
