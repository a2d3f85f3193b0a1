// Log: sentences on stderr, for start-up, shutdown and trouble with the machine; never on the
// request path.
//
// Any thread. Each call site gives its own LogSite where trouble may repeat: then at most one line
// in `kLogRepeatSeconds` is written for it, and the next says how many were left out. A line is
// lost, and the next one says so, where stderr takes none at the moment: nobody waits for its
// reader.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace larder::daemon {

enum class LogLevel : int {
  Error = 0,    // always
  Warning = 0,  // always
  Info = 1,     // -v
  Debug = 2,    // -vv
};

constexpr int64_t kLogRepeatSeconds = 5;

// Static storage at the place that logs; zero-initialised.
struct LogSite {
  std::atomic<int64_t> next_seconds{0};
  std::atomic<uint64_t> left_out{0};
};

// What is written from now on: messages whose level is at most this (-v, `verbosity`).
void set_log_verbosity(int verbosity) noexcept;
bool log_enabled(LogLevel level) noexcept;

// Writes "larderd: <sentence>\n" in one writev(2). The sentence has no line break.
void log(LogLevel level, std::string_view sentence) noexcept;
void log(LogLevel level, LogSite& site, std::string_view sentence) noexcept;

}  // namespace larder::daemon
