#include "daemon/server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <limits>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "core/observer.h"
#include "daemon/dashboard.h"
#include "daemon/exporter_metrics.h"
#include "daemon/larder_metrics.h"
#include "daemon/listen_address.h"
#include "daemon/log.h"
#include "daemon/restart_state.h"
#include "daemon/stats_json.h"
#include "proto/error_lines.h"

namespace larder::daemon {
namespace {

// Clients taken in one go before the other listeners get their turn.
constexpr int kAcceptsPerPass = 64;

// Without descriptors accepting pauses this long, as in memcached.
constexpr timeval kAcceptRetry = {0, 10'000};

// A worker that has made no pass for half of this makes the server unready.
constexpr std::chrono::seconds kReadinessTimeout{10};

constexpr int kUnavailable = 503;

constexpr std::string_view kTooManyConnections = "ERROR Too many open connections\r\n";

LogSite accept_site;

std::unique_ptr<core::MemoryFile> open_memory_file(const Settings& settings) {
  if (settings.memory_file.empty()) return nullptr;
  auto file = std::make_unique<core::MemoryFile>(settings.memory_file);
  if (!file->in_memory()) {
    log(LogLevel::Warning,
        "option -e: '" + file->path() +
            "' is not on tmpfs: what the cache changes will be written to a disk");
  }
  return file;
}

void take_all_memory(core::Cache& cache) {
  if (cache.ready_all_memory()) return;
  log(LogLevel::Warning, "option -L: the kernel does not give all of -m now: " +
                             std::generic_category().message(errno));
}

sigset_t handled_signals() {
  sigset_t handled;
  sigemptyset(&handled);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) sigaddset(&handled, signal);
  return handled;
}

uint64_t random_incarnation() {
  std::random_device random;
  uint64_t number = 0;
  while (number == 0) number = uint64_t{random()} << 32 | random();
  return number;
}

core::CacheConfig config_over(const Settings& settings, core::MemoryFile* file,
                              core::Observer& observer) {
  core::CacheConfig config = cache_config(settings);
  config.memory_file = file;
  config.observer = &observer;
  return config;
}

}  // namespace

Server::Server(Settings settings, std::unique_ptr<TlsContext> tls)
    : settings_(std::move(settings)),
      tuning_(settings_.accepted),
      event_log_(static_cast<uint32_t>(settings_.threads) + 1, settings_.worker_logbuf_bytes),
      memory_file_(open_memory_file(settings_)),
      cache_(config_over(settings_, memory_file_.get(), event_log_)),
      buffers_(settings_.buffer_limit_bytes, settings_.memory_bytes,
               static_cast<size_t>(settings_.threads),
               [this](uint32_t worker) { workers_[worker]->wake(); }),
      prefixes_(settings_.stats_prefix.front(), settings_.stats_detail),
      key_samples_(settings_.stats_prefix.front(), KeySamples::random_seed()),
      memory_ahead_(cache_),
      authority_(settings_),
      discovers_(settings_.allow_cluster_set || !settings_.cluster_file.empty() ||
                 !settings_.cluster_etcd.empty()),
      tls_(tls == nullptr && settings_.tls.enabled ? std::make_unique<TlsContext>(settings_.tls)
                                                   : std::move(tls)),
      watchers_(event_log_, static_cast<uint32_t>(settings_.threads),
                settings_.watcher_logbuf_bytes, [this] { connection_closed(); }),
      surroundings_{settings_,     cache_,
                    clock_,        *this,
                    buffers_,      flush_,
                    memory_ahead_, authority_,
                    tls_.get(),    event_log_,
                    watchers_,     key_samples_,
                    slow_log_,     [this] { connection_closed(); }},
      incarnation_(random_incarnation()),
      verbosity_(settings_.verbosity) {
  if (memory_file_ != nullptr) resume();
  if (!settings_.cluster_file.empty()) {
    cluster_file_ = std::make_unique<ClusterFile>(settings_.cluster_file, discovery_);
    cluster_file_->read();
  }
  if (!settings_.cluster_etcd.empty()) {
    EtcdMember::Contents contents{incarnation_, inherited_, [this] { drop_items(); }};
    cluster_etcd_ = std::make_unique<ClusterEtcd>(settings_, std::move(contents), discovery_,
                                                  [this] { return serves_clients(); });
  }
  if (tls_ != nullptr) tls_->set_loaded_at(clock_.sample());
}

Server::~Server() { stop(); }

void Server::keep_signals() {
  const sigset_t handled = handled_signals();
  pthread_sigmask(SIG_BLOCK, &handled, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_DFL);  // who starts it may have ignored this, and then none would come
}

void Server::listen(std::vector<HandedOver> handed_over) {
  if (!handed_over.empty()) {
    HandedOverPorts ports = use_handed_over(std::move(handed_over), settings_);
    listeners_ = std::move(ports.listeners);
    udp_sockets_ = std::move(ports.udp_sockets);
  } else {
    listeners_ = Listener::open_all(settings_);
    udp_sockets_ = open_udp_sockets(settings_);
  }
  open_http();
  listening_ = true;
  write_port_file(listeners_, udp_sockets_);
}

void Server::start(Signals signals) {
  if (!listening_) listen();
  if (memory_file_ != nullptr) {
    cache_.begin_use();
    memory_file_in_use_ = true;
    if (!memory_file_->promises_room()) {
      log(LogLevel::Warning, "option -e: the file system of '" + memory_file_->path() +
                                 "' sets no room aside: if it fills up, the server ends");
    }
  }
  if (settings_.large_pages) take_all_memory(cache_);
  base_ = make_event_base();
  mailbox_event_ =
      make_event(base_.get(), mailbox_.fd(), EV_READ | EV_PERSIST, on_mailbox_event, this);
  retry_event_ = make_event(base_.get(), -1, 0, on_retry_event, this);
  drain_event_ = make_event(base_.get(), -1, 0, on_drain_event, this);
  event_add(mailbox_event_.get(), nullptr);
  if (signals == Signals::Handle) {
    keep_signals();
    const sigset_t handled = handled_signals();
    signals_ = Socket(signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!signals_) throw std::runtime_error("cannot create a signalfd");
    signal_event_ =
        make_event(base_.get(), signals_.fd(), EV_READ | EV_PERSIST, on_signal_event, this);
    event_add(signal_event_.get(), nullptr);
  }
  if (cluster_file_ != nullptr) cluster_file_->follow(base_.get());
  if (cache_.totals().items == 0) emptied_.note(Emptied::now());  // nobody is served yet
  for (Listener& listener : listeners_) {
    auto door = std::make_unique<Door>();
    door->server = this;
    door->listener = &listener;
    door->event =
        make_event(base_.get(), listener.fd(), EV_READ | EV_PERSIST, on_listener_event, door.get());
    if (event_add(door->event.get(), nullptr) != 0) {
      throw std::runtime_error("cannot wait for clients: out of memory");
    }
    doors_.push_back(std::move(door));
  }
  for (int id = 0; id < settings_.threads; ++id) {
    workers_.push_back(std::make_unique<Worker>(static_cast<uint32_t>(id), surroundings_));
  }
  serve_udp();
  memory_ahead_.start();
  for (auto& worker : workers_) worker->start();
  if (cluster_etcd_ != nullptr) {
    lease_watchdog_ =
        std::make_unique<Watchdog>(std::chrono::seconds(settings_.cluster_lease_seconds),
                                   workers_.size(), Watchdog::Clock::now());
    cluster_etcd_->follow(base_.get());
  }
  if (http_ == nullptr) return;
  readiness_ =
      std::make_unique<Watchdog>(kReadinessTimeout, workers_.size(), Watchdog::Clock::now());
  http_->start();
}

// Whether to stay in etcd's list of nodes.
bool Server::serves_clients() {
  std::vector<uint64_t> beats;
  for (const auto& worker : workers_) beats.push_back(worker->beats());
  return lease_watchdog_->all_alive(beats, Watchdog::Clock::now());
}

// Round robin: of the sockets that share an address each worker gets one.
void Server::serve_udp() {
  udp_ports_ = udp_sockets_.size();
  if (udp_ports_ > 0) udp_port_ = udp_sockets_.front().port;
  total_.fetch_add(udp_ports_, std::memory_order_relaxed);
  size_t next = 0;
  for (UdpSocket& udp : udp_sockets_) {
    if (!udp.shared) udp_addresses_.push_back(local_address(udp.socket.fd()));
    workers_[next]->serve_udp(std::move(udp.socket));
    next = (next + 1) % workers_.size();
  }
  udp_sockets_.clear();
}

std::string Server::summary() const {
  std::string addresses;
  const auto add = [&](const std::string& address) {
    addresses += addresses.empty() ? "" : ", ";
    addresses += address;
  };
  for (const Listener& listener : listeners_) add(listener.description());
  for (const std::string& address : udp_addresses_) add(address);
  if (http_ != nullptr) add(http_->description() + " (http)");
  return "listening on " + addresses + ", " + std::to_string(settings_.memory_bytes >> 20) +
         " MiB, " + std::to_string(settings_.threads) + " threads";
}

void Server::report_to(ServiceManager& manager) {
  manager_ = &manager;
  if (manager.watchdog_timeout().count() == 0) return;
  watchdog_ = std::make_unique<Watchdog>(manager.watchdog_timeout(), workers_.size(),
                                         Watchdog::Clock::now());
  const auto interval = watchdog_->interval().count();
  const timeval every = {interval / 1'000'000, interval % 1'000'000};
  watch_event_ = make_event(base_.get(), -1, EV_PERSIST, on_watch_event, this);
  if (watch_event_ == nullptr || event_add(watch_event_.get(), &every) != 0) {
    throw std::runtime_error("cannot create the event for the watchdog");
  }
}

void Server::on_watch_event(int, short, void* self) {
  auto& server = *static_cast<Server*>(self);
  try {
    std::vector<uint64_t> beats;
    for (const auto& worker : server.workers_) beats.push_back(worker->beats());
    if (server.watchdog_->all_alive(beats, Watchdog::Clock::now())) server.manager_->alive();
  } catch (const std::bad_alloc&) {
    // The next look is soon enough: there are several in the time that the watchdog has.
  }
}

Server::Ended Server::run() {
  if (manager_ != nullptr) manager_->ready(summary());
  while (!ended_) event_base_loop(base_.get(), EVLOOP_ONCE);
  if (draining_) {
    log(LogLevel::Warning,
        "the drain has ended: " + std::to_string(open_.load()) + " connections are open");
  } else if (manager_ != nullptr) {
    manager_->stopping();
  }
  return graceful_ ? Ended::Gracefully : Ended::Normally;
}

void Server::stop() {
  // First, while clients that come because of the list are still served.
  if (cluster_etcd_ != nullptr) cluster_etcd_->leave();
  http_.reset();  // its pages look at what goes now
  doors_.clear();
  for (auto& worker : workers_) worker->ask_to_stop();
  for (auto& worker : workers_) worker->join();
  workers_.clear();
  watchers_.stop();
  memory_ahead_.stop();
  if (std::exchange(memory_file_in_use_, false) && graceful_) save_cache();
  listeners_.clear();  // after the workers, who may list them
  mailbox_event_.reset();
  signal_event_.reset();
  retry_event_.reset();
  drain_event_.reset();
  watch_event_.reset();
  cluster_file_.reset();
  cluster_etcd_.reset();
  base_.reset();
}

int Server::tcp_port() const noexcept {
  for (const Listener& listener : listeners_) {
    if (listener.is_tcp()) return listener.port();
  }
  return 0;
}

// -- Over a restart (-e).

void Server::resume() {
  const core::Restart& restart = cache_.restart();
  if (!restart.warm) {
    log(LogLevel::Warning, "option -e: starting with an empty cache: " + restart.why_cold);
    return;
  }
  const auto state = RestartState::from_bytes(restart.owner_state);
  if (!state) {
    // Without the time nobody could say what has expired.
    cache_.flush(clock_.sample());
    log(LogLevel::Warning, "option -e: starting with an empty cache: '" +
                               memory_file_->snapshot_path() +
                               "' is of another version of larderd");
    return;
  }
  clock_.continue_from(state->now, state->unix_time);
  if (state->flush_when != 0) flush_.schedule(state->flush_when);
  flushed_at_.store(state->flushed_at, std::memory_order_relaxed);
  inherited_ = {state->incarnation, state->list_version};
  log(LogLevel::Info, "option -e: '" + memory_file_->path() + "' brings back " +
                          std::to_string(cache_.totals().items) + " items after " +
                          std::to_string(clock_.sample() - state->now) + " seconds");
}

void Server::save_cache() {
  RestartState state;
  state.now = clock_.sample();
  state.unix_time = std::time(nullptr);
  state.flush_when = flush_.when();
  state.flushed_at = flushed_at_.load(std::memory_order_relaxed);
  state.incarnation = incarnation_;
  if (const auto published = discovery_.published()) state.list_version = published->list.version;
  const uint64_t items = cache_.totals().items;
  const std::string why_not = cache_.save(state.to_bytes());
  if (!why_not.empty()) {
    log(LogLevel::Error, "option -e: the next start will be with an empty cache: " + why_not);
    return;
  }
  log(LogLevel::Info, "option -e: '" + memory_file_->path() + "' keeps " + std::to_string(items) +
                          " items for the next start");
}

// -- Accepting.

void Server::on_listener_event(int, short, void* door) {
  auto& d = *static_cast<Door*>(door);
  try {
    d.server->accept_from(*d.listener);
  } catch (const std::bad_alloc&) {
    // The listener is readable still: the next pass tries again.
  }
}

void Server::on_mailbox_event(int, short, void* self) { static_cast<Server*>(self)->read_mail(); }

void Server::on_retry_event(int, short, void* self) {
  static_cast<Server*>(self)->resume_accepting();
}

bool Server::full() const noexcept {
  return open_.load() >= static_cast<uint64_t>(settings_.max_connections);
}

void Server::accept_from(Listener& listener) {
  for (int i = 0; i < kAcceptsPerPass; ++i) {
    if (!settings_.maxconns_fast && full()) {
      pause_accepting();
      waiting_for_room_.store(true);
      if (!full()) resume_accepting();  // one has left in between
      return;
    }
    Socket socket = listener.accept();
    if (!socket) {
      switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
          log(LogLevel::Warning, accept_site,
              std::string("cannot accept a client: ") + std::strerror(errno));
          pause_accepting();
          event_add(retry_event_.get(), &kAcceptRetry);
          return;
        case EAGAIN:
          return;
        default:
          continue;  // the client left again, or its network failed: on to the next
      }
    }
    if (full()) {
      turn_away(std::move(socket));
      continue;
    }
    open_.fetch_add(1);
    total_.fetch_add(1, std::memory_order_relaxed);
    try {
      workers_[next_worker_]->serve(std::move(socket), listener.traits());
    } catch (const std::bad_alloc&) {
      open_.fetch_sub(1);  // and the client is closed
    }
    next_worker_ = (next_worker_ + 1) % workers_.size();
  }
}

