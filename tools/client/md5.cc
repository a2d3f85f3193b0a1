#include "tools/client/md5.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <utility>

namespace larder::client {
namespace {

constexpr size_t kBlockBytes = 64;
constexpr size_t kLengthBytes = 8;

// floor(2^32 * |sin(i + 1)|)
constexpr uint32_t kSines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr int kShifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

uint32_t little_endian(const unsigned char* bytes) {
  return static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
         static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}

// What a step mixes of three words of the state, and which word of the block it adds.
template <size_t kStep>
uint32_t mixed(uint32_t b, uint32_t c, uint32_t d) {
  if constexpr (kStep < 16) return d ^ (b & (c ^ d));
  if constexpr (kStep < 32) return c ^ (d & (b ^ c));
  if constexpr (kStep < 48) return b ^ c ^ d;
  return c ^ (b | ~d);
}
template <size_t kStep>
constexpr size_t kWord = kStep < 16   ? kStep
                         : kStep < 32 ? (5 * kStep + 1) % 16
                         : kStep < 48 ? (3 * kStep + 5) % 16
                                      : 7 * kStep % 16;

template <size_t kStep>
void step(uint32_t& a, uint32_t b, uint32_t c, uint32_t d, const uint32_t* words) {
  a += mixed<kStep>(b, c, d) + kSines[kStep] + words[kWord<kStep>];
  a = b + std::rotl(a, kShifts[kStep / 16][kStep % 4]);
}

// Unrolled, four steps at a time, in which each word of the state has its turn.
template <size_t... kFour>
void add_words(Md5Words& state, const uint32_t* words, std::index_sequence<kFour...>) {
  auto [a, b, c, d] = state;
  ((step<4 * kFour>(a, b, c, d, words), step<4 * kFour + 1>(d, a, b, c, words),
    step<4 * kFour + 2>(c, d, a, b, words), step<4 * kFour + 3>(b, c, d, a, words)),
   ...);
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

void add_block(Md5Words& state, const unsigned char* block) {
  uint32_t words[16];
  for (size_t i = 0; i < 16; ++i) words[i] = little_endian(block + 4 * i);
  add_words(state, words, std::make_index_sequence<16>());
}

}  // namespace

Md5Words md5(std::string_view text) noexcept {
  Md5Words state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t left = text.size();
  for (; left >= kBlockBytes; left -= kBlockBytes, bytes += kBlockBytes) add_block(state, bytes);

  // What is left, a bit of one, zeros, and the length in bits at the end of a block.
  unsigned char last[2 * kBlockBytes] = {};
  if (left != 0) std::memcpy(last, bytes, left);
  last[left] = 0x80;
  const size_t blocks = left + 1 + kLengthBytes > kBlockBytes ? 2 : 1;
  const uint64_t bits = uint64_t{text.size()} * 8;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    last[blocks * kBlockBytes - kLengthBytes + i] = static_cast<unsigned char>(bits >> (8 * i));
  }
  for (size_t i = 0; i < blocks; ++i) add_block(state, last + i * kBlockBytes);
  return state;
}

}  // namespace larder::client
