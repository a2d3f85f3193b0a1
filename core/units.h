// Units and limits that the whole core shares.
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder::core {

constexpr size_t operator""_KiB(unsigned long long n) { return static_cast<size_t>(n) << 10; }
constexpr size_t operator""_MiB(unsigned long long n) { return static_cast<size_t>(n) << 20; }
constexpr size_t operator""_GiB(unsigned long long n) { return static_cast<size_t>(n) << 30; }

// Seconds on the cache's own clock. It starts at kFirstSecond when the cache is built and never
// goes back; the caller samples it (daemon/clock.h) and passes it in, so tests choose the time.
using Seconds = uint32_t;

constexpr Seconds kNever = 0;           // as an expiry: lives until it is evicted
constexpr Seconds kAlreadyExpired = 1;  // as an expiry: a miss from the start
constexpr Seconds kFirstSecond = 2;     // what the clock shows when the cache is built

constexpr size_t kCacheLineBytes = 64;
constexpr size_t kMaxKeyBytes = 250;  // memcached's protocol.txt, "Keys"
constexpr size_t kBatchKeys = 64;     // the most keys one lookup takes

}  // namespace larder::core
