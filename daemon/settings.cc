#include "daemon/settings.h"

#include "core/item.h"

namespace larder::daemon {

int workers_per_udp_address(const Settings& settings) noexcept {
  return settings.listen.size() > 1 ? 1 : settings.threads;
}

core::CacheConfig cache_config(const Settings& settings) {
  core::CacheConfig config;
  config.memory_bytes = settings.memory_bytes;
  config.item_size_max = settings.item_size_max;
  config.workers = static_cast<uint32_t>(settings.threads);
  config.growth_factor = settings.growth_factor;
  if (settings.min_item_bytes != 0) {
    config.min_chunk_bytes = core::Item::kHeaderBytes + settings.min_item_bytes;
  }
  config.evict = settings.evict;
  config.order = settings.eviction_order;
  config.background_expiry = settings.accepted.lru_crawler;
  config.cas = settings.cas;
  return config;
}

}  // namespace larder::daemon