void Server::turn_away(Socket socket) {
  rejected_.fetch_add(1, std::memory_order_relaxed);
  const iovec line = {const_cast<char*>(kTooManyConnections.data()), kTooManyConnections.size()};
  socket.send({&line, 1});
}

void Server::pause_accepting() {
  if (!accepting_.exchange(false)) return;
  for (auto& door : doors_) event_del(door->event.get());
  pauses_.fetch_add(1, std::memory_order_relaxed);
  paused_since_ = std::chrono::steady_clock::now();
}

void Server::resume_accepting() {
  waiting_for_room_.store(false);
  if (accepting_.exchange(true)) return;
  for (auto& door : doors_) event_add(door->event.get(), nullptr);
  const auto paused = std::chrono::steady_clock::now() - paused_since_;
  paused_microseconds_.fetch_add(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(paused).count()));
}

void Server::connection_closed() {
  open_.fetch_sub(1);
  if (!waiting_for_room_.load()) return;
  mailbox_.ring();
}

// -- Signals, stopping.

void Server::on_signal_event(int, short, void* self) {
  auto& server = *static_cast<Server*>(self);
  signalfd_siginfo info;
  while (::read(server.signals_.fd(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      try {
        server.reload();
      } catch (const std::bad_alloc&) {
        log(LogLevel::Error, "SIGHUP: no memory to read the files again");
      }
      continue;
    }
    if (info.ssi_signo == SIGUSR1) server.graceful_ = true;
    if (info.ssi_signo == SIGINT || server.draining_ || !server.drains()) {
      server.ended_ = true;
    } else {
      server.begin_drain();
    }
  }
}

bool Server::drains() const noexcept {
  return cluster_etcd_ != nullptr && settings_.cluster_drain_seconds > 0;
}

// A server that drains has been asked to end in an orderly way, by whichever signal: -e is saved,
// also if a second signal cuts the drain short.
void Server::begin_drain() {
  draining_ = true;
  graceful_ = true;
  const timeval time = {settings_.cluster_drain_seconds, 0};
  if (event_add(drain_event_.get(), &time) != 0) {
    ended_ = true;  // without memory for the timer the drain would have no end
    return;
  }
  cluster_etcd_->withdraw();
  if (manager_ != nullptr) manager_->stopping();
  try {
    log(LogLevel::Warning, "draining for " + std::to_string(settings_.cluster_drain_seconds) +
                               " seconds: clients are served, and this server leaves the list of "
                               "nodes; a second signal ends it at once");
  } catch (const std::bad_alloc&) {  // the log lacks a line; the drain goes on
  }
}

void Server::on_drain_event(int, short, void* self) { static_cast<Server*>(self)->ended_ = true; }

void Server::reload() {
  const bool tells = manager_ != nullptr && !draining_;  // it has been told of the stop
  if (tells) manager_->reloading();
  authority_.reload();
  if (cluster_file_ != nullptr) cluster_file_->read();
  if (tls_ != nullptr) {
    const std::string error = refresh_certificates();
    log(LogLevel::Warning, error.empty() ? "SIGHUP: certificates are read again"
                                         : "Could not reload TLS certificates on SIGHUP: " + error);
  }
  if (tells) manager_->ready(summary());
}

void Server::request_shutdown(bool graceful) {
  if (graceful) graceful_ = true;
  mailbox_.post({Message::Kind::Stop, Socket()});
}

void Server::read_mail() {
  mailbox_.swap(mail_);
  for (const Message& message : mail_) {
    if (message.kind == Message::Kind::Stop) ended_ = true;
  }
  if (waiting_for_room_.load() && !full()) resume_accepting();  // a connection has closed
  mail_.clear();
}

// -- ServerControl.

void Server::set_verbosity(int level) {
  verbosity_.store(level, std::memory_order_relaxed);
  set_log_verbosity(level);
}

void Server::wake_workers() {
  for (const auto& worker : workers_) worker->wake();
}

void Server::schedule_flush(core::Seconds when) {
  flush_.schedule(when);
  flushed_at_.store(when, std::memory_order_relaxed);
}

void Server::cancel_scheduled_flush() {
  flush_.cancel();  // by a flush_all that acts at once
  flushed_at_.store(clock_.sample(), std::memory_order_relaxed);
}

void Server::drop_items() {
  const std::chrono::milliseconds began = Emptied::now();
  const uint64_t items = cache_.totals().items;
  cache_.flush(clock_.sample());
  emptied_.note(began);
  event_log_.write_flush(-1);
  if (items == 0) return;
  log(LogLevel::Warning,
      "etcd: clients may have stored newer values elsewhere while this server was "
      "not in the list: its " +
          std::to_string(items) + " items are dropped");
}

std::string Server::refresh_certificates() {
  return tls_ == nullptr ? std::string(proto::error_line(proto::ErrorId::TlsNotEnabled).text)
                         : tls_->reload(clock_.sample());
}

bool Server::debug_time([[maybe_unused]] std::string_view argument) {
#ifdef LARDER_DEBUG
  if (argument == "p") {
    clock_.freeze();
    return true;
  }
  if (argument == "r") {
    clock_.run();
    return true;
  }
  core::Seconds seconds = 0;  // the clock never goes back
  const char* end = argument.data() + argument.size();
  const auto [parsed, error] = std::from_chars(argument.data(), end, seconds);
  if (error != std::errc() || parsed != end) return false;
  clock_.advance(seconds);
  return true;
#else
  return false;
#endif
}

uint64_t Server::worker_passes() const {
  uint64_t passes = 0;
  for (const auto& worker : workers_) passes += worker->stats().passes.get();
  return passes;
}

StatsSources Server::sources() const {
  StatsSources from;
  from.cache = &cache_;
  from.settings = &settings_;
  from.accepted = tuning_.in_force(settings_.accepted);
  from.crawler_starts = tuning_.crawler_starts.load(std::memory_order_relaxed);
  from.dumps_running = tuning_.dumps_running.load(std::memory_order_relaxed);
  for (const auto& worker : workers_) {
    from.workers.push_back(&worker->stats());
    from.connections.structures += worker->connection_objects();
    from.read_buffers += 1 + worker->stats().read_buffer_count.get();
    from.read_buffer_bytes += kWindowBytes + worker->stats().read_buffer_bytes.get();
    from.read_buffer_bytes_free += kWindowBytes;
    from.backlog_bytes += worker->stats().response_bytes.get();
  }
  from.connections.curr = open_.load() + udp_ports_;
  from.connections.structures += udp_ports_;
  from.connections.total = total_.load(std::memory_order_relaxed);
  from.connections.rejected = rejected_.load(std::memory_order_relaxed);
  from.connections.listen_disabled_num = pauses_.load(std::memory_order_relaxed);
  from.connections.time_in_listen_disabled_us =
      paused_microseconds_.load(std::memory_order_relaxed);
  from.connections.accepting = accepting_.load(std::memory_order_relaxed);
  // Event base and mailbox of each worker and of this thread, the signals, the listeners.
  from.connections.reserved_fds = 2 * (workers_.size() + 1) + 1 + listeners_.size();

  from.events = watchers_.counters();
  from.buffers = {buffers_.copies.used(), buffers_.pinned.used(),
                  cache_.memory_limit() / ClientBuffers::kPinnedShare, buffers_.strangers.used(),
                  buffers_.strangers.limit()};

  if (const auto published = discovers_ ? discovery_.published() : nullptr) {
    from.discovery.version = published->list.version;
    from.discovery.nodes = published->list.nodes.size();
  }
  if (cluster_etcd_ != nullptr) from.discovery.etcd_connected = cluster_etcd_->connected();
  from.discovery.incarnation = incarnation_;
  from.discovery.emptied_ago = emptied_.ago();
  from.discovery.draining = draining_.load(std::memory_order_relaxed);

  const core::Seconds now = clock_.sample();
  from.now = now;
  from.pid = getpid();
  from.uptime_seconds = now - core::kFirstSecond;
  from.unix_time = clock_.unix_time_of_zero() + now;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  from.user_time = usage.ru_utime;
  from.system_time = usage.ru_stime;
  from.libevent_version = event_get_version();
  from.verbosity = verbosity();
  from.detail_enabled = prefixes_.enabled();
  from.oldest_seconds = flushed_at_.load(std::memory_order_relaxed);
  from.tcp_port = tcp_port();
  from.udp_port = udp_port_;
  if (tls_ != nullptr) {
    const TlsCounters& counters = tls_->counters();
    from.tls.new_sessions = counters.new_sessions.load(std::memory_order_relaxed);
    from.tls.handshake_errors = counters.handshake_errors.load(std::memory_order_relaxed);
    from.tls.protocol_errors = counters.protocol_errors.load(std::memory_order_relaxed);
    from.tls.seconds_since_refresh = now - std::min(now, tls_->loaded_at());
  }
  return from;
}

void Server::stats_general(proto::StatList& rows) { append_general_stats(sources(), rows); }
void Server::stats_settings(proto::StatList& rows) { append_settings_stats(sources(), rows); }
void Server::stats_larder(proto::StatList& rows) { append_larder_stats(sources(), rows); }
void Server::stats_items(proto::StatList& rows) { append_items_stats(sources(), rows); }
void Server::stats_slabs(proto::StatList& rows) { append_slabs_stats(sources(), rows); }
void Server::stats_sizes(proto::StatList& rows) { append_sizes_stats(cache_, settings_, rows); }

void Server::stats_latency(proto::StatList& rows) {
  SampledFigures figures;
  figures.slow_request_us = settings_.slow_request_us;
  add_latencies(figures);
  append_latency_stats(figures, rows);
}
void Server::stats_hot_keys(proto::StatList& rows) {
  append_hot_key_stats(sampled_keys(kShownKeys, 0), rows);
}
void Server::stats_prefixes(proto::StatList& rows) {
  append_prefix_stats(sampled_keys(0, KeySamples::kMaxPrefixes), rows);
}

SampledFigures Server::sampled() {
  SampledFigures figures = sampled_keys(KeySamples::kMaxKeys, KeySamples::kMaxPrefixes);
  figures.slow_request_us = settings_.slow_request_us;
  add_latencies(figures);
  return figures;
}

SampledFigures Server::sampled_keys(uint32_t most_keys, uint32_t most_prefixes) {
  SampledFigures figures;
  figures.sampling = settings_.sampling;
  if (!settings_.sampling || !settings_.allow_dumps) figures.key_sample_every = 0;
  figures.keys = key_samples_.figures(most_keys, most_prefixes, clock_.sample());
  return figures;
}

void Server::add_latencies(SampledFigures& figures) {
  for (const auto& worker : workers_) {
    for (size_t i = 0; i < kCommandKinds; ++i) {
      figures.latencies[i].add(worker->latencies()[i]);
    }
  }
  figures.slow = slow_log_.latest(figures.slow_total);
}

// -- HTTP.

void Server::open_http() {
  if (settings_.http.empty()) return;
  const ListenAddress address = parse_http_address(settings_.http);
  std::vector<HttpRoute> routes = dashboard_routes();
  routes.push_back({"/metrics", [this] { return metrics_page(); }});
  routes.push_back({"/stats.json", [this] { return stats_page(); }});
  routes.push_back({"/healthz", [this] { return health_page(); }});
  routes.push_back({"/readyz", [this] { return readiness_page(); }});
  http_ = std::make_unique<HttpServer>(
      Listener::open_at(settings_, "--http " + settings_.http, address), std::move(routes));
}

HttpPage Server::metrics_page() {
  const StatsSources from = sources();
  Exposition page;
  write_exporter_metrics(from, page);
  write_larder_metrics(from, sampled(), page);
  return {200, Exposition::kContentType, page.take()};
}

HttpPage Server::stats_page() {
  const SampledFigures figures = sampled();
  const LatencySnapshots recent =
      recent_latencies_.since_then(figures.latencies, RecentLatencies::Clock::now());
  return {200, "application/json", stats_json(sources(), figures, recent)};
}

// That it can be asked is what is asked for.
HttpPage Server::health_page() {
  HttpPage page;
  page.body = "ok\n";
  return page;
}

HttpPage Server::readiness_page() {
  HttpPage page;
  std::vector<uint64_t> beats;
  for (const auto& worker : workers_) beats.push_back(worker->beats());
  if (!readiness_->all_alive(beats, Watchdog::Clock::now())) {
    page.status = kUnavailable;
    page.body = "a worker hangs\n";
  } else if (!accepting_.load(std::memory_order_relaxed)) {
    page.status = kUnavailable;
    page.body = "no more connections are accepted\n";
  } else if (draining_.load(std::memory_order_relaxed)) {
    page.status = kUnavailable;
    page.body = "this server drains\n";
  } else {
    page.body = "ready\n";
  }
  return page;
}

void Server::stats_conns(proto::StatList& rows) {
  const core::Seconds now = clock_.sample();
  std::vector<ConnectionRow> connections;
  for (const Listener& listener : listeners_) {
    connections.push_back({listener.fd(), listener.address(), "", "conn_listening",
                           uint64_t{now} - core::kFirstSecond, false});
  }
  for (const auto& worker : workers_) worker->list_connections(now, connections);
  watchers_.list(now, connections);
  std::sort(connections.begin(), connections.end(),
            [](const ConnectionRow& a, const ConnectionRow& b) { return a.fd < b.fd; });
  append_conns_stats(connections, rows);
}

void Server::stats_reset() {
  for (const auto& worker : workers_) reset_worker_stats(worker->stats());
  cache_.reset_totals();
  watchers_.reset_counters();
  for (const auto& worker : workers_) {
    for (LatencyHistogram& latency : worker->latencies()) latency.reset();
  }
  key_samples_.clear();
  slow_log_.clear();
  prefixes_.clear();
  if (tls_ != nullptr) tls_->reset_counters();
  total_.store(0, std::memory_order_relaxed);
  rejected_.store(0, std::memory_order_relaxed);
  pauses_.store(0, std::memory_order_relaxed);
  tuning_.crawler_starts.store(0, std::memory_order_relaxed);
}

}  // namespace larder::daemon
