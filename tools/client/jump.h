// Jump consistent hash (Lamping and Veach, 2014, arXiv:1406.2294).
#pragma once

#include <cstdint>

namespace larder::client {

// hash     evenly spread over all 64 bits
// buckets  at least 1
//
// Returns 0 to buckets - 1. Of `buckets` to `buckets + 1` only what the new bucket gets moves;
// there is no taking away but of the last. Any thread.
uint32_t jump_bucket(uint64_t hash, uint32_t buckets) noexcept;

}  // namespace larder::client
