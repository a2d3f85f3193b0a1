#include "daemon/stats_report.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdio>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "core/item.h"
#include "core/page_pool.h"
#include "daemon/executor.h"
#include "daemon/options.h"

namespace larder::daemon {
namespace {

using proto::StatList;

// Appends rows; every value becomes text in one place.
class Rows {
 public:
  explicit Rows(StatList& rows, std::string prefix = {})
      : rows_(rows), prefix_(std::move(prefix)) {}

  template <std::integral Number>
  Rows& add(std::string_view key, Number value) {
    return text(key, std::to_string(value));
  }
  Rows& text(std::string_view key, std::string value) {
    rows_.emplace_back(prefix_ + std::string(key), std::move(value));
    return *this;
  }
  Rows& yes_no(std::string_view key, bool value) { return text(key, value ? "yes" : "no"); }
  Rows& fraction(std::string_view key, double value, int digits) {
    char buffer[64];
    const int written = std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
    return text(key, std::string(buffer, static_cast<size_t>(written)));
  }
  Rows& seconds(std::string_view key, const timeval& time) {
    char buffer[64];
    const int written =
        std::snprintf(buffer, sizeof buffer, "%ld.%06ld", static_cast<long>(time.tv_sec),
                      static_cast<long>(time.tv_usec));
    return text(key, std::string(buffer, static_cast<size_t>(written)));
  }
  Rows& zeros(std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys) add(key, 0);
    return *this;
  }

