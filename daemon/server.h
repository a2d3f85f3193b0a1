// Server: the cache, the workers around it, and the door.
//
//   Server server(settings);   reserves the cache's address space
//   server.listen();           binds; ports below 1024 need root until here
//   server.start();            starts the workers; clients may connect from listen() on
//   server.run();              accepts until a signal or `shutdown` asks to stop
//   server.stop();             closes everything, joins the threads
//
// listen() may be followed by fork (daemonising): no thread and no event base exists before
// start(). What can go wrong throws std::runtime_error with one sentence. One thread calls these;
// what ServerControl offers, and request_shutdown, any thread may call.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/cache.h"
#include "core/memory_file.h"
#include "core/mutex.h"
#include "daemon/authority.h"
#include "daemon/backlog.h"
#include "daemon/clock.h"
#include "daemon/cluster_etcd.h"
#include "daemon/cluster_file.h"
#include "daemon/discovery.h"
#include "daemon/emptied.h"
#include "daemon/event_ptr.h"
#include "daemon/handed_over.h"
#include "daemon/http_server.h"
#include "daemon/key_samples.h"
#include "daemon/listener.h"
#include "daemon/mailbox.h"
#include "daemon/prefix_stats.h"
#include "daemon/sampled_report.h"
#include "daemon/server_control.h"
#include "daemon/service_manager.h"
#include "daemon/settings.h"
#include "daemon/slow_log.h"
#include "daemon/stats_report.h"
#include "daemon/tls.h"
#include "daemon/tuning.h"
#include "daemon/watchdog.h"
#include "daemon/worker.h"

namespace larder::daemon {

class Server final : public ServerControl {
 public:
  enum class Signals : uint8_t { Handle, Leave };  // tests leave them to Catch2
  enum class Ended : uint8_t { Normally, Gracefully };

  // tls  what the settings say, where certificates had to be read before the caller gave up rights
  //      that it takes to read them; if it is null they are read here
  explicit Server(Settings settings, std::unique_ptr<TlsContext> tls = nullptr);
  ~Server() override;  // stops, if that has not been done

  // From here on, in this thread and those that it makes, the signals that end or tell a server
  // something wait until start() handles them: before listen(), from where on others know of it.
  static void keep_signals();
  // On what was handed over, if anything was, and else on what the settings say.
  void listen(std::vector<HandedOver> handed_over = {});
  void start(Signals signals = Signals::Handle);
  // Between start() and run(), which then tells the manager what happens, and as long as all
  // workers make passes that they do.
  void report_to(ServiceManager& manager);
  Ended run();
  void stop();

  // As on SIGHUP: reads again what may be read again while clients are served. Any thread.
  void reload();

  const std::vector<Listener>& listeners() const noexcept { return listeners_; }
  int tcp_port() const noexcept;  // of the first TCP listener, 0 without one
  // From start() on: of the first UDP socket, and of all of them without repetition.
  int udp_port() const noexcept { return udp_port_; }
  const std::vector<std::string>& udp_addresses() const noexcept { return udp_addresses_; }
  int http_port() const noexcept { return http_ == nullptr ? 0 : http_->port(); }  // 0 without
  std::string summary() const;  // "listening on tcp:127.0.0.1:11211, 64 MiB, 4 threads"
  core::Cache& cache() noexcept { return cache_; }
  Clock& clock() noexcept { return clock_; }
  uint64_t open_connections() const noexcept { return open_.load(); }
  uint64_t buffered_bytes() const noexcept {
    return buffers_.copies.used() + buffers_.pinned.used() + buffers_.strangers.used();
  }
  uint64_t worker_passes() const;  // of all workers' event loops

  // -- ServerControl.
  const Settings& settings() const override { return settings_; }
  int verbosity() const override { return verbosity_.load(std::memory_order_relaxed); }
  void set_verbosity(int level) override;
  void request_shutdown(bool graceful) override;
  core::Seconds now() const override { return clock_.sample(); }
  int64_t unix_time_of_zero() const override { return clock_.unix_time_of_zero(); }
  bool debug_time(std::string_view argument) override;
  Tuning& tuning() override { return tuning_; }
  void wake_workers() override;
  void schedule_flush(core::Seconds when) override;
  void cancel_scheduled_flush() override;
  Emptied& emptied() override { return emptied_; }
  void stats_general(proto::StatList& rows) override;
  void stats_settings(proto::StatList& rows) override;
  void stats_conns(proto::StatList& rows) override;
  void stats_larder(proto::StatList& rows) override;
  void stats_items(proto::StatList& rows) override;
  void stats_slabs(proto::StatList& rows) override;
  void stats_sizes(proto::StatList& rows) override;
  void stats_latency(proto::StatList& rows) override;
  void stats_hot_keys(proto::StatList& rows) override;
  void stats_prefixes(proto::StatList& rows) override;
  void stats_reset() override;
  PrefixStats& prefix_stats() override { return prefixes_; }
  std::string refresh_certificates() override;
  Discovery* discovery() override { return discovers_ ? &discovery_ : nullptr; }
  EventLog& event_log() override { return event_log_; }
  Watchers& watchers() override { return watchers_; }

