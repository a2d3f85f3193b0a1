#include "daemon/stats_report.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "tests/support/figures.h"

namespace larder::daemon {
namespace {

using proto::StatList;
using test::words;

// memcached 1.6.45 with its default options, in order.
constexpr const char* kGeneralKeys =
    "pid uptime time version libevent pointer_size rusage_user rusage_system max_connections "
    "curr_connections total_connections rejected_connections connection_structures "
    "response_obj_oom response_obj_count response_obj_bytes read_buf_count read_buf_bytes "
    "read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta "
    "get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits "
    "decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses "
    "store_too_large store_no_memory auth_cmds auth_errors bytes_read bytes_written "
    "limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads "
    "conn_yields hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues "
    "slab_reassign_chunk_rescues slab_reassign_inline_reclaim slab_reassign_busy_items "
    "slab_reassign_busy_deletes slab_reassign_busy_nomem slab_reassign_last_busy_status "
    "slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts "
    "lru_maintainer_juggles malloc_fails log_worker_dropped log_worker_written "
    "log_watcher_skipped log_watcher_sent log_watchers unexpected_napi_ids round_robin_fallback "
    "bytes curr_items total_items slab_global_page_pool expired_unfetched evicted_unfetched "
    "evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked lrutail_reflocked "
    "moves_to_cold moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped";

constexpr const char* kSettingsKeys =
    "maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask "
    "shutdown_command growth_factor chunk_size num_threads num_threads_per_udp stat_key_prefix "
    "detail_enabled reqs_per_event cas_enabled tcp_backlog binding_protocol auth_enabled_sasl "
    "auth_enabled_ascii item_size_max maxconns_fast hashpower_init slab_reassign slab_automove "
    "slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler lru_crawler_sleep "
    "lru_crawler_tocrawl tail_repair_time flush_enabled dump_enabled hash_algorithm "
    "lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor "
    "temp_lru temporary_ttl idle_timeout watcher_logbuf_size worker_logbuf_size "
    "read_buf_mem_limit track_sizes inline_ascii_response ext_item_size ext_item_age ext_low_ttl "
    "ext_recache_rate ext_wbuf_size ext_compact_under ext_drop_under ext_max_sleep ext_max_frag "
    "slab_automove_freeratio ext_drop_unread num_napi_ids memory_file client_flags_size";

// What memcached has no row for.
constexpr const char* kOurSettingsKeys =
    " daemon coredumps user lock_memory pidfile large_pages watch_enabled http cluster_file "
    "cluster_set cluster_etcd cluster_name cluster_announce cluster_lease cluster_drain "
    "stalled_timeout lru "
    "sampling "
    "slow_request_us relaxed_privileges";

std::vector<std::string> keys(const StatList& rows) {
  std::vector<std::string> out;
  for (const auto& row : rows) out.push_back(row.first);
  return out;
}

std::map<std::string, std::string> by_key(const StatList& rows) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : rows) {
    INFO(key);
    CHECK(out.emplace(key, value).second);  // no key twice
  }
  return out;
}

struct Fixture : test::Figures {
  StatList general() const {
    StatList rows;
    append_general_stats(sources, rows);
    return rows;
  }
};

TEST_CASE("stats has memcached's keys in its order, 93 of them") {
  Fixture f;
  CHECK(keys(f.general()) == words(kGeneralKeys));
  CHECK(f.general().size() == 93);
}

TEST_CASE("options shape stats as they do in memcached") {
  Fixture f;
  f.sources.accepted.lru_crawler = false;
  f.sources.accepted.lru_maintainer = false;
  CHECK(f.general().size() == 84);
  f.settings.idle_timeout_seconds = 3;
  const std::vector<std::string> with_timeout = keys(f.general());
  CHECK(with_timeout.size() == 85);
  CHECK(std::count(with_timeout.begin(), with_timeout.end(), "idle_kicks") == 1);
  f.settings.maxconns_fast = false;
  f.sources.accepted.slab_reassign = false;
  CHECK(f.general().size() == 85 - 1 - 9);
}

