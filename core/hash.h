// The one hash of a key, and which of its bits mean what.
#pragma once

#include <cstdint>
#include <string_view>

#include <xxhash.h>

namespace larder::core {

// XXH3 over the key, 64 bits, seeded at random per cache so that nobody outside can choose
// colliding keys.
//
//   63        56                             31              0
//   +----------+------------------------------+---------------+
//   | shard 8  |            unused            |  position 32  |
//   +----------+------------------------------+---------------+
//
// `position` places the key in its shard's table: its high bits choose segment and bucket, its
// low 23 bits are the tag in the slot (core/hash_table.h).
struct KeyHash {
  uint64_t bits = 0;

  uint32_t position() const noexcept { return static_cast<uint32_t>(bits); }
  uint32_t shard_bits() const noexcept { return static_cast<uint32_t>(bits >> 56); }
};

constexpr uint32_t kMaxShards = 256;  // 8 shard bits

inline KeyHash hash_key(std::string_view key, uint64_t seed) noexcept {
  return KeyHash{XXH3_64bits_withSeed(key.data(), key.size(), seed)};
}

}  // namespace larder::core
