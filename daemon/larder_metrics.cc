#include "daemon/larder_metrics.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "core/page_pool.h"

namespace larder::daemon {
namespace {

using enum MetricType;

// Each is a time series, and keys come and go.
constexpr size_t kKeysInMetrics = 10;
constexpr double kLeastSamples = 4;  // lately; what comes once is not hot
constexpr size_t kShownPrefixes = 200;

// Buckets of the latency histograms: powers of two of nanoseconds, from 0.26 us to 1.1 s.
constexpr int kFirstPower = 8;
constexpr int kLastPower = 30;

constexpr double kSecondsPerNs = 1e-9;

// Metrics with one sample and no label.
class Singles {
 public:
  explicit Singles(Exposition& page) : page_(page) {}

  template <class Number>
  Singles& add(std::string_view name, MetricType type, Number value, std::string_view help) {
    page_.family("larder_" + std::string(name), type, help);
    page_.sample("", value);
    return *this;
  }

 private:
  Exposition& page_;
};

void write_engine(const StatsSources& sources, Exposition& page) {
  const core::Cache& cache = *sources.cache;
  const core::CacheTotals totals = cache.totals();
  page.family("larder_build_info", Gauge, "Which larderd this is; always 1.");
  page.sample(label("version", LARDER_VERSION), 1);
  Singles(page)
      .add("workers", Gauge, cache.config().workers, "Worker threads.")
      .add("shards", Gauge, cache.shard_count(), "Slices of the key space, each with its lock.")
      .add("size_classes", Gauge, cache.class_count(), "Sizes of chunks.")
      .add("page_size_bytes", Gauge, core::kPageBytes, "Bytes of a page.")
      .add("pages", Gauge, totals.pages_total, "Pages within the memory limit.")
      .add("pages_free", Gauge, totals.pages_free, "Pages that nobody has yet.")
      .add("pages_moved_total", Counter, totals.pages_moved,
           "Pages that went from one size class to another.")
      .add("memory_limit_bytes", Gauge, totals.memory_bytes, "The memory limit in force.")
      .add("memory_limit_max_bytes", Gauge, cache.max_memory_limit(),
           "The highest memory limit that can be set while running.")
      .add("table_bytes", Gauge, totals.table_bytes, "Bytes of the hash tables.")
      .add("table_buckets", Gauge, totals.table_buckets, "Buckets of the hash tables.")
      .add("table_growing", Gauge, totals.table_growing ? 1 : 0, "Whether a hash table grows.")
      .add("draft_bytes", Gauge, cache.draft_bytes(),
           "Bytes of large values that are being received.")
      .add("retired_chunks", Gauge, totals.retired, "Chunks that wait for turns to end.")
      .add("held_items", Gauge, totals.held_items, "Items held for clients that read slowly.")
      .add("lock_waits_total", Counter, totals.lock_waits,
           "How often a shard's lock had to be waited for.")
      .add("swept_items_total", Counter, totals.sweep_checked,
           "Items that upkeep looked at for what has expired.");
  page.family("larder_evictions_total", Counter,
              "Live items removed to make room: never fetched, fetched in their last minute, "
              "others.");
  const uint64_t told = totals.evicted_unfetched + totals.evicted_active;
  page.sample(label("item", "unfetched"), totals.evicted_unfetched);
  page.sample(label("item", "active"), totals.evicted_active);
  page.sample(label("item", "idle"), totals.evictions - std::min(totals.evictions, told));
}

void write_discovery(const StatsSources& sources, Exposition& page) {
  const Settings& settings = *sources.settings;
  const bool by_etcd = !settings.cluster_etcd.empty();
  if (!by_etcd && settings.cluster_file.empty() && !settings.allow_cluster_set) return;
  Singles(page)
      .add("cluster_version", Gauge, sources.discovery.version,
           "Version of the list of nodes that clients are told; 0 if there is none.")
      .add("cluster_nodes", Gauge, sources.discovery.nodes,
           "Nodes in the list that clients are told.");
  if (!by_etcd) return;
  Singles(page)
      .add("etcd_connected", Gauge, sources.discovery.etcd_connected ? 1 : 0,
           "Whether etcd is followed; the list stays if it is not.")
      .add("draining", Gauge, sources.discovery.draining ? 1 : 0,
           "Whether the server has left the list and serves clients until it ends.");
}

void write_requests(const StatsSources& sources, Exposition& page) {
  const auto of = [&](core::Counter WorkerStats::*counter) { return sum(sources, counter); };
  Singles(page)
      .add("meta_commands_total", Counter, of(&WorkerStats::meta_cmds), "Meta commands.")
      .add("get_expired_total", Counter, of(&WorkerStats::get_expired),
           "Misses on items that had expired and were not yet freed.")
      .add("get_flushed_total", Counter, of(&WorkerStats::get_flushed),
           "Misses on items that were flushed and not yet freed.")
      .add("authentications_total", Counter, of(&WorkerStats::auth_cmds),
           "Attempts to authenticate.")
      .add("authentication_errors_total", Counter, of(&WorkerStats::auth_errors),
           "Attempts to authenticate that failed.")
      .add("idle_connections_closed_total", Counter, of(&WorkerStats::idle_kicks),
           "Connections closed because of -o idle_timeout.")
      .add("buffer_limit_bytes", Gauge, sources.settings->buffer_limit_bytes,
           "Most bytes of replies and input kept for connections.")
      .add("backlog_bytes", Gauge, sources.backlog_bytes,
           "Bytes of replies that slow clients have not taken yet.")
      .add("backlog_closed_total", Counter, of(&WorkerStats::response_oom),
           "Connections closed because the buffers were used up.")
      .add("watchers", Gauge, sources.events.watchers, "Clients of watch.")
      .add("watch_events_total", Counter, sources.events.written, "Events written for watch.")
      .add("watch_events_dropped_total", Counter, sources.events.dropped,
           "Events for watch dropped for want of room.");
  write_discovery(sources, page);
  if (!sources.settings->tls.enabled) return;
  Singles(page)
      .add("tls_handshake_errors_total", Counter, sources.tls.handshake_errors,
           "TLS handshakes that failed.")
      .add("tls_protocol_errors_total", Counter, sources.tls.protocol_errors,
           "TLS connections that broke.")
      .add("tls_certificate_age_seconds", Gauge, sources.tls.seconds_since_refresh,
           "Seconds since the certificates were read.");
}

void write_latencies(const SampledFigures& sampled, Exposition& page) {
  page.family("larder_request_duration_seconds", Histogram,
              "Time from parsing a request until its reply was written, of some of them.");
  for (size_t i = 0; i < kCommandKinds; ++i) {
    const LatencySnapshot& latency = sampled.latencies[i];
    if (latency.count() == 0) continue;
    const std::string command = label("command", name_of(static_cast<CommandKind>(i)));
    for (int power = kFirstPower; power <= kLastPower; ++power) {
      const std::string bound = decimal(std::ldexp(kSecondsPerNs, power));
      page.sample(command + ',' + label("le", bound), latency.below_power(power), "_bucket");
    }
    page.sample(command + ',' + label("le", "+Inf"), latency.count(), "_bucket");
    page.sample(command, static_cast<double>(latency.sum_ns()) * kSecondsPerNs, "_sum");
    page.sample(command, latency.count(), "_count");
  }
  Singles(page).add("slow_requests_total", Counter, sampled.slow_total,
                    "Requests, or batches of them, that took longer than -o slow_request_us.");
}

void write_keys(const SampledFigures& sampled, Exposition& page) {
  const KeyFigures& keys = sampled.keys;
  Singles(page)
      .add("key_samples_total", Counter, keys.samples, "Keys that were looked at.")
      .add("key_sample_ratio", Gauge,
           sampled.key_sample_every == 0 ? 0.0 : 1.0 / sampled.key_sample_every,
           "Of the commands with a key, the part whose key is looked at.");
  size_t shown = std::min(keys.keys.size(), kKeysInMetrics);
  while (shown > 0 && keys.keys[shown - 1].count < kLeastSamples) --shown;
  const auto write_shares = [&](std::string_view name, std::string_view help, auto value) {
    page.family(name, Gauge, help);
    for (size_t i = 0; i < shown; ++i) {
      page.sample(label("key", printable_key(keys.keys[i].key)),
                  value(share_of(keys.keys[i], keys)));
    }
  };
  write_shares("larder_hot_key_max_ratio",
               "The hottest keys: at most this share of the commands of the last minutes.",
               [](const Share& share) { return share.most; });
  write_shares("larder_hot_key_min_ratio",
               "The hottest keys: at least this share of the commands of the last minutes.",
               [](const Share& share) { return share.least; });

  const auto write_prefixes = [&](std::string_view name, std::string_view help,
                                  uint64_t PrefixFigures::*samples) {
    page.family(name, Counter, help);
    for (size_t i = 0; i < std::min(keys.prefixes.size(), kShownPrefixes); ++i) {
      const PrefixFigures& prefix = keys.prefixes[i];
      page.sample(label("prefix", printable_key(prefix.prefix)), prefix.*samples * kKeySampleEvery);
    }
  };
  write_prefixes("larder_prefix_hits_total", "Gets that hit, by key prefix, estimated.",
                 &PrefixFigures::hits);
  write_prefixes("larder_prefix_misses_total", "Gets that missed, by key prefix, estimated.",
                 &PrefixFigures::misses);
  write_prefixes("larder_prefix_sets_total", "Stores by key prefix, estimated.",
                 &PrefixFigures::sets);
  write_prefixes("larder_prefix_deletes_total", "Deletes by key prefix, estimated.",
                 &PrefixFigures::deletes);
}

}  // namespace

void write_larder_metrics(const StatsSources& sources, const SampledFigures& sampled,
                          Exposition& page) {
  write_engine(sources, page);
  write_requests(sources, page);
  write_latencies(sampled, page);
  write_keys(sampled, page);
}

}  // namespace larder::daemon