TEST_CASE("with -Z stats and stats settings have memcached's keys of TLS in their places") {
  Fixture f;
  f.settings.tls.enabled = true;
  f.sources.tls = {4, 5, 6, 7};
  CHECK(f.general().size() == 93 + 3);
  f.settings.tls.session_cache = true;
  const StatList general = f.general();
  const auto after = [](const StatList& rows, std::string_view key) {
    return std::find_if(rows.begin(), rows.end(), [&](auto& row) { return row.first == key; }) + 1;
  };
  const StatList shown(after(general, "log_watchers"), after(general, "log_watchers") + 5);
  CHECK(shown == StatList{{"ssl_new_sessions", "4"},
                          {"ssl_handshake_errors", "5"},
                          {"ssl_proto_errors", "6"},
                          {"time_since_server_cert_refresh", "7"},
                          {"unexpected_napi_ids", "0"}});

  f.settings.tls.chain_cert = "/c";
  f.settings.tls.key = "/k";
  f.settings.tls.verify_mode = 3;
  f.settings.tls.ciphers = "ALL";
  StatList rows;
  append_settings_stats(f.sources, rows);
  const StatList settings(after(rows, "ext_drop_unread"), after(rows, "ext_drop_unread") + 12);
  CHECK(settings == StatList{{"ssl_enabled", "yes"},
                             {"ssl_chain_cert", "/c"},
                             {"ssl_key", "/k"},
                             {"ssl_verify_mode", "7"},
                             {"ssl_keyformat", "1"},
                             {"ssl_ciphers", "ALL"},
                             {"ssl_ca_cert", "NULL"},
                             {"ssl_wbuf_size", "16384"},
                             {"ssl_session_cache", "yes"},
                             {"ssl_kernel_tls", "no"},
                             {"ssl_min_version", "tlsv1.2"},
                             {"num_napi_ids", "0"}});
}

TEST_CASE("stats sums what the workers count and shows what the server knows") {
  Fixture f;
  f.workers[0].get_cmds.add(3);
  f.workers[1].get_cmds.add(4);
  f.workers[0].classes[1].get_hits.add(2);
  f.workers[1].classes[7].get_hits.add(3);
  f.workers[1].bytes_read.add(99);
  f.store("a", "1");
  f.store("b", "1");
  f.sources.pid = 77;
  f.sources.uptime_seconds = 5;
  f.sources.unix_time = 1700000005;
  f.sources.user_time = {3, 45};
  f.sources.libevent_version = "2.1.12-stable";
  f.sources.connections.curr = 6;
  f.sources.connections.accepting = false;
  f.sources.backlog_bytes = 1234;
  const auto stats = by_key(f.general());
  CHECK(stats.at("cmd_get") == "7");
  CHECK(stats.at("get_hits") == "5");
  CHECK(stats.at("bytes_read") == "99");
  CHECK(stats.at("curr_items") == "2");
  CHECK(stats.at("total_items") == "2");
  CHECK(std::stoull(stats.at("bytes")) == 2 * (12 + 1 + 1));
  CHECK(stats.at("pid") == "77");
  CHECK(stats.at("uptime") == "5");
  CHECK(stats.at("time") == "1700000005");
  CHECK(stats.at("version") == "1.6.45");
  CHECK(stats.at("libevent") == "2.1.12-stable");
  CHECK(stats.at("pointer_size") == "64");
  CHECK(stats.at("rusage_user") == "3.000045");
  CHECK(stats.at("curr_connections") == "6");
  CHECK(stats.at("accepting_conns") == "0");
  CHECK(stats.at("response_obj_bytes") == "1234");
  CHECK(stats.at("limit_maxbytes") == std::to_string(16 << 20));
  CHECK(stats.at("slab_reassign_last_busy_status") == "none");
  CHECK(std::stoull(stats.at("hash_bytes")) > 0);
}

