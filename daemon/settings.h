// Settings: everything an operator can choose, with defaults and units.
//
// Filled from the command line (command_line.h) and immutable once the server runs: what a command
// changes at run time (verbosity, memory limit) is kept by Server and Cache.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/cache.h"

namespace larder::daemon {

// Exit codes as memcached's start-up uses them (sysexits.h; 1 where it uses 1).
enum class ExitCode : int {
  Failure = 1,
  Usage = 64,
  NoUser = 67,
  OsError = 71,
};

// Something on the command line, or the machine it meets, does not allow to start. what() is one
// sentence for the operator that names the option and the value.
class SettingsError : public std::runtime_error {
 public:
  SettingsError(ExitCode code, const std::string& sentence)
      : std::runtime_error(sentence), exit_code(static_cast<int>(code)) {}
  const int exit_code;
};

struct Settings {
  // Network.
  int port = 11211;  // -p; 0 off, -1 any free port
  bool port_given = false;
  std::vector<std::string> listen;  // -l, each as listen_address.h says; empty: any address
  int udp_port = 0;              // -U; 0 off, -1 any free port. Without -p it is the TCP port, too
  std::string unix_socket;       // -s; turns TCP off unless -p is given
  unsigned unix_mode = 0700;     // -a, octal
  int backlog = 1024;            // -b
  int max_connections = 1024;    // -c
  bool maxconns_fast = true;     // -o maxconns_fast / no_maxconns_fast
  int idle_timeout_seconds = 0;  // -o idle_timeout; 0 off
  uint32_t stalled_timeout_seconds = 0;  // -o stalled_timeout; 0 off
  enum class Protocol { Auto, Ascii, Binary } protocol = Protocol::Auto;  // -B
  bool protocol_given = false;
  std::string auth_file;  // -Y; empty: none. Ascii only
  bool sasl = false;      // -S; binary only

  // TLS.
  struct Tls {
    bool enabled = false;    // -Z: all TCP listeners but those with "notls:"
    std::string chain_cert;  // file, PEM; -o ssl_chain_cert, as the following are -o ssl_*
    std::string key;         // file
    int key_format = 1;      // as OpenSSL counts: 1 PEM, 2 DER
    int verify_mode = 0;     // client certificates: 0 no, 1 asked for, 2 required, 3 once
    std::string ciphers;     // up to TLS 1.2; empty: OpenSSL's choice
    std::string ca_cert;     // file, PEM, of those who sign client certificates; or empty
    uint32_t write_buffer_bytes = 16u << 10;
    bool session_cache = false;
    int min_version = 2;  // 0 TLS 1.0 to 3 TLS 1.3

    // verify_mode as OpenSSL's bits: ask for a certificate, fail without one, ask once.
    int verify_flags() const noexcept {
      constexpr int kFlags[] = {0, 1, 1 | 2, 1 | 2 | 4};
      return kFlags[verify_mode];
    }
  } tls;

  // Work.
  int threads = 4;              // -t
  int requests_per_event = 20;  // -R; not given: as long as 20 take memcached
  bool requests_per_event_given = false;
  uint64_t buffer_limit_bytes = 64u << 20;  // cap of held replies and backlogs, all connections;
                                            // -o read_buf_mem_limit

  // Memory.
  uint64_t memory_bytes = 64ull << 20;  // -m, MiB on the command line
  int memory_percent = 0;               // -m N%: what memory_bytes is made of; 0: not given so
  bool memory_auto = false;             // -m auto: likewise
  uint32_t item_size_max = 1u << 20;    // -I
  double growth_factor = 0;             // -f; 0: chosen from -m
  uint32_t min_item_bytes = 0;          // -n; 0: not given
  bool evict = true;                    // -M clears it
  core::EvictionOrder eviction_order = core::EvictionOrder::Density;  // -o lru
  bool cas = true;                                                    // -C clears it
  bool large_pages = false;                                           // -L
  bool lock_memory = false;                                           // -k
  std::string memory_file;   // -e: holds the items over a restart; empty: none
  bool track_sizes = false;  // -o track_sizes: `stats sizes` may walk the cache

  // Process.
  std::string config_file;               // --config; empty: none
  bool daemonize = false;                // -d
  std::string pid_file;                  // -P
  std::string user;                      // -u
  bool core_dumps = false;               // -r
  int verbosity = 0;                     // -v, -vv, -vvv
  bool allow_shutdown = false;           // -A
  bool allow_flush = true;               // -F clears it
  std::string stats_prefix = ":";        // -D, one character
  bool stats_detail = false;             // -D given: `stats detail` counts from the start
  bool allow_dumps = true;               // -X clears it: cachedump and detail
  bool allow_watch = true;               // -W clears it
  std::string cluster_file;              // --cluster-file; empty: none
  bool allow_cluster_set = false;        // --enable-cluster-set: config set and delete
  std::string cluster_etcd;              // --cluster-etcd, host:port,...; empty: none
  std::string cluster_name = "default";  // --cluster-name: of the fleet, in etcd
  std::string cluster_announce;          // --cluster-announce, host[|ip]:port
  int cluster_lease_seconds = 10;        // --cluster-lease
  // --cluster-drain; 0: none. Clients of ElastiCache ask for the list once a minute.
  int cluster_drain_seconds = 65;
  unsigned watcher_logbuf_bytes = 256u << 10;  // -o watcher_logbuf_size: what waits for a watcher
  unsigned worker_logbuf_bytes = 64u << 10;    // -o worker_logbuf_size: events of one thread
  std::string http;                            // --http, address:port of metrics; empty: none
  bool sampling = true;             // -o no_sampling clears it: no latencies, hot keys, prefixes
  uint32_t slow_request_us = 0;     // -o slow_request_us: what takes longer is noted; 0 off
  bool relaxed_privileges = false;  // -o relaxed_privileges: nothing here is restricted

  // Options for an engine that is not ours. They are checked and accepted, since existing setups
  // pass them, and `stats` and `stats settings` show what memcached would.
  struct Accepted {
    int hashpower_init = 0;
    bool slab_reassign = true;
    int slab_automove = 1;
    double slab_automove_ratio = 0.8;
    unsigned slab_automove_window = 10;
    double slab_automove_freeratio = 0.01;
    unsigned slab_chunk_max_bytes = 512u << 10;
    bool slab_chunk_max_given = false;
    std::vector<uint32_t> slab_sizes;
    bool lru_crawler = true;
    int lru_crawler_sleep_us = 100;
    uint32_t lru_crawler_tocrawl = 0;
    bool lru_maintainer = true;
    bool lru_segmented = true;
    int hot_lru_pct = 20;
    int warm_lru_pct = 40;
    double hot_max_factor = 0.2;
    double warm_max_factor = 2.0;
    bool temp_lru = false;
    unsigned temporary_ttl = 61;
    int tail_repair_time = 0;
  } accepted;
  std::vector<std::string> remarks;  // sentences for the log: what was given and does nothing
};

// How many workers serve UDP on each address: all of them if there is one.
int workers_per_udp_address(const Settings&) noexcept;

// What the engine needs of the settings.
core::CacheConfig cache_config(const Settings&);

}  // namespace larder::daemon
