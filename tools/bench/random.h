// Random numbers of the load: small, fast, and the same for the same seed everywhere.
#pragma once

#include <cstdint>

namespace larder::bench {

// A bijection of 64 bits whose every output bit depends on every input bit (splitmix64's
// finaliser). What makes a key's sizes and value a pure function of its number.
constexpr uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9;
  x ^= x >> 27;
  x *= 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// One thread.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(mix(seed + 1)) {}

  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15); }
  // 0 to bound - 1; bound up to 2^32.
  uint32_t below(uint64_t bound) { return static_cast<uint32_t>(((next() >> 32) * bound) >> 32); }
  // Above 0, at most 1.
  double unit() { return (static_cast<double>(next() >> 11) + 1) * 0x1p-53; }

 private:
  uint64_t state_;
};

}  // namespace larder::bench