TEST_CASE("stats settings has memcached's keys in its order") {
  Fixture f;
  StatList rows;
  append_settings_stats(f.sources, rows);
  CHECK(keys(rows) == words(std::string(kSettingsKeys) + kOurSettingsKeys));
  const auto plain = by_key(rows);
  CHECK(plain.at("maxbytes") == std::to_string(16 << 20));
  CHECK(plain.at("maxconns") == "1024");
  CHECK(plain.at("tcpport") == "11211");
  CHECK(plain.at("inter") == "NULL");
  CHECK(plain.at("domain_socket") == "NULL");
  CHECK(plain.at("umask") == "700");
  CHECK(plain.at("growth_factor") == "1.11");  // of 16 MiB
  CHECK(plain.at("binding_protocol") == "auto-negotiate");
  CHECK(plain.at("item_size_max") == "1048576");
  CHECK(plain.at("slab_automove_freeratio") == "0.010");
  CHECK(plain.at("hash_algorithm") == "xxh3");
  CHECK(plain.at("client_flags_size") == "4");

  f.settings.listen = {"127.0.0.1", "[::1]:22"};
  f.settings.unix_socket = "/tmp/s";
  f.settings.unix_mode = 0770;
  f.settings.protocol = Settings::Protocol::Ascii;
  f.settings.evict = false;
  f.settings.cas = false;
  f.sources.accepted.lru_crawler = false;
  f.sources.tcp_port = 4711;
  f.sources.verbosity = 2;
  rows.clear();
  append_settings_stats(f.sources, rows);
  const auto other = by_key(rows);
  CHECK(other.at("inter") == "127.0.0.1,[::1]:22");
  CHECK(other.at("num_threads_per_udp") == "1");
  CHECK(other.at("domain_socket") == "/tmp/s");
  CHECK(other.at("umask") == "770");
  CHECK(other.at("binding_protocol") == "ascii");
  CHECK(other.at("evictions") == "off");
  CHECK(other.at("cas_enabled") == "no");
  CHECK(other.at("lru_crawler") == "no");
  CHECK(other.at("tcpport") == "4711");
  CHECK(other.at("verbosity") == "2");
}

TEST_CASE("stats items and slabs describe each class that is used") {
  Fixture f;
  StatList rows;
  append_items_stats(f.sources, rows);
  CHECK(rows.empty());
  append_slabs_stats(f.sources, rows);
  CHECK(keys(rows) == words("active_slabs total_malloced"));
  CHECK(by_key(rows).at("active_slabs") == "0");
  CHECK(by_key(rows).at("total_malloced") == "0");

  f.store("small", "1");
  f.store("other", "1");
  f.store("wide", std::string(5000, 'x'));
  rows.clear();
  append_items_stats(f.sources, rows);
  REQUIRE(rows.size() == 2 * 28);
  const std::string first = rows[0].first.substr(0, rows[0].first.rfind(':') + 1);
  CHECK(first.substr(0, 6) == "items:");
  std::vector<std::string> names;
  for (const std::string& name :
       words("number number_hot number_warm number_cold age_hot age_warm age mem_requested evicted "
             "evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched "
             "evicted_unfetched evicted_active crawler_reclaimed crawler_items_checked "
             "lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims "
             "hits_to_hot hits_to_warm hits_to_cold hits_to_temp")) {
    names.push_back(first + name);
  }
  const std::vector<std::string> all = keys(rows);
  CHECK(std::vector<std::string>(all.begin(), all.begin() + 28) == names);
  const auto items = by_key(rows);
  CHECK(items.at(first + "number") == "2");
  CHECK(items.at(first + "number_cold") == "2");
  CHECK(std::stoull(items.at(first + "mem_requested")) == 2 * (12 + 5 + 1));

  f.sources.accepted.lru_maintainer = false;
  rows.clear();
  append_items_stats(f.sources, rows);
  CHECK(rows.size() == 2 * 14);
  f.sources.accepted.lru_maintainer = true;
  f.sources.accepted.temp_lru = true;
  rows.clear();
  append_items_stats(f.sources, rows);
  CHECK(rows.size() == 2 * 29);

  const uint32_t size_class = static_cast<uint32_t>(std::stoul(first.substr(6))) - 1;
  f.workers[0].classes[size_class].get_hits.add(4);
  f.workers[1].classes[size_class].set_cmds.add(2);
  rows.clear();
  append_slabs_stats(f.sources, rows);
  REQUIRE(rows.size() == 2 * 15 + 2);
  const std::string number = std::to_string(size_class + 1) + ":";
  names.clear();
  for (const std::string& name :
       words("chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks "
             "free_chunks_end get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval "
             "touch_hits")) {
    names.push_back(number + name);
  }
  const std::vector<std::string> slab_keys = keys(rows);
  CHECK(std::vector<std::string>(slab_keys.begin(), slab_keys.begin() + 15) == names);
  const auto slabs = by_key(rows);
  CHECK(slabs.at(number + "used_chunks") == "2");
  CHECK(slabs.at(number + "get_hits") == "4");
  CHECK(slabs.at(number + "cmd_set") == "2");
  CHECK(std::stoul(slabs.at(number + "chunk_size")) >= 12 + 5 + 1);
  CHECK(slabs.at("active_slabs") == "2");
  CHECK(std::stoull(slabs.at("total_malloced")) >= 2 * 32768);
  CHECK(std::stoull(slabs.at("total_malloced")) % 32768 == 0);
}

