#include "daemon/tuning.h"

#include <catch2/catch.hpp>

using namespace larder::daemon;

TEST_CASE("tuning begins as the settings say, and what was changed is shown in their place") {
  Settings::Accepted start;
  start.lru_crawler_tocrawl = 7;
  start.temp_lru = true;
  start.hashpower_init = 20;
  Tuning tuning(start);
  const Settings::Accepted same = tuning.in_force(start);
  CHECK(same.lru_crawler);
  CHECK(same.lru_crawler_tocrawl == 7);
  CHECK(same.slab_automove_ratio == 0.8);
  CHECK(same.temp_lru);

  tuning.crawler = false;
  tuning.automove_window = 30;
  tuning.warm_factor = 3.5;
  tuning.temporary_ttl = 5;
  const Settings::Accepted changed = tuning.in_force(start);
  CHECK_FALSE(changed.lru_crawler);
  CHECK(changed.slab_automove_window == 30);
  CHECK(changed.warm_max_factor == 3.5);
  CHECK(changed.temporary_ttl == 5);
  CHECK(changed.hashpower_init == 20);
  CHECK(start.lru_crawler);
}
