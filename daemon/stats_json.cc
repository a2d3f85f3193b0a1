#include "daemon/stats_json.h"

#include <algorithm>
#include <string_view>

#include "core/page_pool.h"
#include "daemon/executor.h"
#include "daemon/exposition.h"
#include "daemon/json.h"

namespace larder::daemon {
namespace {

constexpr size_t kKeysInJson = 32;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void write_server(const StatsSources& sources, Json& json) {
  json.member("version", kMemcachedVersion)
      .member("larder_version", LARDER_VERSION)
      .member("pid", sources.pid)
      .member("time", sources.unix_time)
      .member("uptime_seconds", sources.uptime_seconds)
      .member("threads", sources.settings->threads)
      .member("cpu")
      .object()
      .member("user_seconds", seconds(sources.user_time))
      .member("system_seconds", seconds(sources.system_time))
      .end();
}

void write_settings(const StatsSources& sources, Json& json) {
  proto::StatList rows;
  append_settings_stats(sources, rows);
  json.member("settings").object();
  for (const auto& [key, value] : rows) json.member(key).number_or_text(value);
  json.end();
}

void write_connections(const StatsSources& sources, Json& json) {
  const ConnectionCounters& connections = sources.connections;
  json.member("connections")
      .object()
      .member("open", connections.curr)
      .member("limit", sources.settings->max_connections)
      .member("accepted", connections.total)
      .member("rejected", connections.rejected)
      .member("accepting", connections.accepting)
      .member("accepting_stopped", connections.listen_disabled_num)
      .member("yields", sum(sources, &WorkerStats::conn_yields))
      .member("idle_closed", sum(sources, &WorkerStats::idle_kicks))
      .member("bytes_read", sum(sources, &WorkerStats::bytes_read))
      .member("bytes_written", sum(sources, &WorkerStats::bytes_written))
      .member("backlog_bytes", sources.backlog_bytes)
      .member("backlog_closed", sum(sources, &WorkerStats::response_oom))
      .member("buffer_limit_bytes", sources.settings->buffer_limit_bytes)
      .member("watchers", sources.events.watchers)
      .end();
}

void write_commands(const StatsSources& sources, Json& json) {
  const auto of = [&](Counter WorkerStats::*counter) { return sum(sources, counter); };
  const auto in_classes = [&](Counter ClassStats::*counter) { return sum(sources, counter); };
  const auto hits_and_misses = [&](std::string_view name, uint64_t hits, uint64_t misses) {
    json.member(name).object().member("hits", hits).member("misses", misses).end();
  };
  json.member("commands").object();
  hits_and_misses("get", in_classes(&ClassStats::get_hits), of(&WorkerStats::get_misses));
  hits_and_misses("touch", in_classes(&ClassStats::touch_hits), of(&WorkerStats::touch_misses));
  hits_and_misses("delete", in_classes(&ClassStats::delete_hits), of(&WorkerStats::delete_misses));
  hits_and_misses("incr", in_classes(&ClassStats::incr_hits), of(&WorkerStats::incr_misses));
  hits_and_misses("decr", in_classes(&ClassStats::decr_hits), of(&WorkerStats::decr_misses));
  json.member("cas")
      .object()
      .member("hits", in_classes(&ClassStats::cas_hits))
      .member("misses", of(&WorkerStats::cas_misses))
      .member("badval", in_classes(&ClassStats::cas_badval))
      .end();
  json.member("set", of(&WorkerStats::set_cmds))
      .member("flush", of(&WorkerStats::flush_cmds))
      .member("meta", of(&WorkerStats::meta_cmds))
      .member("get_expired", of(&WorkerStats::get_expired))
      .member("get_flushed", of(&WorkerStats::get_flushed))
      .member("too_large", of(&WorkerStats::store_too_large))
      .member("no_memory", of(&WorkerStats::store_no_memory))
      .member("auth", of(&WorkerStats::auth_cmds))
      .member("auth_errors", of(&WorkerStats::auth_errors))
      .end();
}

void write_classes(const StatsSources& sources, Json& json) {
  json.member("classes").array();
  for (uint32_t c = 0; c < sources.cache->class_count(); ++c) {
    const core::ClassTotals totals = sources.cache->class_totals(c, sources.now);
    if (totals.pages == 0 && totals.items == 0) continue;
    json.object()
        .member("class", c + 1)
        .member("chunk_bytes", totals.chunk_bytes)
        .member("chunks_per_page", totals.chunks_per_page)
        .member("pages", totals.pages)
        .member("used_chunks", totals.used_chunks)
        .member("free_chunks", totals.free_chunks)
        .member("items", totals.items)
        .member("item_bytes", totals.item_bytes)
        .member("get_hits", sum(sources, c, &ClassStats::get_hits))
        .member("sets", sum(sources, c, &ClassStats::set_cmds))
        .member("oldest_age_seconds", totals.oldest_age_seconds)
        .member("evicted", totals.evicted)
        .member("evicted_unfetched", totals.evicted_unfetched)
        .member("evicted_active", totals.evicted_active)
        .member("evicted_with_expiry", totals.evicted_nonzero)
        .member("evicted_age_seconds", totals.evicted_age_seconds)
        .member("expired_unfetched", totals.expired_unfetched)
        .member("reclaimed", totals.reclaimed)
        .member("no_memory", totals.out_of_memory)
        .end();
  }
  json.end();
}

void write_memory(const StatsSources& sources, Json& json) {
  const core::Cache& cache = *sources.cache;
  const core::CacheTotals totals = cache.totals();
  json.member("memory")
      .object()
      .member("limit_bytes", totals.memory_bytes)
      .member("limit_max_bytes", cache.max_memory_limit())
      .member("page_bytes", core::kPageBytes)
      .member("pages", totals.pages_total)
      .member("pages_free", totals.pages_free)
      .member("pages_moved", totals.pages_moved)
      .member("table_bytes", totals.table_bytes)
      .member("draft_bytes", cache.draft_bytes())
      .member("items", totals.items)
      .member("item_bytes", totals.item_bytes)
      .member("items_stored", totals.total_items)
      .member("retired_chunks", totals.retired)
      .member("held_items", totals.held_items)
      .member("lock_waits", totals.lock_waits);
  write_classes(sources, json);
  json.end();
  json.member("evictions")
      .object()
      .member("evicted", totals.evictions)
      .member("evicted_unfetched", totals.evicted_unfetched)
      .member("evicted_active", totals.evicted_active)
      .member("expired_unfetched", totals.expired_unfetched)
      .member("reclaimed", totals.reclaimed)
      .member("swept", totals.sweep_checked)
      .member("swept_reclaimed", totals.sweep_reclaimed)
      .end();
}

void write_latencies(std::string_view name, const LatencySnapshots& latencies, Json& json) {
  json.member(name).object();
  for (size_t i = 0; i < kCommandKinds; ++i) {
    const LatencySnapshot& latency = latencies[i];
    if (latency.count() == 0) continue;
    json.member(name_of(static_cast<CommandKind>(i)))
        .object()
        .member("count", latency.count())
        .member("mean_us", microseconds(latency.mean_ns()))
        .member("p50_us", microseconds(latency.quantile_ns(0.5)))
        .member("p90_us", microseconds(latency.quantile_ns(0.9)))
        .member("p99_us", microseconds(latency.quantile_ns(0.99)))
        .member("p999_us", microseconds(latency.quantile_ns(0.999)))
        .end();
  }
  json.end();
}

void write_keys(const SampledFigures& sampled, Json& json) {
  const KeyFigures& keys = sampled.keys;
  json.member("key_samples", keys.samples).member("key_sample_every", sampled.key_sample_every);
  json.member("hot_keys").array();
  for (size_t i = 0; i < std::min(keys.keys.size(), kKeysInJson); ++i) {
    const Share share = share_of(keys.keys[i], keys);
    json.object()
        .member("key", printable_key(keys.keys[i].key))
        .member("share_min", share.least)
        .member("share_max", share.most)
        .end();
  }
  json.end();
  json.member("prefixes").array();
  for (const PrefixFigures& prefix : keys.prefixes) {
    json.object()
        .member("prefix", printable_key(prefix.prefix))
        .member("hits", prefix.hits * kKeySampleEvery)
        .member("misses", prefix.misses * kKeySampleEvery)
        .member("sets", prefix.sets * kKeySampleEvery)
        .member("deletes", prefix.deletes * kKeySampleEvery)
        .end();
  }
  json.end();
}

void write_slow(const SampledFigures& sampled, Json& json) {
  json.member("slow_requests")
      .object()
      .member("limit_us", sampled.slow_request_us)
      .member("total", sampled.slow_total)
      .member("latest")
      .array();
  for (const SlowRequest& request : sampled.slow) {
    json.object()
        .member("time", request.unix_time)
        .member("us", request.microseconds)
        .member("command", name_of(request.kind))
        .member("commands", request.commands)
        .member("key", printable_key(request.key))
        .end();
  }
  json.end().end();
}

}  // namespace

std::string stats_json(const StatsSources& sources, const SampledFigures& sampled,
                       const LatencySnapshots& recent) {
  Json json;
  json.object();
  write_server(sources, json);
  write_connections(sources, json);
  write_commands(sources, json);
  write_memory(sources, json);
  json.member("sampling", sampled.sampling);
  write_latencies("latency", sampled.latencies, json);
  write_latencies("latency_recent", recent, json);
  write_keys(sampled, json);
  write_slow(sampled, json);
  write_settings(sources, json);
  json.end();
  return json.take();
}

}  // namespace larder::daemon
