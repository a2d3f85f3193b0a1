// Watchers: the clients of `watch`, and the thread that shows them what happens.
//
// The thread exists from the first watcher on. It makes passes, 1 to 20 ms apart: takes the events
// out of the rings in the order of their numbers, spells each once, puts the line into the buffers
// of those who watch its stream, sends. It never waits for a client: what finds no room in a
// client's buffer is skipped, and the client is told how much before the next line ("skipped=3").
// Watchers of changes, which tell others what to believe, are told at once, and of what found no
// room in a ring as well.
//
// What a watcher sends is read and thrown away; when it has sent all, or is gone, it is closed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/mutex.h"
#include "core/units.h"
#include "daemon/event_log.h"
#include "daemon/socket.h"
#include "daemon/stats_report.h"

namespace larder::daemon {

class Watchers {
 public:
  static constexpr size_t kMost = 20;  // as in memcached

  // log           of which the thread becomes writer `writer`; outlives this
  // buffer_bytes  what may wait for one client
  // closed        called on the thread for each watcher that it closes
  Watchers(EventLog& log, uint32_t writer, size_t buffer_bytes, std::function<void()> closed);
  ~Watchers();  // stops
  Watchers(const Watchers&) = delete;
  Watchers& operator=(const Watchers&) = delete;

  // -- Any thread.
  enum class Admission : uint8_t { Granted, TooMany, NoThread };
  // Makes room for one more, who has to be added then.
  [[nodiscard]] Admission admit();
  // Says OK to the client and shows it what happens on these streams from now on. Without memory
  // the client is closed.
  void add(Socket client, uint32_t streams, core::Seconds now);
  // For `stats`, `stats conns`, `stats reset`.
  EventCounters counters() const;
  void list(core::Seconds now, std::vector<ConnectionRow>& rows) const;
  void reset_counters();

  // Shows what has happened so far, closes all, ends the thread. Nobody is added any more.
  void stop();

 private:
  struct Watcher {
    Socket socket;
    uint32_t streams = 0;
    uint64_t first_gid = 0;  // not shown what is older
    core::Seconds since = 0;
    std::string out;       // not sent yet
    uint64_t skipped = 0;  // since the last line
    bool blocked = false;  // took less than was there, in this pass
    bool gone = false;
  };

  void run();
  uint32_t pass();  // how many events there were
  // The same; what there is no memory for waits for the next pass.
  uint32_t pass_in_spare_memory() noexcept;
  void enlist(Socket client, uint32_t streams, core::Seconds now) EXCLUDES(mutex_);
  uint32_t show_events();
  // An empty line shows only how much was skipped, if anything was.
  void show(Watcher& watcher, std::string_view line);
  void note_lost_changes() noexcept;
  void send(Watcher& watcher);
  void throw_input_away(Watcher& watcher);
  void drop_those_gone();
  void want_what_is_watched() REQUIRES(mutex_);
  void wait(int milliseconds);

  EventLog& log_;
  const uint32_t writer_;
  const size_t buffer_bytes_;
  const std::function<void()> closed_;
  Socket wakeup_;  // an eventfd

  // Guards who is there. The rest of a watcher is the thread's own.
  mutable core::Mutex mutex_;
  std::vector<std::unique_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);
  size_t admitted_ GUARDED_BY(mutex_) = 0;
  std::thread thread_ GUARDED_BY(mutex_);

  std::vector<Watcher*> present_;  // of this pass, the thread's
  std::string line_;
  uint64_t lost_changes_ = 0;          // of all rings, as far as watchers have been told
  std::atomic<bool> stopping_{false};  // read after the wake-up that follows it
  core::Counter sent_, skipped_;
};

}  // namespace larder::daemon
