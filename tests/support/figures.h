// What tests of statistics share: a small cache, and the figures of a server without a server.
#pragma once

#include <array>
#include <catch2/catch.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/cache.h"
#include "daemon/stats_report.h"

namespace larder::test {

inline core::CacheConfig small_cache(uint32_t workers = 1) {
  core::CacheConfig config;
  config.memory_bytes = 16 << 20;
  config.workers = workers;
  config.huge_pages = false;
  config.hash_seed = 1;
  return config;
}

struct Figures {
  Figures() {
    sources.cache = &cache;
    sources.settings = &settings;
    sources.workers = {&workers[0], &workers[1]};
  }

  // Returns the class of the item.
  uint32_t store(const std::string& key, const std::string& value, core::Seconds expiry = 0) {
    cache.begin_turn(0);
    core::ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = expiry;
    core::ItemDraft draft;
    REQUIRE(cache.allocate(0, {key, cache.hash(key)}, shape, 10, draft) ==
            core::AllocateStatus::Ok);
    REQUIRE(draft.append(value));
    const core::StoreResult stored = cache.store(0, std::move(draft), {}, 10);
    REQUIRE(stored.status == core::StoreStatus::Stored);
    const uint32_t size_class = cache.class_of(*stored.item);
    cache.end_turn(0);
    return size_class;
  }

  core::Cache cache{small_cache(2)};
  daemon::Settings settings;
  std::array<daemon::WorkerStats, 2> workers;
  daemon::StatsSources sources;
};

inline std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

}  // namespace larder::test
