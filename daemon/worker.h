// Worker: one thread, one event loop, its connections, and the upkeep of its shards.
//
// A pass of the event loop is a turn: it begins with the first callback that touches the cache and
// ends when the pass does. Public members say which thread may call them; the rest is the worker's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/cache.h"
#include "core/mutex.h"
#include "daemon/authority.h"
#include "daemon/buffer_budget.h"
#include "daemon/clock.h"
#include "daemon/connection.h"
#include "daemon/event_log.h"
#include "daemon/event_ptr.h"
#include "daemon/executor.h"
#include "daemon/mailbox.h"
#include "daemon/memory_ahead.h"
#include "daemon/meter.h"
#include "daemon/outbox.h"
#include "daemon/scheduled_flush.h"
#include "daemon/server_control.h"
#include "daemon/service.h"
#include "daemon/settings.h"
#include "daemon/stats.h"
#include "daemon/stats_report.h"
#include "daemon/tls.h"
#include "daemon/udp_port.h"
#include "daemon/watchers.h"

namespace larder::daemon {

// What a connection reads into; also the most input that it works on in one pass.
constexpr size_t kWindowBytes = 64 * 1024;

// What all workers share, owned by the server and alive as long as they are.
struct WorkerSurroundings {
  const Settings& settings;
  core::Cache& cache;
  const Clock& clock;
  ServerControl& control;
  ClientBuffers& buffers;
  ScheduledFlush& flush;
  MemoryAhead& memory_ahead;
  const Authority& authority;
  TlsContext* tls;  // null without -Z
  EventLog& event_log;
  Watchers& watchers;
  KeySamples& key_samples;
  SlowLog& slow_log;
  std::function<void()> connection_closed;  // called on the worker's thread
};

class Worker {
 public:
  // What the connection that is being served may use.
  struct Lent {
    std::array<char, kWindowBytes> window;
    Service::Buffers buffers;  // reached through a Service
    Outbox outbox;             // of connections served before in this pass
  };

  Worker(uint32_t id, const WorkerSurroundings& surroundings);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Before start(): a bound datagram socket to serve. Throws std::runtime_error.
  void serve_udp(Socket socket) {
    udp_ports_.push_back(std::make_unique<UdpPort>(*this, std::move(socket)));
  }

  // -- Any thread.
  void start();
  void serve(Socket socket, ListenerTraits traits);  // hands over an accepted socket
  void wake() noexcept;                              // makes it pass, and tend its shards
  void ask_to_stop();  // closes all connections after the current pass
  void join();

  WorkerStats& stats() noexcept { return stats_; }
  const WorkerStats& stats() const noexcept { return stats_; }
  LatencyHistograms& latencies() noexcept { return meter_.latencies(); }
  uint64_t beats() const noexcept { return beats_.get(); }  // grows as long as passes are made
  uint64_t connection_objects() const noexcept { return objects_.load(std::memory_order_relaxed); }
  // Appends a row for each connection and UDP port, for `stats conns`.
  void list_connections(core::Seconds now, std::vector<ConnectionRow>& rows);

  // -- The worker's thread: what its connections ask of it.
  void begin_turn() noexcept {
    if (!in_turn_) enter_turn();
  }
  core::Seconds now() const noexcept { return now_; }  // as sampled when the turn began
  uint32_t id() const noexcept { return id_; }
  int64_t unix_time_of_zero() const { return around_.clock.unix_time_of_zero(); }
  const Settings& settings() const noexcept { return around_.settings; }
  core::Cache& cache() noexcept { return around_.cache; }
  ClientBuffers& buffers() noexcept { return around_.buffers; }
  const Authority& authority() const noexcept { return around_.authority; }
  Executor& executor() noexcept { return executor_; }
  Meter& meter() noexcept { return meter_; }
  Lent& lent() noexcept { return lent_; }
  event_base* base() noexcept { return base_.get(); }
  // Numbers the passes, from 1; it wraps after 2^32 of them.
  uint32_t pass() const noexcept { return pass_; }

  // Ends the turn for as long as this object lives, if there is one and `may_leave` says that
  // nothing at hand points into the cache: around what takes its time. A worker that is held up
  // there keeps no memory from the others.
  class OutsideTurn {
   public:
    explicit OutsideTurn(Worker& worker, bool may_leave = true) noexcept
        : worker_(worker), left_(may_leave && worker.in_turn_) {
      if (left_) worker_.leave_turn();
    }
    ~OutsideTurn() {
      if (left_) worker_.return_to_turn();
    }
    OutsideTurn(const OutsideTurn&) = delete;
    OutsideTurn& operator=(const OutsideTurn&) = delete;

   private:
    Worker& worker_;
    const bool left_;
  };

