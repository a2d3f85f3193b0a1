// Tuning: what `lru_crawler`, `slabs` and `lru` change while the server runs.
//
// Begins as the command line says (Settings::Accepted) and is shown by `stats settings`. Most of it
// is for an engine that is not ours: kept and shown, without effect (daemon/README.md, "The
// operator's commands"). Owned by Server. Any thread: each value stands for itself, relaxed.
#pragma once

#include <atomic>
#include <cstdint>

#include "daemon/settings.h"

namespace larder::daemon {

struct Tuning {
  explicit Tuning(const Settings::Accepted& start);

  // `start` with what is in force in its place.
  Settings::Accepted in_force(const Settings::Accepted& start) const;

  std::atomic<bool> crawler;
  std::atomic<uint32_t> crawler_sleep_us;
  std::atomic<uint32_t> crawler_tocrawl;
  std::atomic<uint32_t> automove;
  std::atomic<double> automove_ratio;
  std::atomic<double> automove_freeratio;
  std::atomic<uint32_t> automove_window;
  std::atomic<uint32_t> hot_percent;
  std::atomic<uint32_t> warm_percent;
  std::atomic<double> hot_factor;
  std::atomic<double> warm_factor;
  std::atomic<bool> segmented;
  std::atomic<bool> temp_lru;
  std::atomic<uint32_t> temporary_ttl;

  // Figures, not settings.
  std::atomic<uint64_t> crawler_starts{0};  // crawls and dumps since the start or `stats reset`
  std::atomic<uint32_t> dumps_running{0};
};

}  // namespace larder::daemon
