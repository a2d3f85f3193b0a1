// `larder stats` and `larder slabs`: tables of what nodes say to `stats`.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/larder/report.h"
#include "tools/larder/stats.h"

namespace larder::operate {

struct NodeStats {
  std::string node;
  Stats stats;
};

// A line for each name that any of the nodes has, in the order in which they came, with a column
// for each node ("-": it has none) and, where there are several, one for the sum of what may be
// added up: whole numbers of the group "", but for ids, times and limits of one server.
std::string stats_text(const std::vector<NodeStats>& nodes, const std::string& group);
// {"nodes": [{"node", "stats": {...}}], "sum": {...}}; whole numbers are numbers.
Json stats_json(const std::vector<NodeStats>& nodes, const std::string& group);

// What memcached-tool calls display.
struct SlabClass {
  uint64_t id = 0;
  uint64_t chunk_bytes = 0;
  uint64_t pages = 0;
  uint64_t items = 0;
  uint64_t chunks = 0;
  uint64_t free_chunks = 0;
  uint64_t oldest_seconds = 0;  // since the use of the item that was used longest ago
  uint64_t evicted = 0;
  uint64_t evicted_seconds = 0;  // likewise, of the last item evicted
  uint64_t out_of_memory = 0;
};

// Those with pages, by id. slabs, items: of `stats slabs` and `stats items`
std::vector<SlabClass> slab_classes(const Stats& slabs, const Stats& items);
std::string slabs_text(const std::vector<SlabClass>& classes);
Json slabs_json(const std::vector<SlabClass>& classes);

}  // namespace larder::operate
