#include "daemon/tuning.h"

namespace larder::daemon {

Tuning::Tuning(const Settings::Accepted& start)
    : crawler(start.lru_crawler),
      crawler_sleep_us(static_cast<uint32_t>(start.lru_crawler_sleep_us)),
      crawler_tocrawl(start.lru_crawler_tocrawl),
      automove(static_cast<uint32_t>(start.slab_automove)),
      automove_ratio(start.slab_automove_ratio),
      automove_freeratio(start.slab_automove_freeratio),
      automove_window(start.slab_automove_window),
      hot_percent(static_cast<uint32_t>(start.hot_lru_pct)),
      warm_percent(static_cast<uint32_t>(start.warm_lru_pct)),
      hot_factor(start.hot_max_factor),
      warm_factor(start.warm_max_factor),
      segmented(start.lru_segmented),
      temp_lru(start.temp_lru),
      temporary_ttl(start.temporary_ttl) {}

Settings::Accepted Tuning::in_force(const Settings::Accepted& start) const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  Settings::Accepted now = start;
  now.lru_crawler = crawler.load(kRelaxed);
  now.lru_crawler_sleep_us = static_cast<int>(crawler_sleep_us.load(kRelaxed));
  now.lru_crawler_tocrawl = crawler_tocrawl.load(kRelaxed);
  now.slab_automove = static_cast<int>(automove.load(kRelaxed));
  now.slab_automove_ratio = automove_ratio.load(kRelaxed);
  now.slab_automove_freeratio = automove_freeratio.load(kRelaxed);
  now.slab_automove_window = automove_window.load(kRelaxed);
  now.hot_lru_pct = static_cast<int>(hot_percent.load(kRelaxed));
  now.warm_lru_pct = static_cast<int>(warm_percent.load(kRelaxed));
  now.hot_max_factor = hot_factor.load(kRelaxed);
  now.warm_max_factor = warm_factor.load(kRelaxed);
  now.lru_segmented = segmented.load(kRelaxed);
  now.temp_lru = temp_lru.load(kRelaxed);
  now.temporary_ttl = temporary_ttl.load(kRelaxed);
  return now;
}

}  // namespace larder::daemon
