#include "daemon/exporter_metrics.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace larder::daemon {
namespace {

using enum MetricType;
using Figures = std::map<std::string, std::string, std::less<>>;

// A metric with one sample and no label.
struct Plain {
  const char* name;
  MetricType type;
  const char* row;  // of `stats`, `stats settings` or `stats slabs`; null: always 0
  const char* help;
};

constexpr Plain kPlain[] = {
    {"up", Gauge, "up", "Whether the server could be reached."},
    {"uptime_seconds", Counter, "uptime", "Seconds since the server started."},
    {"time_seconds", Gauge, "time", "Current unix time of the server."},
    {"process_user_cpu_seconds_total", Counter, "rusage_user", "CPU time spent in user mode."},
    {"process_system_cpu_seconds_total", Counter, "rusage_system", "CPU time spent in the kernel."},
    {"read_bytes_total", Counter, "bytes_read", "Bytes received from clients."},
    {"written_bytes_total", Counter, "bytes_written", "Bytes sent to clients."},
    {"current_connections", Gauge, "curr_connections", "Open connections."},
    {"max_connections", Gauge, "maxconns", "Most connections at a time."},
    {"connections_total", Counter, "total_connections", "Connections accepted since the start."},
    {"connections_rejected_total", Counter, "rejected_connections",
     "Connections turned away because there were too many."},
    {"connections_yielded_total", Counter, "conn_yields",
     "How often a connection with more to do let others go first."},
    {"connections_listener_disabled_total", Counter, "listen_disabled_num",
     "How often accepting stopped because there were too many connections."},
    {"accepting_connections", Gauge, "accepting_conns", "Whether connections are accepted."},
    {"round_robin_fallback_total", Counter, "round_robin_fallback",
     "Connections whose worker was not chosen by NAPI id."},
    {"unexpected_napi_ids_total", Counter, "unexpected_napi_ids", "NAPI ids of no worker."},
    {"current_bytes", Gauge, "bytes", "Bytes of live items."},
    {"limit_bytes", Gauge, "limit_maxbytes", "Bytes that the cache may take."},
    {"malloced_bytes", Gauge, "total_malloced", "Bytes of pages in use."},
    {"current_items", Gauge, "curr_items", "Live items."},
    {"items_total", Counter, "total_items", "Items stored since the start."},
    {"items_evicted_total", Counter, "evictions", "Live items removed to make room."},
    {"items_reclaimed_total", Counter, "reclaimed", "Expired items whose memory was taken back."},
    {"item_too_large_total", Counter, "store_too_large", "Stores refused as too large."},
    {"item_no_memory_total", Counter, "store_no_memory", "Stores refused for want of memory."},
    {"direct_reclaims_total", Counter, "direct_reclaims",
     "Items that workers had to evict themselves."},
    {"lru_crawler_enabled", Gauge, "lru_crawler", "Whether what has expired is freed unasked."},
    {"lru_crawler_sleep", Gauge, "lru_crawler_sleep", "Microseconds between items."},
    {"lru_crawler_to_crawl", Gauge, "lru_crawler_tocrawl", "Most items to crawl per class."},
    {"lru_crawler_maintainer_thread", Gauge, "lru_maintainer_thread",
     "Whether the segmented LRU was asked for."},
    {"lru_crawler_hot_percent", Gauge, "hot_lru_pct", "Per cent of memory for the hot LRU."},
    {"lru_crawler_warm_percent", Gauge, "warm_lru_pct", "Per cent of memory for the warm LRU."},
    {"lru_crawler_hot_max_factor", Gauge, "hot_max_factor",
     "Age of the hot LRU as a factor of the cold one's."},
    {"lru_crawler_warm_max_factor", Gauge, "warm_max_factor",
     "Age of the warm LRU as a factor of the cold one's."},
    {"lru_crawler_starts_total", Counter, "lru_crawler_starts", "Crawls and dumps asked for."},
    {"lru_crawler_reclaimed_total", Counter, "crawler_reclaimed", "Items freed by upkeep."},
    {"lru_crawler_items_checked_total", Counter, "crawler_items_checked",
     "Items looked at by upkeep."},
    {"lru_crawler_moves_to_cold_total", Counter, "moves_to_cold", "Items moved to the cold LRU."},
    {"lru_crawler_moves_to_warm_total", Counter, "moves_to_warm", "Items moved to the warm LRU."},
    {"lru_crawler_moves_within_lru_total", Counter, "moves_within_lru",
     "Items moved within the hot or warm LRU."},
    {"extstore_compact_lost_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_compact_rescued_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_compact_skipped_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_pages_allocated_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_pages_evicted_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_pages_reclaimed_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_pages_free", Gauge, nullptr, "No storage on disk is offered."},
    {"extstore_pages_used", Gauge, nullptr, "No storage on disk is offered."},
    {"extstore_objects_evicted_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_objects_read_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_objects_written_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_objects_used", Gauge, nullptr, "No storage on disk is offered."},
    {"extstore_bytes_evicted_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_bytes_written_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_bytes_read_total", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_bytes_used", Counter, nullptr, "No storage on disk is offered."},
    {"extstore_bytes_fragmented", Gauge, nullptr, "No storage on disk is offered."},
    {"extstore_bytes_limit", Gauge, nullptr, "No storage on disk is offered."},
    {"extstore_io_queue_depth", Gauge, nullptr, "No storage on disk is offered."},
    {"proxy_conn_requests_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_conn_errors_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_conn_oom_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_req_active", Gauge, nullptr, "No proxy is offered."},
    {"proxy_config_reloads_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_config_reload_fails_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_config_cron_runs_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_config_cron_fails_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_backend_total", Gauge, nullptr, "No proxy is offered."},
    {"proxy_backend_marked_bad_total", Counter, nullptr, "No proxy is offered."},
    {"proxy_backend_failed", Gauge, nullptr, "No proxy is offered."},
    {"proxy_request_failed_depth_total", Counter, nullptr, "No proxy is offered."},
};

// A metric of each slab class, from a row of `stats items` or `stats slabs`.
struct OfClass {
  const char* name;
  MetricType type;
  const char* row;
  const char* help;
};

// Some are counters there whatever their name says.
constexpr OfClass kOfItems[] = {
    {"slab_current_items", Gauge, "number", "Live items of the class."},
    {"slab_items_age_seconds", Gauge, "age", "Seconds since the use of the oldest item."},
    {"slab_items_crawler_reclaimed_total", Counter, "crawler_reclaimed", "Items freed by upkeep."},
    {"slab_items_evicted_total", Counter, "evicted", "Live items removed to make room."},
    {"slab_items_evicted_nonzero_total", Counter, "evicted_nonzero",
     "Of the evicted: had an expiry time."},
    {"slab_items_evicted_time_seconds", Counter, "evicted_time",
     "Seconds since the use of the item that was evicted last."},
    {"slab_items_evicted_unfetched_total", Counter, "evicted_unfetched",
     "Of the evicted: never fetched."},
    {"slab_items_expired_unfetched_total", Counter, "expired_unfetched",
     "Items that expired and were never fetched."},
    {"slab_items_outofmemory_total", Counter, "outofmemory", "Stores refused for want of memory."},
    {"slab_items_reclaimed_total", Counter, "reclaimed",
     "Expired items whose memory was taken back."},
    {"slab_items_tailrepairs_total", Counter, "tailrepairs", "Repairs of leaked references."},
    {"slab_items_moves_to_cold", Counter, "moves_to_cold", "Items moved to the cold LRU."},
    {"slab_items_moves_to_warm", Counter, "moves_to_warm", "Items moved to the warm LRU."},
    {"slab_items_moves_within_lru", Counter, "moves_within_lru",
     "Items moved within the hot or warm LRU."},
    {"slab_hot_items", Gauge, "number_hot", "Items of the hot LRU."},
    {"slab_warm_items", Gauge, "number_warm", "Items of the warm LRU."},
    {"slab_cold_items", Gauge, "number_cold", "Items of the cold LRU."},
    {"slab_temporary_items", Gauge, "number_temp", "Items of the temporary LRU."},
    {"slab_hot_age_seconds", Gauge, "age_hot", "Age of the oldest item of the hot LRU."},
    {"slab_warm_age_seconds", Gauge, "age_warm", "Age of the oldest item of the warm LRU."},
    {"slab_mem_requested_bytes", Counter, "mem_requested", "Bytes of live items of the class."},
};

constexpr OfClass kOfSlabs[] = {
    {"slab_chunk_size_bytes", Gauge, "chunk_size", "Bytes of a chunk."},
    {"slab_chunks_per_page", Gauge, "chunks_per_page", "Chunks of a page."},
    {"slab_current_pages", Gauge, "total_pages", "Pages of the class."},
    {"slab_current_chunks", Gauge, "total_chunks", "Chunks of the class."},
    {"slab_chunks_used", Gauge, "used_chunks", "Chunks with an item."},
    {"slab_chunks_free", Gauge, "free_chunks", "Chunks without."},
    {"slab_chunks_free_end", Gauge, "free_chunks_end", "Free chunks at the end of the last page."},
};

constexpr std::string_view kLruHitsHelp = "Hits by the LRU that the item was in.";
constexpr std::pair<const char*, const char*> kLrus[] = {{"hits_to_hot", "hot"},
                                                         {"hits_to_warm", "warm"},
                                                         {"hits_to_cold", "cold"},
                                                         {"hits_to_temp", "temporary"}};
constexpr std::string_view kCommands[] = {"get", "delete", "incr", "decr", "cas", "touch"};

uint64_t number_of(const Figures& figures, std::string_view row) {
  const auto found = figures.find(row);
  uint64_t value = 0;
  if (found == figures.end()) return value;
  const std::string& text = found->second;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Rows that `stats` leaves out with some options count as 0.
std::string value_of(const Figures& figures, const char* row) {
  const auto found = row == nullptr ? figures.end() : figures.find(std::string_view(row));
  if (found == figures.end() || found->second == "no") return "0";
  return found->second == "yes" ? "1" : found->second;
}

std::string command_labels(std::string_view command, std::string_view status) {
  return label("command", command) + ',' + label("status", status);
}

// What memcached counts as a set, less those with a CAS, which it counts again.
uint64_t plain_sets(const Figures& figures) {
  const uint64_t cas = number_of(figures, "cas_misses") + number_of(figures, "cas_hits") +
                       number_of(figures, "cas_badval");
  const uint64_t sets = number_of(figures, "cmd_set");
  return sets - std::min(sets, cas);
}

void write_commands(const Figures& figures, Exposition& page) {
  page.family("memcached_commands_total", Counter, "Commands by what became of them.");
  for (const std::string_view command : kCommands) {
    const std::string name(command);
    page.sample(command_labels(command, "hit"), number_of(figures, name + "_hits"));
    page.sample(command_labels(command, "miss"), number_of(figures, name + "_misses"));
  }
  page.sample(command_labels("cas", "badval"), number_of(figures, "cas_badval"));
  page.sample(command_labels("set", "hit"), plain_sets(figures));
  page.sample(command_labels("flush", "hit"), number_of(figures, "cmd_flush"));
}

using ClassFigures = std::map<uint32_t, Figures>;

// Of rows such as "items:5:number" (prefix "items:") or "5:chunk_size".
ClassFigures by_class(const proto::StatList& rows, std::string_view prefix) {
  ClassFigures classes;
  for (const auto& [key, value] : rows) {
    if (!std::string_view(key).starts_with(prefix)) continue;
    const char* const end = key.data() + key.size();
    uint32_t number = 0;
    const auto [stop, error] = std::from_chars(key.data() + prefix.size(), end, number);
    if (error != std::errc() || stop == end || *stop != ':') continue;
    classes[number].emplace(std::string(stop + 1, end), value);
  }
  return classes;
}

std::string slab_label(uint32_t number) { return label("slab", std::to_string(number)); }

void write_class_metrics(const ClassFigures& classes, std::span<const OfClass> metrics,
                         Exposition& page) {
  for (const OfClass& metric : metrics) {
    page.family(std::string("memcached_") + metric.name, metric.type, metric.help);
    for (const auto& [number, figures] : classes) {
      page.sample(slab_label(number), value_of(figures, metric.row));
    }
  }
}

void write_lru_hits(const ClassFigures& items, Exposition& page) {
  page.family("memcached_slab_lru_hits_total", Counter, kLruHitsHelp);
  for (const auto& [number, figures] : items) {
    for (const auto& [row, lru] : kLrus) {
      page.sample(slab_label(number) + ',' + label("lru", lru), number_of(figures, row));
    }
  }
}

void write_class_commands(const ClassFigures& slabs, Exposition& page) {
  page.family("memcached_slab_commands_total", Counter,
              "Commands of the class by what became of them.");
  for (const auto& [number, figures] : slabs) {
    const std::string slab = slab_label(number);
    const auto sample = [&](std::string_view command, std::string_view status, uint64_t value) {
      page.sample(slab + ',' + command_labels(command, status), value);
    };
    for (const std::string_view command : kCommands) {
      sample(command, "hit", number_of(figures, std::string(command) + "_hits"));
    }
    sample("cas", "badval", number_of(figures, "cas_badval"));
    sample("set", "hit", plain_sets(figures));
  }
}

}  // namespace

void write_exporter_metrics(const StatsSources& sources, Exposition& page) {
  proto::StatList rows;
  append_general_stats(sources, rows);
  append_settings_stats(sources, rows);
  proto::StatList items;
  append_items_stats(sources, items);
  proto::StatList slabs;
  append_slabs_stats(sources, slabs);
  // Of rows with one name, such as evictions, the first counts.
  Figures figures(rows.begin(), rows.end());
  figures.insert(slabs.begin(), slabs.end());

  page.family("memcached_version", Gauge, "The version that clients see.");
  page.sample(label("version", figures["version"]), 1);
  figures["up"] = "1";  // or nobody would be answering
  for (const Plain& metric : kPlain) {
    page.family(std::string("memcached_") + metric.name, metric.type, metric.help);
    page.sample("", value_of(figures, metric.row));
  }
  write_commands(figures, page);
  const ClassFigures of_items = by_class(items, "items:");
  const ClassFigures of_slabs = by_class(slabs, "");
  write_class_metrics(of_items, kOfItems, page);
  write_lru_hits(of_items, page);
  write_class_metrics(of_slabs, kOfSlabs, page);
  write_class_commands(of_slabs, page);
}

}  // namespace larder::daemon