 private:
  StatList& rows_;
  std::string prefix_;
};

// The power of two that the table has places for at least.
unsigned power_of(uint64_t n) { return n == 0 ? 0 : static_cast<unsigned>(std::bit_width(n) - 1); }

// What memcached's table would have: a place an item, and at least as many as it starts with.
unsigned hash_power_level(const core::CacheTotals& totals, const Settings& settings) {
  constexpr uint64_t kBytesPerPlace = 8;
  constexpr int kFirstPower = 16;
  const int given = settings.accepted.hashpower_init;
  const auto first = static_cast<unsigned>(given != 0 ? given : kFirstPower);
  return std::max(first, power_of(totals.table_bytes / kBytesPerPlace));
}

// What `stats settings` shows, in memcached's order: what an option's entry says (options.h), or a
// value that is always the same, since nothing like it is offered.
struct PlacedRow {
  std::string_view key;
  const char* constant = nullptr;
  bool with_tls_only = false;
};

constexpr std::string_view kOldest = "oldest";  // the one row that is no setting

constexpr PlacedRow kPlacedRows[] = {
    {"maxbytes"},
    {"maxconns"},
    {"tcpport"},
    {"udpport"},
    {"inter"},
    {"verbosity"},
    {kOldest},
    {"evictions"},
    {"domain_socket"},
    {"umask"},
    {"shutdown_command"},
    {"growth_factor"},
    {"chunk_size"},
    {"num_threads"},
    {"num_threads_per_udp"},
    {"stat_key_prefix"},
    {"detail_enabled"},
    {"reqs_per_event"},
    {"cas_enabled"},
    {"tcp_backlog"},
    {"binding_protocol"},
    {"auth_enabled_sasl"},
    {"auth_enabled_ascii"},
    {"item_size_max"},
    {"maxconns_fast"},
    {"hashpower_init"},
    {"slab_reassign"},
    {"slab_automove"},
    {"slab_automove_ratio"},
    {"slab_automove_window"},
    {"slab_chunk_max"},
    {"lru_crawler"},
    {"lru_crawler_sleep"},
    {"lru_crawler_tocrawl"},
    {"tail_repair_time"},
    {"flush_enabled"},
    {"dump_enabled"},
    {"hash_algorithm"},
    {"lru_maintainer_thread"},
    {"lru_segmented"},
    {"hot_lru_pct"},
    {"warm_lru_pct"},
    {"hot_max_factor"},
    {"warm_max_factor"},
    {"temp_lru"},
    {"temporary_ttl"},
    {"idle_timeout"},
    {"watcher_logbuf_size"},
    {"worker_logbuf_size"},
    {"read_buf_mem_limit"},
    {"track_sizes"},
    {"inline_ascii_response"},
    // There is no external storage; these are the values that memcached shows without one.
    {"ext_item_size", "512"},
    {"ext_item_age", "4294967295"},
    {"ext_low_ttl", "0"},
    {"ext_recache_rate", "2000"},
    {"ext_wbuf_size", "4194304"},
    {"ext_compact_under", "0"},
    {"ext_drop_under", "0"},
    {"ext_max_sleep", "1000000"},
    {"ext_max_frag", "0.80"},
    {"slab_automove_freeratio"},
    {"ext_drop_unread", "no"},
    {"ssl_enabled", nullptr, true},
    {"ssl_chain_cert", nullptr, true},
    {"ssl_key", nullptr, true},
    {"ssl_verify_mode", nullptr, true},
    {"ssl_keyformat", nullptr, true},
    {"ssl_ciphers", nullptr, true},
    {"ssl_ca_cert", nullptr, true},
    {"ssl_wbuf_size", nullptr, true},
    {"ssl_session_cache", nullptr, true},
    {"ssl_kernel_tls", "no", true},
    {"ssl_min_version", nullptr, true},
    {"num_napi_ids", "0"},
    {"memory_file"},
    {"client_flags_size", "4"},
};

template <class Use>
void for_each_settings_row(Use use) {
  const auto use_all = [&](const auto& entries) {
    for (const auto& entry : entries) {
      for (const SettingsRow& row : entry.rows) {
        if (row.key != nullptr) use(row);
      }
    }
  };
  use_all(options());
  use_all(sub_options());
}

// The settings with what is in force in the place of what they began with.
Settings in_force(const StatsSources& sources) {
  Settings settings = *sources.settings;
  const core::CacheConfig& config = sources.cache->config();
  settings.memory_bytes = sources.cache->memory_limit();
  settings.growth_factor = config.growth_factor;
  settings.min_item_bytes = config.min_chunk_bytes - core::Item::kHeaderBytes;
  if (sources.tcp_port != 0) settings.port = sources.tcp_port;
  settings.udp_port = sources.udp_port;
  settings.verbosity = sources.verbosity;
  settings.stats_detail = sources.detail_enabled;
  settings.accepted = sources.accepted;
  return settings;
}

}  // namespace

uint64_t sum(const StatsSources& sources, Counter WorkerStats::*counter) {
  uint64_t total = 0;
  for (const WorkerStats* worker : sources.workers) total += (worker->*counter).get();
  return total;
}

uint64_t sum(const StatsSources& sources, uint32_t size_class, Counter ClassStats::*counter) {
  uint64_t total = 0;
  for (const WorkerStats* worker : sources.workers) {
    total += (worker->classes[size_class].*counter).get();
  }
  return total;
}

uint64_t sum(const StatsSources& sources, Counter ClassStats::*counter) {
  uint64_t total = 0;
  for (uint32_t c = 0; c < core::kMaxClasses; ++c) total += sum(sources, c, counter);
  return total;
}