  // Sends what waits in the outbox; outside the turn, unless the lent replies refer to the cache.
  // To be called before anything that takes its time.
  void send_waiting() noexcept;
  // When memory is short for want of ended turns (Cache::is_short_of_memory): takes what has come
  // free, and if nothing has, sleeps a little so that the workers whose turns have to end can run.
  // Once in a pass, whatever the number of connections; no sleep if the last one was in vain and
  // nothing has come free since, for the worker in the way may be held up for long.
  //
  // end_turn   ends the caller's turn and begins another; false: it cannot now
  void let_readers_end(const std::function<bool()>& end_turn);
  // The same in the middle of a copy that has just broken the turn and waits for memory; rests
  // once. False: the copy should be given up for this pass.
  bool let_copy_go_on();
  // Calls Connection::resume in the next pass, which does not wait for events.
  void resume_later(Connection& connection) { resume_.push_back(&connection); }
  // Calls Connection::go_on_with_answer when that has its answer, after a wake(): at the end of
  // that pass, or of the next one if the connection was served in that one.
  void wait_for_answer(Connection& connection) { waiting_.push_back(&connection); }
  // Takes a closed connection out of the books; it is deleted when the pass ends. Allocates
  // nothing.
  void retire(Connection& connection) noexcept;
  // Likewise, but its socket lives on with the watchers.
  void hand_over(Connection& connection, uint32_t streams);

 private:
  static void on_mailbox_event(int fd, short what, void* self);
  static void on_tick_event(int fd, short what, void* self);

  // A place in the list of connections that stays good while the list changes: a connection that
  // leaves moves it on. For lists that are shown a few rows at a time.
  class ListPlace {
   public:
    explicit ListPlace(Worker& worker);
    ~ListPlace();
    ListPlace(const ListPlace&) = delete;
    ListPlace& operator=(const ListPlace&) = delete;

    Connection* connection;  // null at the end; guarded by the worker's list_mutex_
    ListPlace* other;        // likewise

   private:
    Worker& worker_;
  };

  void run();
  // Sets how often ticks come from now on; `passed`: how many have since the last call.
  void choose_ticks(uint64_t passed);
  // Whether this pass waits for an event, though it may resume connections.
  bool may_wait(bool more_upkeep);
  void enter_turn() noexcept;
  void leave_turn() noexcept;
  // Sleeps for as long as it takes the system to run another worker.
  void rest_outside_turn();
  // Begins a turn in the place of one that was left in this pass, with its time.
  void return_to_turn() noexcept;
  void read_mail() noexcept;
  void adopt(Socket socket, ListenerTraits traits) noexcept;
  // False, or std::bad_alloc: there is no memory for it.
  bool begin_connection(Socket socket, ListenerTraits traits);
  bool tend() noexcept;  // whether upkeep is left over
  void resume_connections();
  void go_on_with_answers();
  void close_idle_connections();
  // Closes those whose memory another client needs more.
  void close_condemned(BufferBudget& budget) noexcept;
  void delete_closed() noexcept;
  void close_all_connections();
  // Out of all lists; it is deleted when the pass ends. Gives back its socket.
  Socket forget(Connection& connection) noexcept;
  // For those who watch connections come and go.
  void tell_arrival(int fd);
  void tell_close(const Connection& connection);

  const uint32_t id_;
  const WorkerSurroundings& around_;
  EventBasePtr base_;
  Mailbox mailbox_;
  EventPtr mailbox_event_;
  std::vector<std::unique_ptr<UdpPort>> udp_ports_;  // the same from start() on
  Socket ticks_;                                     // a timerfd: makes an idle worker pass
  EventPtr tick_event_;
  uint32_t tick_ms_;
  uint32_t passes_ = 0;              // that touched the cache, since the last tick
  uint32_t passes_in_vain_ = 0;      // in a row: all that was resumed waits for memory
  uint32_t ticks_without_gaps_ = 0;  // fast ones in a row: requests have stopped, or come quickly
  Counter beats_;                    // ticks that came
  WorkerStats stats_;
  Executor executor_;
  Meter meter_;
  Lent lent_;
  std::vector<char> tls_gather_;  // lent to TLS sessions

  core::Seconds now_ = core::kFirstSecond;
  uint32_t pass_ = 1;
  bool in_turn_ = false;
  bool answers_came_ = false;       // for some of `waiting_`
  bool walks_waiting_ = false;      // a connection that closes leaves a null there
  bool has_asked_readers_ = false;  // in this pass, to end their turns
  int rests_ = 0;                   // in this pass
  bool has_rested_in_vain_ = false;
  bool stopping_ = false;
  core::Seconds last_idle_check_ = 0;
  std::vector<Connection*> resume_;    // put off to the next pass, in order
  std::vector<Connection*> resuming_;  // put off to this one; null where one was closed meanwhile
  std::vector<Connection*> waiting_;   // for answers
  Connection* closed_ = nullptr;       // until the pass ends; linked by Connection::next_
  std::vector<Message> mail_;
  // Of those who came while somebody watched: one whose connection was reset has no address any
  // more.
  std::unordered_map<int, Endpoint> peers_;
  std::atomic<uint64_t> objects_{0};  // a figure

  // Changed by the worker only; others lock it to look (`stats conns`).
  core::Mutex list_mutex_;
  Connection* first_ GUARDED_BY(list_mutex_) = nullptr;
  ListPlace* places_ GUARDED_BY(list_mutex_) = nullptr;

  std::thread thread_;
};

}  // namespace larder::daemon
