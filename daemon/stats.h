// WorkerStats: what one worker counts. Written by that worker only with plain load and store (no
// locked instruction), read by any thread; sums over workers are what `stats` shows.
#pragma once

#include <array>
#include <cstdint>

#include "core/atomic.h"
#include "core/cache.h"

namespace larder::daemon {

using core::Counter;

// What memcached counts per slab class; `stats` shows the sums, `stats slabs` each.
struct ClassStats {
  Counter get_hits, set_cmds, delete_hits, incr_hits, decr_hits, cas_hits, cas_badval, touch_hits;
};

struct alignas(64) WorkerStats {
  Counter get_cmds, get_misses, get_expired, get_flushed;
  Counter touch_cmds, touch_misses;
  Counter set_cmds, delete_misses, incr_misses, decr_misses, cas_misses;
  Counter flush_cmds, meta_cmds;
  Counter store_too_large, store_no_memory;
  Counter auth_cmds, auth_errors;
  Counter conn_yields, idle_kicks, stalled_kicks;
  Counter rests_for_readers;  // sleeps for workers whose turns keep memory from coming free
  Counter connections_lost;   // for want of memory
  Counter passes;             // of the event loop
  Counter bytes_read, bytes_written;
  Counter response_count, response_bytes, response_oom;  // replies held for slow clients
  Counter read_buffer_count, read_buffer_bytes;
  Counter reply_buffer_not_empty;  // replies that were about to go to a client they are not for: 0
  std::array<ClassStats, core::kMaxClasses> classes;
};

}  // namespace larder::daemon
