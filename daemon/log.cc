#include "daemon/log.h"

#include <unistd.h>

#include <chrono>
#include <string>

namespace larder::daemon {
namespace {

// Relaxed: a change is seen a little later elsewhere, which nobody can tell.
std::atomic<int> verbosity_in_force{0};

int64_t seconds_now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

void write_line(std::string_view sentence, uint64_t left_out) {
  std::string line = "larderd: ";
  line += sentence;
  if (left_out != 0) line += " (and " + std::to_string(left_out) + " times more before this)";
  line += '\n';
  // One call, so that lines of several threads do not mix. If stderr is gone there is nobody to
  // tell.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

void set_log_verbosity(int verbosity) noexcept {
  verbosity_in_force.store(verbosity, std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) noexcept {
  return static_cast<int>(level) <= verbosity_in_force.load(std::memory_order_relaxed);
}

void log(LogLevel level, std::string_view sentence) noexcept {
  if (log_enabled(level)) write_line(sentence, 0);
}

void log(LogLevel level, LogSite& site, std::string_view sentence) noexcept {
  if (!log_enabled(level)) return;
  const int64_t now = seconds_now();
  int64_t next = site.next_seconds.load(std::memory_order_relaxed);
  // Of several threads the one that moves the time on writes.
  if (now < next || !site.next_seconds.compare_exchange_strong(next, now + kLogRepeatSeconds,
                                                               std::memory_order_relaxed)) {
    site.left_out.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  write_line(sentence, site.left_out.exchange(0, std::memory_order_relaxed));
}

}  // namespace larder::daemon
