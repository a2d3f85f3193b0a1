// ServerControl: what a command may ask of the process around the cache. Implemented by Server;
// tests of the executor bring their own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/units.h"
#include "daemon/settings.h"
#include "proto/reply.h"

namespace larder::daemon {

class Discovery;
class Emptied;
class EventLog;
class PrefixStats;
struct Tuning;
class Watchers;

class ServerControl {
 public:
  virtual ~ServerControl() = default;

  virtual const Settings& settings() const = 0;
  virtual int verbosity() const = 0;
  virtual void set_verbosity(int level) = 0;
  // Stops the server soon; the reply of the command may or may not still be sent.
  virtual void request_shutdown(bool graceful) = 0;

  // Cache seconds now, as sampled for this turn, and the unix time of cache second 0.
  virtual core::Seconds now() const = 0;
  virtual int64_t unix_time_of_zero() const = 0;
  // debugtime: freezes the clock (p), lets it run (r), or moves it. False in release builds.
  virtual bool debug_time(std::string_view argument) = 0;
  // What commands change and `stats settings` shows.
  virtual Tuning& tuning() = 0;
  // Has every worker make a pass, and so some upkeep, soon.
  virtual void wake_workers() = 0;
  // Runs Cache::flush when the clock passes `when`; an earlier pending one is replaced.
  virtual void schedule_flush(core::Seconds when) = 0;
  virtual void cancel_scheduled_flush() = 0;
  // To be told of a flush that has dropped all items.
  virtual Emptied& emptied() = 0;

  // Appends the rows; they read every worker's counters.
  virtual void stats_general(proto::StatList& rows) = 0;
  virtual void stats_settings(proto::StatList& rows) = 0;
  virtual void stats_conns(proto::StatList& rows) = 0;
  virtual void stats_larder(proto::StatList& rows) = 0;
  virtual void stats_items(proto::StatList& rows) = 0;
  virtual void stats_slabs(proto::StatList& rows) = 0;
  virtual void stats_sizes(proto::StatList& rows) = 0;
  virtual void stats_latency(proto::StatList& rows) = 0;
  virtual void stats_hot_keys(proto::StatList& rows) = 0;
  virtual void stats_prefixes(proto::StatList& rows) = 0;
  virtual void stats_reset() = 0;
  virtual PrefixStats& prefix_stats() = 0;

  // refresh_certs: empty if that went well, else the line to answer.
  virtual std::string refresh_certificates() = 0;
  // config get, set, delete; null where the commands are unknown.
  virtual Discovery* discovery() = 0;
  // Where commands tell what they did, and who wants to know.
  virtual EventLog& event_log() = 0;
  virtual Watchers& watchers() = 0;
};

}  // namespace larder::daemon
