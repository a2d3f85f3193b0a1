#include "daemon/exporter_metrics.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/figures.h"

namespace larder::daemon {
namespace {

using test::words;

// All metrics of memcached_exporter 0.16.0, less those about itself, without "memcached_". What
// ends in _total is a counter there, and so are kOtherCounters; the others are gauges.
constexpr const char* kNames =
    "up uptime_seconds time_seconds version process_user_cpu_seconds_total "
    "process_system_cpu_seconds_total read_bytes_total written_bytes_total current_connections "
    "max_connections connections_total connections_rejected_total connections_yielded_total "
    "connections_listener_disabled_total accepting_connections round_robin_fallback_total "
    "unexpected_napi_ids_total current_bytes limit_bytes malloced_bytes commands_total "
    "current_items items_total items_evicted_total items_reclaimed_total item_too_large_total "
    "item_no_memory_total direct_reclaims_total lru_crawler_enabled lru_crawler_sleep "
    "lru_crawler_to_crawl lru_crawler_maintainer_thread lru_crawler_hot_percent "
    "lru_crawler_warm_percent lru_crawler_hot_max_factor lru_crawler_warm_max_factor "
    "lru_crawler_starts_total lru_crawler_reclaimed_total lru_crawler_items_checked_total "
    "lru_crawler_moves_to_cold_total lru_crawler_moves_to_warm_total "
    "lru_crawler_moves_within_lru_total slab_current_items slab_items_age_seconds "
    "slab_items_crawler_reclaimed_total slab_items_evicted_total slab_items_evicted_nonzero_total "
    "slab_items_evicted_time_seconds slab_items_evicted_unfetched_total "
    "slab_items_expired_unfetched_total slab_items_outofmemory_total slab_items_reclaimed_total "
    "slab_items_tailrepairs_total slab_items_moves_to_cold slab_items_moves_to_warm "
    "slab_items_moves_within_lru slab_hot_items slab_warm_items slab_cold_items "
    "slab_temporary_items slab_hot_age_seconds slab_warm_age_seconds slab_lru_hits_total "
    "slab_chunk_size_bytes slab_chunks_per_page slab_current_pages slab_current_chunks "
    "slab_chunks_used slab_chunks_free slab_chunks_free_end slab_mem_requested_bytes "
    "slab_commands_total extstore_compact_lost_total extstore_compact_rescued_total "
    "extstore_compact_skipped_total extstore_pages_allocated_total extstore_pages_evicted_total "
    "extstore_pages_reclaimed_total extstore_pages_free extstore_pages_used "
    "extstore_objects_evicted_total extstore_objects_read_total extstore_objects_written_total "
    "extstore_objects_used extstore_bytes_evicted_total extstore_bytes_written_total "
    "extstore_bytes_read_total extstore_bytes_used extstore_bytes_fragmented extstore_bytes_limit "
    "extstore_io_queue_depth proxy_conn_requests_total proxy_conn_errors_total "
    "proxy_conn_oom_total proxy_req_active proxy_config_reloads_total "
    "proxy_config_reload_fails_total proxy_config_cron_runs_total proxy_config_cron_fails_total "
    "proxy_backend_total proxy_backend_marked_bad_total proxy_backend_failed "
    "proxy_request_failed_depth_total";

constexpr const char* kOtherCounters =
    "uptime_seconds slab_items_evicted_time_seconds slab_items_moves_to_cold "
    "slab_items_moves_to_warm slab_items_moves_within_lru slab_mem_requested_bytes "
    "extstore_bytes_used";

// A page taken apart: types and helps by family, values by name and labels as they stand.
struct Page {
  explicit Page(const std::string& text) {
    std::istringstream in(text);
    std::string family;
    for (std::string line; std::getline(in, line);) {
      INFO(line);
      if (line.starts_with("# HELP ")) {
        family = line.substr(7, line.find(' ', 7) - 7);
        CHECK(line.size() > 7 + family.size() + 1);
        CHECK_FALSE(types.contains(family));
      } else if (line.starts_with("# TYPE ")) {
        const std::vector<std::string> parts = words(line);
        REQUIRE(parts.size() == 4);
        CHECK(parts[2] == family);
        types[family] = parts[3];
      } else {
        const size_t blank = line.rfind(' ');
        const std::string sample = line.substr(0, blank);
        CHECK(sample.substr(0, sample.find('{')) == family);
        CHECK(values.emplace(sample, line.substr(blank + 1)).second);
      }
    }
  }
  std::map<std::string, std::string> types;
  std::map<std::string, std::string> values;
};

struct Fixture : test::Figures {
  Page page() const {
    Exposition exposition;
    write_exporter_metrics(sources, exposition);
    return Page(exposition.take());
  }
  std::string slab() const { return "slab=\"" + std::to_string(size_class + 1) + "\""; }

