#include "tools/client/key_hash.h"

#include <bit>

#include <xxhash.h>
#include <zlib.h>

#include "tools/client/md5.h"

namespace larder::client {
namespace {

uint32_t sign_extended(char byte) { return static_cast<uint32_t>(static_cast<signed char>(byte)); }

uint32_t murmur_word(uint32_t word) { return std::rotl(word * 0xcc9e2d51u, 15) * 0x1b873593u; }

}  // namespace

uint32_t one_at_a_time(std::string_view key) noexcept {
  uint32_t hash = 0;
  for (const char byte : key) {
    hash += sign_extended(byte);
    hash += hash << 10;
    hash ^= hash >> 6;
  }
  hash += hash << 3;
  hash ^= hash >> 11;
  return hash + (hash << 15);
}

uint32_t fnv1a_64_in_32(std::string_view key) noexcept {
  auto hash = static_cast<uint32_t>(0xcbf29ce484222325u);
  for (const char byte : key) {
    hash ^= sign_extended(byte);
    hash *= static_cast<uint32_t>(0x100000001b3u);
  }
  return hash;
}

uint32_t md5_word(std::string_view key) noexcept { return md5(key)[0]; }

uint32_t crc32_of(std::string_view key) noexcept {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(key.data()), key.size()));
}

uint64_t xxh3(std::string_view key) noexcept { return XXH3_64bits(key.data(), key.size()); }

void Murmur3::add(std::string_view piece) noexcept {
  for (const char byte : piece) {
    const uint32_t place = length_++ % 4;
    pending_ |= static_cast<uint32_t>(static_cast<unsigned char>(byte)) << (8 * place);
    if (place != 3) continue;
    hash_ = std::rotl(hash_ ^ murmur_word(pending_), 13) * 5 + 0xe6546b64u;
    pending_ = 0;
  }
}

uint32_t Murmur3::result() const noexcept {
  uint32_t hash = hash_ ^ murmur_word(pending_) ^ length_;
  hash = (hash ^ (hash >> 16)) * 0x85ebca6bu;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35u;
  return hash ^ (hash >> 16);
}

}  // namespace larder::client
