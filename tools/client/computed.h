// get_or_compute: a value from the cache, or computed by one of all the clients that want it.
//
// Who misses first wins: the server makes an empty item and tells everybody else that somebody is
// at it (meta's vivify, recache and win tokens: memcached's protocol.txt, "Anti-Dogpile" and "Stale
// cache"). The winner computes and stores with the version that it was given, so that what somebody
// deletes meanwhile stays deleted. The others get the old value where there is one, or wait. Keys
// that are computed so are to be read so: to a plain get the empty item is an empty value.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tools/client/result.h"

namespace larder::client {

// Called in the thread that asked, at most once, without a bound in time. An error goes to that
// caller; the next one who asks computes. If it throws, that is so too, and the exception passes.
using Compute = std::function<Result<std::string>()>;

struct ComputeOptions {
  uint32_t client_flags = 0;
  // How long a winner may take; after that another one may win. At least 1.
  uint32_t compute_seconds = 10;
  // A value that has less than so long to live is computed anew by one client, while the others go
  // on with the one that is there; 0: only when it is gone.
  uint32_t refresh_seconds = 0;
  // Whether others may be given a value that was invalidated (Operation::invalidate) and is being
  // computed; else they wait as on a miss.
  bool accept_stale = true;
  // How long to wait for somebody else's value; beyond, Timeout. It comes on top of what the
  // requests themselves take. Empty: 2 s longer than compute_seconds, so that a win which got lost
  // costs a wait, not an error.
  std::optional<std::chrono::milliseconds> wait = {};
  // Between two looks while waiting, less up to a half by chance.
  std::chrono::milliseconds look{20};
  // Computes also if the node does not answer, and stores nothing; else that error is returned.
  bool compute_without_cache = true;
};

struct Computed {
  enum class From : uint8_t { Cache, Stale, Anew };

  std::string value;
  From from = From::Cache;
  // Anew only: why it was not stored; BadRequest where the server has no versions (memcached -C),
  // by which a value that is newer could be told. Empty also if somebody deleted or replaced it
  // meanwhile, which is not an error.
  std::optional<Error> not_stored;
};

}  // namespace larder::client