void append_general_stats(const StatsSources& sources, StatList& list) {
  const Settings& settings = *sources.settings;
  const Settings::Accepted& accepted = sources.accepted;
  const core::CacheTotals totals = sources.cache->totals();
  const ConnectionCounters& connections = sources.connections;
  const auto of = [&](Counter WorkerStats::*counter) { return sum(sources, counter); };
  const auto in_classes = [&](Counter ClassStats::*counter) { return sum(sources, counter); };

  Rows rows(list);
  rows.add("pid", sources.pid)
      .add("uptime", sources.uptime_seconds)
      .add("time", sources.unix_time)
      .text("version", std::string(kMemcachedVersion))
      .text("libevent", sources.libevent_version)
      .add("pointer_size", 8 * sizeof(void*))
      .seconds("rusage_user", sources.user_time)
      .seconds("rusage_system", sources.system_time)
      .add("max_connections", settings.max_connections)
      .add("curr_connections", connections.curr)
      .add("total_connections", connections.total);
  if (settings.maxconns_fast) rows.add("rejected_connections", connections.rejected);
  rows.add("connection_structures", connections.structures)
      .add("response_obj_oom", of(&WorkerStats::response_oom))
      .add("response_obj_count", of(&WorkerStats::response_count))
      .add("response_obj_bytes", sources.backlog_bytes)
      .add("read_buf_count", sources.read_buffers)
      .add("read_buf_bytes", sources.read_buffer_bytes)
      .add("read_buf_bytes_free", sources.read_buffer_bytes_free)
      .add("read_buf_oom", sources.read_buffer_oom)
      .add("reserved_fds", connections.reserved_fds)
      .add("cmd_get", of(&WorkerStats::get_cmds))
      .add("cmd_set", of(&WorkerStats::set_cmds))
      .add("cmd_flush", of(&WorkerStats::flush_cmds))
      .add("cmd_touch", of(&WorkerStats::touch_cmds))
      .add("cmd_meta", of(&WorkerStats::meta_cmds))
      .add("get_hits", in_classes(&ClassStats::get_hits))
      .add("get_misses", of(&WorkerStats::get_misses))
      .add("get_expired", of(&WorkerStats::get_expired))
      .add("get_flushed", of(&WorkerStats::get_flushed))
      .add("delete_misses", of(&WorkerStats::delete_misses))
      .add("delete_hits", in_classes(&ClassStats::delete_hits))
      .add("incr_misses", of(&WorkerStats::incr_misses))
      .add("incr_hits", in_classes(&ClassStats::incr_hits))
      .add("decr_misses", of(&WorkerStats::decr_misses))
      .add("decr_hits", in_classes(&ClassStats::decr_hits))
      .add("cas_misses", of(&WorkerStats::cas_misses))
      .add("cas_hits", in_classes(&ClassStats::cas_hits))
      .add("cas_badval", in_classes(&ClassStats::cas_badval))
      .add("touch_hits", in_classes(&ClassStats::touch_hits))
      .add("touch_misses", of(&WorkerStats::touch_misses))
      .add("store_too_large", of(&WorkerStats::store_too_large))
      .add("store_no_memory", of(&WorkerStats::store_no_memory))
      .add("auth_cmds", of(&WorkerStats::auth_cmds))
      .add("auth_errors", of(&WorkerStats::auth_errors));
  if (settings.idle_timeout_seconds != 0) rows.add("idle_kicks", of(&WorkerStats::idle_kicks));
  rows.add("bytes_read", of(&WorkerStats::bytes_read))
      .add("bytes_written", of(&WorkerStats::bytes_written))
      .add("limit_maxbytes", totals.memory_bytes)
      .add("accepting_conns", connections.accepting ? 1 : 0)
      .add("listen_disabled_num", connections.listen_disabled_num)
      .add("time_in_listen_disabled_us", connections.time_in_listen_disabled_us)
      .add("threads", settings.threads)
      .add("conn_yields", of(&WorkerStats::conn_yields))
      .add("hash_power_level", hash_power_level(totals, settings))
      .add("hash_bytes", totals.table_bytes)
      .add("hash_is_expanding", totals.table_growing ? 1 : 0);
  if (accepted.slab_reassign) {
    rows.zeros({"slab_reassign_rescues", "slab_reassign_chunk_rescues",
                "slab_reassign_inline_reclaim", "slab_reassign_busy_items",
                "slab_reassign_busy_deletes", "slab_reassign_busy_nomem"})
        .text("slab_reassign_last_busy_status", "none")
        .add("slab_reassign_running", totals.emptying_page ? 1 : 0)
        .add("slabs_moved", totals.pages_moved);
  }
  if (accepted.lru_crawler) {
    rows.add("lru_crawler_running", sources.dumps_running > 0 ? 1 : 0)
        .add("lru_crawler_starts", sources.crawler_starts);
  }
  if (accepted.lru_maintainer) rows.zeros({"lru_maintainer_juggles"});
  rows.add("malloc_fails", 0)
      .add("log_worker_dropped", sources.events.dropped)
      .add("log_worker_written", sources.events.written)
      .add("log_watcher_skipped", sources.events.skipped)
      .add("log_watcher_sent", sources.events.sent)
      .add("log_watchers", sources.events.watchers);
  if (settings.tls.enabled) {
    if (settings.tls.session_cache) rows.add("ssl_new_sessions", sources.tls.new_sessions);
    rows.add("ssl_handshake_errors", sources.tls.handshake_errors)
        .add("ssl_proto_errors", sources.tls.protocol_errors)
        .add("time_since_server_cert_refresh", sources.tls.seconds_since_refresh);
  }
  rows.zeros({"unexpected_napi_ids", "round_robin_fallback"})
      .add("bytes", totals.item_bytes)
      .add("curr_items", totals.items)
      .add("total_items", totals.total_items)
      .add("slab_global_page_pool", totals.pages_free)
      .add("expired_unfetched", totals.expired_unfetched)
      .add("evicted_unfetched", totals.evicted_unfetched);
  if (accepted.lru_maintainer) rows.add("evicted_active", totals.evicted_active);
  rows.add("evictions", totals.evictions)
      .add("reclaimed", totals.reclaimed)
      .add("crawler_reclaimed", totals.sweep_reclaimed)
      .add("crawler_items_checked", totals.sweep_checked)
      .zeros({"lrutail_reflocked"});
  if (accepted.lru_maintainer) {
    rows.zeros({"moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims",
                "lru_bumps_dropped"});
  }
}