 private:
  static void on_listener_event(int fd, short what, void* door);
  static void on_mailbox_event(int fd, short what, void* self);
  static void on_signal_event(int fd, short what, void* self);
  static void on_watch_event(int fd, short what, void* self);
  static void on_retry_event(int fd, short what, void* self);
  static void on_drain_event(int fd, short what, void* self);

  // One listener with its event.
  struct Door {
    Server* server;
    Listener* listener;
    EventPtr event;
  };

  bool serves_clients();
  void resume();
  void save_cache();
  void drop_items();
  void serve_udp();
  void accept_from(Listener& listener);
  void turn_away(Socket socket);
  bool full() const noexcept;
  void pause_accepting();
  void resume_accepting();
  void connection_closed();  // on a worker's thread or the watchers'
  void read_mail();
  // Whether a signal that ends the server lets clients go elsewhere first (--cluster-drain).
  bool drains() const noexcept;
  void begin_drain();
  StatsSources sources() const;
  SampledFigures sampled();
  SampledFigures sampled_keys(uint32_t most_keys, uint32_t most_prefixes);
  void add_latencies(SampledFigures& figures);

  // Pages of the HTTP server, on its thread.
  void open_http();
  HttpPage metrics_page();
  HttpPage stats_page();
  HttpPage health_page();
  HttpPage readiness_page();

  Settings settings_;
  Tuning tuning_;
  Clock clock_;
  EventLog event_log_;                             // before the cache, which tells it of evictions
  std::unique_ptr<core::MemoryFile> memory_file_;  // -e
  core::Cache cache_;
  ClientBuffers buffers_;
  ScheduledFlush flush_{cache_};
  PrefixStats prefixes_;
  KeySamples key_samples_;
  SlowLog slow_log_;
  MemoryAhead memory_ahead_;
  Authority authority_;
  Discovery discovery_;
  const bool discovers_;
  std::unique_ptr<ClusterFile> cluster_file_;  // null without --cluster-file
  std::unique_ptr<ClusterEtcd> cluster_etcd_;  // null without --cluster-etcd
  const std::unique_ptr<TlsContext> tls_;      // null without -Z
  Watchers watchers_;
  WorkerSurroundings surroundings_;
  bool listening_ = false;
  std::vector<Listener> listeners_;
  std::vector<UdpSocket> udp_sockets_;  // from listen() to start(), when workers get them
  size_t udp_ports_ = 0;                // how many the workers serve
  int udp_port_ = 0;                    // of the first of them
  std::vector<std::string> udp_addresses_;
  std::vector<std::unique_ptr<Worker>> workers_;
  size_t next_worker_ = 0;  // round robin

  EventBasePtr base_;
  Mailbox mailbox_;
  Socket signals_;  // a signalfd
  EventPtr mailbox_event_, signal_event_, retry_event_, watch_event_, drain_event_;
  std::unique_ptr<HttpServer> http_;  // null without --http
  // Of its thread.
  RecentLatencies recent_latencies_;
  std::unique_ptr<Watchdog> readiness_;

  ServiceManager* manager_ = nullptr;
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<Watchdog> lease_watchdog_;  // asked by cluster_etcd_
  std::vector<std::unique_ptr<Door>> doors_;
  std::vector<Message> mail_;
  bool ended_ = false;
  bool memory_file_in_use_ = false;    // from start() to stop()
  std::atomic<bool> graceful_{false};  // set before the message that asks to stop
  std::atomic<bool> draining_{false};  // a figure for other threads; set by the main thread

  const uint64_t incarnation_;  // of this process: random, not 0
  std::atomic<int> verbosity_;
  std::optional<EtcdMember::Inherited> inherited_;  // with -e
  Emptied emptied_;
  std::atomic<core::Seconds> flushed_at_{0};  // a figure: when the latest flush_all acts
  std::atomic<uint64_t> open_{0};
  // Set by the accepting thread before it looks at open_ again, read by workers after they have
  // lowered it (both seq_cst): one of the two sees that there is room.
  std::atomic<bool> waiting_for_room_{false};
  std::atomic<uint64_t> total_{0};
  std::atomic<uint64_t> rejected_{0};
  std::atomic<uint64_t> pauses_{0};
  std::atomic<uint64_t> paused_microseconds_{0};
  std::atomic<bool> accepting_{true};
  std::chrono::steady_clock::time_point paused_since_;
};

}  // namespace larder::daemon
