// What `stats` and its sub-commands answer: memcached 1.6.45's keys, in its order, with our
// figures.
//
// Server gathers the sources and calls these; they append rows and read nothing else, so that tests
// can hand in what they like. Any thread: counters are read relaxed, core's totals lock by
// themselves. What each of memcached's names means for our engine: docs/statistics.md.
#pragma once

#include <sys/time.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/cache.h"
#include "daemon/settings.h"
#include "daemon/stats.h"
#include "proto/reply.h"

namespace larder::daemon {

// Connections and listeners, filled in by Server at the time of the call.
struct ConnectionCounters {
  uint64_t curr = 0;                 // open client connections
  uint64_t total = 0;                // accepted since start
  uint64_t structures = 0;           // Connection objects alive or kept for reuse
  uint64_t rejected = 0;             // turned away because of -c
  uint64_t listen_disabled_num = 0;  // how often accepting was paused because of -c or EMFILE
  uint64_t time_in_listen_disabled_us = 0;
  bool accepting = true;
  uint64_t reserved_fds = 0;  // descriptors kept for ourselves: listeners, event bases, mailboxes
};

// What became of events for `watch`, likewise.
struct EventCounters {
  uint64_t written = 0;  // by the threads in which they happened
  uint64_t dropped = 0;  // there, for want of room
  uint64_t sent = 0;     // lines put into a watcher's buffer
  uint64_t skipped = 0;  // for want of room there
  uint64_t watchers = 0;
};

// One socket, for `stats conns`.
struct ConnectionRow {
  int fd = -1;
  std::string addr;         // peer as "tcp:127.0.0.1:57032", "tcp6:[::1]:57032", "unix:/path"; of a
                            // listener the address it listens on
  std::string listen_addr;  // of the listener that accepted it; empty: this row is a listener
  std::string state;        // memcached's word: conn_listening, conn_read, conn_nread, ...
  uint64_t secs_since_last_cmd = 0;
  bool udp = false;  // a worker's datagram socket; idle, it shows its own address alone
};

// Of TLS connections; shown with -Z.
struct TlsFigures {
  uint64_t new_sessions = 0;  // shown with -o ssl_session_cache
  uint64_t handshake_errors = 0;
  uint64_t protocol_errors = 0;
  uint64_t seconds_since_refresh = 0;  // of the certificates
};

// What clients have the server hold, in bytes: buffer_budget.h. The limit of copies is
// Settings::buffer_limit_bytes.
struct BufferFigures {
  uint64_t copies = 0;
  uint64_t pinned = 0;
  uint64_t pinned_limit = 0;
  uint64_t strangers = 0;
  uint64_t strangers_limit = 0;
};

// Of `config get cluster`.
struct DiscoveryFigures {
  uint64_t version = 0;  // 0: there is no list
  size_t nodes = 0;
  bool etcd_connected = false;
  bool draining = false;  // --cluster-drain
  uint64_t incarnation = 0;
  std::optional<std::chrono::milliseconds> emptied_ago{};  // emptied.h
};

// The cache, settings and workers must be set; the rest has a value that tells nothing.
struct StatsSources {
  const core::Cache* cache = nullptr;
  const Settings* settings = nullptr;
  Settings::Accepted accepted;  // as in force: commands change what the settings began with
  std::vector<const WorkerStats*> workers;
  ConnectionCounters connections;
  TlsFigures tls;
  EventCounters events;
  DiscoveryFigures discovery;
  BufferFigures buffers;

  core::Seconds now = core::kFirstSecond;  // on the cache's clock
  int pid = 0;
  uint64_t uptime_seconds = 0;
  int64_t unix_time = 0;  // now
  timeval user_time{};    // getrusage(RUSAGE_SELF)
  timeval system_time{};
  std::string libevent_version;  // event_get_version()
  int verbosity = 0;             // in force; `verbosity` changes it
  bool detail_enabled = false;   // likewise; `stats detail on`
  uint64_t oldest_seconds = 0;   // cache seconds of the latest flush_all, 0 if none was
  uint64_t crawler_starts = 0;   // crawls and dumps asked for
  uint32_t dumps_running = 0;
  int tcp_port = 0;  // really bound (with -p -1 the one that was found)
  int udp_port = 0;  // likewise, 0 without UDP

  // Buffers of connections, all workers. The cap of what is held or backlogged is
  // Settings::buffer_limit_bytes.
  uint64_t backlog_bytes = 0;  // replies that slow clients have not taken yet
  uint64_t read_buffers = 0;   // windows in existence, lent and free
  uint64_t read_buffer_bytes = 0;
  uint64_t read_buffer_bytes_free = 0;
  uint64_t read_buffer_oom = 0;
};

// Of all workers; of those of a class, or of all classes.
uint64_t sum(const StatsSources&, core::Counter WorkerStats::*);
uint64_t sum(const StatsSources&, uint32_t size_class, core::Counter ClassStats::*);
uint64_t sum(const StatsSources&, core::Counter ClassStats::*);

void append_general_stats(const StatsSources&, proto::StatList& rows);   // stats
void append_settings_stats(const StatsSources&, proto::StatList& rows);  // stats settings
void append_items_stats(const StatsSources&, proto::StatList& rows);     // stats items
void append_slabs_stats(const StatsSources&, proto::StatList& rows);     // stats slabs
void append_conns_stats(const std::vector<ConnectionRow>&, proto::StatList& rows);  // stats conns
// stats sizes. Walks the cache, hence not const; `sizes_status disabled` unless -o track_sizes.
void append_sizes_stats(core::Cache&, const Settings&, proto::StatList& rows);
// stats larder: our own figures, for which memcached has no name.
void append_larder_stats(const StatsSources&, proto::StatList& rows);

// Sets every counter of one worker to 0. The worker may be counting meanwhile: an increment that
// races with it may survive.
void reset_worker_stats(WorkerStats&) noexcept;

}  // namespace larder::daemon