void append_settings_stats(const StatsSources& sources, StatList& list) {
  const Settings settings = in_force(sources);
  std::map<std::string_view, std::string> shown;
  for_each_settings_row([&](const SettingsRow& row) { shown[row.key] = row.value(settings); });
  Rows rows(list);
  for (const PlacedRow& row : kPlacedRows) {
    if (row.with_tls_only && !settings.tls.enabled) continue;
    if (row.key == kOldest) {
      rows.add(row.key, sources.oldest_seconds);
    } else {
      rows.text(row.key, row.constant != nullptr ? row.constant : shown.at(row.key));
    }
  }
  // What memcached does not show, or has not.
  for_each_settings_row([&](const SettingsRow& row) {
    const bool placed = std::any_of(std::begin(kPlacedRows), std::end(kPlacedRows),
                                    [&](const PlacedRow& p) { return p.key == row.key; });
    if (!placed) rows.text(row.key, shown.at(row.key));
  });
}

void append_items_stats(const StatsSources& sources, StatList& list) {
  const Settings::Accepted& accepted = sources.accepted;
  for (uint32_t c = 0; c < sources.cache->class_count(); ++c) {
    const core::ClassTotals totals = sources.cache->class_totals(c, sources.now);
    if (totals.items == 0) continue;
    Rows rows(list, "items:" + std::to_string(c + 1) + ":");
    rows.add("number", totals.items);
    if (accepted.lru_maintainer) {
      rows.zeros({"number_hot", "number_warm"}).add("number_cold", totals.items);
      if (accepted.temp_lru) rows.zeros({"number_temp"});
      rows.zeros({"age_hot", "age_warm"});
    }
    rows.add("age", totals.oldest_age_seconds)
        .add("mem_requested", totals.item_bytes)
        .add("evicted", totals.evicted)
        .add("evicted_nonzero", totals.evicted_nonzero)
        .add("evicted_time", totals.evicted_age_seconds)
        .add("outofmemory", totals.out_of_memory)
        .zeros({"tailrepairs"})
        .add("reclaimed", totals.reclaimed)
        .add("expired_unfetched", totals.expired_unfetched)
        .add("evicted_unfetched", totals.evicted_unfetched);
    if (accepted.lru_maintainer) rows.add("evicted_active", totals.evicted_active);
    rows.add("crawler_reclaimed", totals.sweep_reclaimed)
        .add("crawler_items_checked", totals.sweep_checked)
        .zeros({"lrutail_reflocked"});
    if (accepted.lru_maintainer) {
      rows.zeros({"moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims",
                  "hits_to_hot", "hits_to_warm"})
          .add("hits_to_cold", sum(sources, c, &ClassStats::get_hits))
          .zeros({"hits_to_temp"});
    }
  }
}

