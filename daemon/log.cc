#include "daemon/log.h"

#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iterator>

namespace larder::daemon {
namespace {

// Relaxed: a change is seen a little later elsewhere, which nobody can tell.
std::atomic<int> verbosity_in_force{0};

int64_t seconds_now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

// Allocates nothing: that memory ran out may be what is to be said.
void write_line(std::string_view sentence, uint64_t left_out) noexcept {
  constexpr std::string_view kStart = "larderd: ";
  char more[64] = "\n";
  size_t more_bytes = 1;
  if (left_out != 0) {
    const int n = std::snprintf(more, sizeof more, " (and %llu times more before this)\n",
                                static_cast<unsigned long long>(left_out));
    more_bytes = static_cast<size_t>(n);
  }
  const iovec parts[] = {{const_cast<char*>(kStart.data()), kStart.size()},
                         {const_cast<char*>(sentence.data()), sentence.size()},
                         {more, more_bytes}};
  // One call, so that lines of several threads do not mix. If stderr is gone nobody reads it.
  [[maybe_unused]] const ssize_t written = ::writev(STDERR_FILENO, parts, std::size(parts));
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