TEST_CASE("stats conns tells listeners, clients and UDP ports apart") {
  StatList rows;
  append_conns_stats({{26, "tcp:127.0.0.1:11211", "", "conn_listening", 7, false},
                      {27, "tcp:127.0.0.1:50000", "tcp:127.0.0.1:11211", "conn_read", 0, false},
                      {28, "udp:127.0.0.1:11211", "", "conn_read", 3, true}},
                     rows);
  CHECK(rows == StatList{{"26:addr", "tcp:127.0.0.1:11211"},
                         {"26:state", "conn_listening"},
                         {"26:secs_since_last_cmd", "7"},
                         {"27:addr", "tcp:127.0.0.1:50000"},
                         {"27:listen_addr", "tcp:127.0.0.1:11211"},
                         {"27:state", "conn_read"},
                         {"27:secs_since_last_cmd", "0"},
                         {"28:UDP", "UDP"},
                         {"28:addr", "udp:127.0.0.1:11211"},
                         {"28:state", "conn_read"},
                         {"28:secs_since_last_cmd", "3"}});
}

TEST_CASE("stats sizes walks the cache only if it may") {
  Fixture f;
  f.store("a", std::string(100, 'x'));
  f.store("b", std::string(100, 'x'));
  f.store("c", std::string(3000, 'x'));
  StatList rows;
  append_sizes_stats(f.cache, f.settings, rows);
  CHECK(rows == StatList{{"sizes_status", "disabled"}});
  f.settings.track_sizes = true;
  rows.clear();
  append_sizes_stats(f.cache, f.settings, rows);
  CHECK(rows == StatList{{"128", "2"}, {"3040", "1"}});  // 12 + key + value, up to the next 32
}

TEST_CASE("stats larder shows what memcached has no name for") {
  Fixture f;
  f.store("a", "1");
  f.workers[1].rests_for_readers.add(3);
  StatList rows;
  append_larder_stats(f.sources, rows);
  const auto stats = by_key(rows);
  CHECK(stats.at("larder_version") == LARDER_VERSION);
  CHECK(stats.at("workers") == "2");
  CHECK(stats.at("items") == "1");
  CHECK(stats.at("shards") == std::to_string(f.cache.shard_count()));
  CHECK(stats.at("page_bytes") == "32768");
  CHECK(stats.at("overdraft_bytes") == "0");
  CHECK(stats.at("overdraft_peak_bytes") == "0");
  CHECK(stats.at("overdraft_limit_bytes") == std::to_string(4 << 20));
  CHECK(stats.at("rests_for_readers") == "3");
  CHECK(stats.contains("reader_scans"));
  CHECK(stats.at("draining") == "0");
  CHECK(std::stoull(stats.at("pages_free")) < std::stoull(stats.at("pages_total")));
}

TEST_CASE("a reset takes back what has happened, not how things stand") {
  Fixture f;
  f.workers[0].get_cmds.add(3);
  f.workers[0].meta_cmds.add(3);
  f.workers[0].classes[3].cas_badval.add(3);
  f.workers[0].response_count.add(2);
  f.workers[0].read_buffer_count.add(2);
  reset_worker_stats(f.workers[0]);
  CHECK(f.workers[0].get_cmds.get() == 0);
  CHECK(f.workers[0].meta_cmds.get() == 0);
  CHECK(f.workers[0].classes[3].cas_badval.get() == 0);
  CHECK(f.workers[0].response_count.get() == 2);
  CHECK(f.workers[0].read_buffer_count.get() == 2);
}

}  // namespace
}  // namespace larder::daemon