void append_slabs_stats(const StatsSources& sources, StatList& list) {
  uint32_t active = 0;
  for (uint32_t c = 0; c < sources.cache->class_count(); ++c) {
    const core::ClassTotals totals = sources.cache->class_totals(c, sources.now);
    if (totals.pages == 0) continue;
    ++active;
    Rows(list, std::to_string(c + 1) + ":")
        .add("chunk_size", totals.chunk_bytes)
        .add("chunks_per_page", totals.chunks_per_page)
        .add("total_pages", totals.pages)
        .add("total_chunks", totals.pages * totals.chunks_per_page)
        .add("used_chunks", totals.used_chunks)
        .add("free_chunks", totals.free_chunks)
        .zeros({"free_chunks_end"})
        .add("get_hits", sum(sources, c, &ClassStats::get_hits))
        .add("cmd_set", sum(sources, c, &ClassStats::set_cmds))
        .add("delete_hits", sum(sources, c, &ClassStats::delete_hits))
        .add("incr_hits", sum(sources, c, &ClassStats::incr_hits))
        .add("decr_hits", sum(sources, c, &ClassStats::decr_hits))
        .add("cas_hits", sum(sources, c, &ClassStats::cas_hits))
        .add("cas_badval", sum(sources, c, &ClassStats::cas_badval))
        .add("touch_hits", sum(sources, c, &ClassStats::touch_hits));
  }
  // More than the classes show: long values have pages to themselves, and the table has its own.
  const core::CacheTotals all = sources.cache->totals();
  const uint64_t pages = all.pages_total - std::min(all.pages_total, all.pages_free);
  Rows(list).add("active_slabs", active).add("total_malloced", pages * core::kPageBytes);
}

void append_conns_stats(const std::vector<ConnectionRow>& connections, StatList& list) {
  for (const ConnectionRow& connection : connections) {
    Rows rows(list, std::to_string(connection.fd) + ":");
    if (connection.udp) rows.text("UDP", "UDP");
    rows.text("addr", connection.addr);
    if (!connection.listen_addr.empty()) rows.text("listen_addr", connection.listen_addr);
    rows.text("state", connection.state).add("secs_since_last_cmd", connection.secs_since_last_cmd);
  }
}

void append_sizes_stats(core::Cache& cache, const Settings& settings, StatList& list) {
  if (!settings.track_sizes) {
    Rows(list).text("sizes_status", "disabled");
    return;
  }
  std::vector<std::pair<uint32_t, uint64_t>> histogram;
  cache.size_histogram(histogram);
  for (const auto& [bytes, items] : histogram) Rows(list).add(std::to_string(bytes), items);
}

