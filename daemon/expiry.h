// Expiries: from what clients say to seconds on the cache's clock, and back.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/units.h"
#include "proto/command.h"

namespace larder::daemon {

// 0 never; up to 30 days from now; above that a unix time; negative, or past: already expired
// (memcached's protocol.txt, "Expiration times"). The binary protocol sends the same 32 bits, but
// unsigned.
//
// unix_time_of_zero  when the cache's clock was 0
core::Seconds expiry_from(int32_t exptime, proto::Dialect dialect, core::Seconds now,
                          int64_t unix_time_of_zero) noexcept;

// What a client is told: seconds left, -1 for never. If the time has already passed (a touch into
// the past) it wraps at 2^32, as memcached's does.
int64_t ttl_of(core::Seconds expiry, core::Seconds now) noexcept;

// What the flags T and N of a meta command set.
struct NewExpiries {
  bool touch = false;  // T given
  core::Seconds touch_expiry = 0;
  bool created = false;  // N given and the item is new
  core::Seconds vivify_expiry = 0;
};

struct ExpirySteps {
  core::Seconds at_end;      // what the item is left with
  core::Seconds at_ttl;      // what `t` shows
  core::Seconds at_recache;  // what R compares with
};

// Meta flags act in the order in which they stand: `t` shows the time as the T and N before it left
// it, R compares with it, and of T and N the later wins.
//
// flags   the flags section of the line
// before  the item's expiry before the command, never for one that it creates
ExpirySteps walk_expiry(std::string_view flags, core::Seconds before,
                        const NewExpiries& change) noexcept;

}  // namespace larder::daemon
