#include "tools/client/jump.h"

namespace larder::client {

uint32_t jump_bucket(uint64_t hash, uint32_t buckets) noexcept {
  int64_t bucket = 0;
  for (int64_t next = 0; next < int64_t{buckets};) {
    bucket = next;
    hash = hash * 2862933555777941757u + 1;
    const double divisor = static_cast<double>((hash >> 33) + 1);
    next = static_cast<int64_t>(static_cast<double>(bucket + 1) * (0x1p31 / divisor));
  }
  return static_cast<uint32_t>(bucket);
}

}  // namespace larder::client
