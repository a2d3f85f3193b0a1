// SlowLog: the requests that took the server longer than -o slow_request_us, the last of them in
// memory and, at most one in some seconds, a line in the log.
//
// Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "daemon/latency.h"

namespace larder::daemon {

struct SlowRequest {
  int64_t unix_time = 0;
  uint64_t microseconds = 0;
  CommandKind kind = CommandKind::Other;
  uint32_t commands = 1;  // that were run and answered together, this one first
  std::string key;        // empty: it has none
};

class SlowLog {
 public:
  static constexpr size_t kKept = 128;

  void add(SlowRequest request) EXCLUDES(mutex_);
  // The latest first; `total` are all there ever were.
  std::vector<SlowRequest> latest(uint64_t& total) EXCLUDES(mutex_);
  void clear() EXCLUDES(mutex_);

 private:
  core::Mutex mutex_;
  std::deque<SlowRequest> requests_ GUARDED_BY(mutex_);  // the latest last
  uint64_t total_ GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::daemon