void append_larder_stats(const StatsSources& sources, StatList& list) {
  const core::Cache& cache = *sources.cache;
  const core::CacheTotals totals = cache.totals();
  Rows(list)
      .text("larder_version", LARDER_VERSION)
      .add("workers", cache.config().workers)
      .add("shards", cache.shard_count())
      .add("size_classes", cache.class_count())
      .add("page_bytes", core::kPageBytes)
      .add("memory_limit_bytes", totals.memory_bytes)
      .add("memory_limit_max_bytes", cache.max_memory_limit())
      .add("pages_total", totals.pages_total)
      .add("pages_free", totals.pages_free)
      .add("pages_moved", totals.pages_moved)
      .add("table_bytes", totals.table_bytes)
      .add("table_buckets", totals.table_buckets)
      .add("table_growing", totals.table_growing ? 1 : 0)
      .add("items", totals.items)
      .add("item_bytes", totals.item_bytes)
      .add("draft_bytes", cache.draft_bytes())
      .text("eviction_order",
            cache.config().order == core::EvictionOrder::Density ? "density" : "plain")
      .add("evictions", totals.evictions)
      .add("reclaimed", totals.reclaimed)
      .add("retired_chunks", totals.retired)
      .add("held_items", totals.held_items)
      .add("overdraft_bytes", totals.overdraft_bytes)
      .add("overdraft_peak_bytes", totals.overdraft_peak_bytes)
      .add("overdraft_limit_bytes", totals.overdraft_limit_bytes)
      .add("reader_scans", totals.reader_scans)
      .add("rests_for_readers", sum(sources, &WorkerStats::rests_for_readers))
      .add("lock_waits", totals.lock_waits)
      .add("buffer_limit_bytes", sources.settings->buffer_limit_bytes)
      .add("backlog_bytes", sources.backlog_bytes)
      .add("copies_bytes", sources.buffers.copies)
      .add("pinned_bytes", sources.buffers.pinned)
      .add("pinned_limit_bytes", sources.buffers.pinned_limit)
      .add("strangers_bytes", sources.buffers.strangers)
      .add("strangers_limit_bytes", sources.buffers.strangers_limit)
      .add("stalled_kicks", sum(sources, &WorkerStats::stalled_kicks))
      .add("connections_lost", sum(sources, &WorkerStats::connections_lost))
      .add("passes", sum(sources, &WorkerStats::passes))
      .add("draining", sources.discovery.draining ? 1 : 0)
      .add("reply_buffer_not_empty", sum(sources, &WorkerStats::reply_buffer_not_empty))
      .add("incarnation", sources.discovery.incarnation)
      .add("drops_before_joining", sources.settings->cluster_etcd.empty() ? 0 : 1);
  if (const auto ago = sources.discovery.emptied_ago) {
    Rows(list).add("emptied_ago_ms", static_cast<uint64_t>(ago->count()));
  }
}

void reset_worker_stats(WorkerStats& stats) noexcept {
  // Not response_count and the like: those are how things stand, not what has happened.
  for (Counter* counter : {&stats.get_cmds,         &stats.get_misses,       &stats.get_expired,
                           &stats.get_flushed,      &stats.touch_cmds,       &stats.touch_misses,
                           &stats.set_cmds,         &stats.delete_misses,    &stats.incr_misses,
                           &stats.decr_misses,      &stats.cas_misses,       &stats.flush_cmds,
                           &stats.meta_cmds,        &stats.store_too_large,  &stats.store_no_memory,
                           &stats.conn_yields,      &stats.idle_kicks,       &stats.bytes_read,
                           &stats.bytes_written,    &stats.response_oom,     &stats.auth_cmds,
                           &stats.auth_errors,      &stats.passes,           &stats.stalled_kicks,
                           &stats.connections_lost, &stats.rests_for_readers}) {
    counter->reset();
  }
  for (ClassStats& counts : stats.classes) {
    for (Counter* counter :
         {&counts.get_hits, &counts.set_cmds, &counts.delete_hits, &counts.incr_hits,
          &counts.decr_hits, &counts.cas_hits, &counts.cas_badval, &counts.touch_hits}) {
      counter->reset();
    }
  }
}

}  // namespace larder::daemon