  const uint32_t size_class = store("k", "value");
};

TEST_CASE("every metric of the exporter is there, with its type, and no other") {
  const Page page = Fixture().page();
  const std::vector<std::string> others = words(kOtherCounters);
  const std::set<std::string> counters(others.begin(), others.end());
  std::set<std::string> expected;
  for (const std::string& name : words(kNames)) {
    INFO(name);
    const std::string full = "memcached_" + name;
    CHECK(expected.insert(full).second);
    REQUIRE(page.types.contains(full));
    const bool counter = name.ends_with("_total") || counters.contains(name);
    // The number of backends is not counted up, whatever it is called.
    const bool gauge = name == "proxy_backend_total";
    CHECK(page.types.at(full) == (counter && !gauge ? "counter" : "gauge"));
    const auto labelled = page.values.lower_bound(full + "{");
    const bool has_labelled =
        labelled != page.values.end() && labelled->first.starts_with(full + "{");
    CHECK(page.values.contains(full) != has_labelled);
  }
  for (const auto& [name, type] : page.types) {
    INFO(name);
    CHECK(expected.contains(name));
  }
}

TEST_CASE("commands have the exporter's labels, and a set is not counted for a cas") {
  Fixture f;
  f.workers[0].set_cmds.add(10);
  f.workers[0].cas_misses.add(2);
  f.workers[0].get_misses.add(7);
  f.workers[0].flush_cmds.add(1);
  ClassStats& counts = f.workers[0].classes[f.size_class];
  counts.set_cmds.add(8);
  counts.cas_hits.add(1);
  counts.cas_badval.add(3);
  counts.get_hits.add(5);
  const Page page = f.page();
  const auto value = [&](const std::string& labels) {
    return page.values.at("memcached_commands_total{" + labels + "}");
  };
  for (const char* command : {"get", "delete", "incr", "decr", "cas", "touch"}) {
    for (const char* status : {"hit", "miss"}) {
      value("command=\"" + std::string(command) + "\",status=\"" + status + "\"");
    }
  }
  CHECK(value(R"(command="get",status="hit")") == "5");
  CHECK(value(R"(command="get",status="miss")") == "7");
  CHECK(value(R"(command="cas",status="hit")") == "1");
  CHECK(value(R"(command="cas",status="miss")") == "2");
  CHECK(value(R"(command="cas",status="badval")") == "3");
  CHECK(value(R"(command="set",status="hit")") == "4");
  CHECK(value(R"(command="flush",status="hit")") == "1");

  const auto of_class = [&](const std::string& labels) {
    return page.values.at("memcached_slab_commands_total{" + f.slab() + "," + labels + "}");
  };
  for (const char* command : {"get", "delete", "incr", "decr", "cas", "touch", "set"}) {
    of_class("command=\"" + std::string(command) + "\",status=\"hit\"");
  }
  CHECK(of_class(R"(command="get",status="hit")") == "5");
  CHECK(of_class(R"(command="cas",status="badval")") == "3");
  CHECK(of_class(R"(command="set",status="hit")") == "4");
  for (const char* lru : {"hot", "warm", "cold", "temporary"}) {
    const std::string sample =
        "memcached_slab_lru_hits_total{" + f.slab() + ",lru=\"" + lru + "\"}";
    CHECK(page.values.at(sample) == (std::string(lru) == "cold" ? "5" : "0"));
  }
}

TEST_CASE("plain figures are those of stats, stats settings and stats slabs") {
  Fixture f;
  f.settings.max_connections = 77;
  f.sources.uptime_seconds = 12;
  f.sources.user_time = {3, 250'000};
  f.sources.connections.curr = 4;
  f.sources.accepted.lru_crawler = true;
  const Page page = f.page();
  const auto value = [&](const std::string& name) { return page.values.at("memcached_" + name); };
  CHECK(value("up") == "1");
  CHECK(value("uptime_seconds") == "12");
  CHECK(value("process_user_cpu_seconds_total") == "3.250000");
  CHECK(value("max_connections") == "77");
  CHECK(value("current_connections") == "4");
  CHECK(value("current_items") == "1");
  CHECK(value("items_evicted_total") == "0");  // and not the setting of that name
  CHECK(value("limit_bytes") != "0");
  CHECK(value("malloced_bytes") != "0");
  CHECK(value("lru_crawler_enabled") == "1");
  CHECK(value("version{version=\"1.6.45\"}") == "1");
  CHECK(value("slab_current_items{" + f.slab() + "}") == "1");
  CHECK(value("slab_chunks_used{" + f.slab() + "}") == "1");
  CHECK(value("slab_temporary_items{" + f.slab() + "}") == "0");
}

}  // namespace
}  // namespace larder::daemon
