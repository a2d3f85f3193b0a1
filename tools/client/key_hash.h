// The hashes that clients put keys through, each as the library computes it. Any thread; none
// fails.
#pragma once

#include <cstdint>
#include <string_view>

namespace larder::client {

// Bob Jenkins' one-at-a-time as in libhashkit, which adds bytes from 0x80 up as negative numbers.
uint32_t one_at_a_time(std::string_view key) noexcept;

// FNV-1a with the offset and the prime of its 64-bit version cut to 32 bits, as twemproxy's
// fnv1a_64; bytes from 0x80 up are negative numbers there, too.
uint32_t fnv1a_64_in_32(std::string_view key) noexcept;

// The first word of MD5.
uint32_t md5_word(std::string_view key) noexcept;

// CRC-32 of zlib, Go's IEEE.
uint32_t crc32_of(std::string_view key) noexcept;

// XXH3 with seed 0.
uint64_t xxh3(std::string_view key) noexcept;

// MurmurHash3_x86_32 with seed 0 over a text that comes in pieces. A copy goes on from where the
// original stood: what all keys have in common is hashed once.
class Murmur3 {
 public:
  void add(std::string_view piece) noexcept;
  uint32_t result() const noexcept;

 private:
  uint32_t hash_ = 0;
  uint32_t pending_ = 0;  // the bytes that do not fill a word yet, length_ % 4 of them
  uint32_t length_ = 0;   // in bytes
};

}  // namespace larder::client
