// RestartState: what the server knows beside the cache that has to outlast a restart (-e): which
// second it was, here and on the wall, a flush_all that is still to come, and what tells whether
// the items are those that the list of nodes stands for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/units.h"

namespace larder::daemon {

struct RestartState {
  core::Seconds now = 0;         // on the cache's clock, at the stop
  int64_t unix_time = 0;         // the same moment on the wall
  core::Seconds flush_when = 0;  // of a scheduled flush_all; 0: none
  core::Seconds flushed_at = 0;  // what `stats` shows of the latest
  // Of the process, and of the list of nodes that it knew last (--cluster-etcd). 0: unknown.
  uint64_t incarnation = 0;
  uint64_t list_version = 0;

  std::string to_bytes() const;
  // Nothing if that is not what to_bytes() wrote.
  static std::optional<RestartState> from_bytes(std::string_view bytes);
};

}  // namespace larder::daemon
