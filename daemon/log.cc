#include "daemon/log.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdio>
#include <iterator>
#include <utility>

#include "core/mutex.h"

namespace larder::daemon {
namespace {

// Relaxed: a change is seen a little later elsewhere, which nobody can tell.
std::atomic<int> verbosity_in_force{0};

int64_t seconds_now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

core::Mutex stderr_mutex;  // from the look whether stderr takes a line to its end
uint64_t lost GUARDED_BY(stderr_mutex) = 0;

// A pipe that poll(2) calls writable takes so much without a wait.
constexpr size_t kMostLineBytes = PIPE_BUF - 256;

bool stderr_takes_a_line() noexcept {
  pollfd out{STDERR_FILENO, POLLOUT, 0};
  return ::poll(&out, 1, 0) != 0;  // an error is writev's
}

// Allocates nothing: that memory ran out may be what is to be said. Waits for nobody: where stderr
// is a pipe or a terminal that is not read, the line is lost, and the next one says so.
void write_line(std::string_view sentence, uint64_t left_out) noexcept {
  constexpr std::string_view kStart = "larderd: ";
  sentence = sentence.substr(0, kMostLineBytes);
  char more[64] = "\n";
  size_t more_bytes = 1;
  if (left_out != 0) {
    const int n = std::snprintf(more, sizeof more, " (and %llu times more before this)\n",
                                static_cast<unsigned long long>(left_out));
    more_bytes = static_cast<size_t>(n);
  }
  const core::MutexLock lock(stderr_mutex);
  if (!stderr_takes_a_line()) {
    ++lost;
    return;
  }
  char before[96] = "";
  size_t before_bytes = 0;
  if (const uint64_t lines = std::exchange(lost, 0); lines != 0) {
    before_bytes = static_cast<size_t>(
        std::snprintf(before, sizeof before, "larderd: %llu lines are lost: stderr was not read\n",
                      static_cast<unsigned long long>(lines)));
  }
  const iovec parts[] = {{before, before_bytes},
                         {const_cast<char*>(kStart.data()), kStart.size()},
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
