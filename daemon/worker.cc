#include "daemon/worker.h"

#include <pthread.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "daemon/log.h"

namespace larder::daemon {
namespace {

// Upkeep between two passes; with the slice that is running then some 100, which is what a request
// may have to wait for it.
constexpr uint32_t kTendMicroseconds = 60;
// An idle worker looks after its shards, and idle connections, this often.
constexpr uint32_t kSlowTickMs = 500;
// And while requests come with gaps between them, this often: a core that has been idle for longer
// than its governor cares to poll sleeps deeper, and the next request pays for waking it. (20,000
// single gets a second, larder-bench compare --rate: 0.75 of the CPU time, p50 34.0 us instead of
// 40.6. When they come faster than kManyPasses the core does not fall asleep in any case.)
constexpr uint32_t kFastTickMs = 1;
constexpr uint32_t kFewPasses = 1;  // a millisecond
constexpr uint32_t kManyPasses = 32;

// When memory is short for want of ended turns: how long the others are let run at a time (the
// system makes some 160 us of it), and how often in a pass. A get that comes meanwhile is late by
// so much.
constexpr std::chrono::microseconds kRestForReaders{100};
constexpr int kMostRests = 6;

// Rows of `stats conns` that are made while the list of connections stands still: each takes two
// system calls, and a worker that closes or takes a connection has to wait.
constexpr size_t kRowsAtOnce = 32;

// So many passes in a row, some 10 us each, connections ask for memory in vain before they are
// resumed by ticks.
constexpr uint32_t kPassesInVain = 64;

// Of what a worker draws at random; each has another.
constexpr uint64_t kFirstSeed = 0x9e3779b97f4a7c15;

LogSite no_memory_site;

// A descriptor and not a timeout of the event base, which would be set up anew whenever the worker
// falls asleep. (Saves 2 % of the CPU time at 20,000 requests a second, 3 % at 50,000.)
bool set_ticks(int fd, uint32_t milliseconds) {
  const timespec interval = {0, static_cast<long>(milliseconds) * 1'000'000};
  const itimerspec every = {interval, interval};
  return timerfd_settime(fd, 0, &every, nullptr) == 0;
}

Socket make_ticks() {
  Socket ticks(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!ticks || !set_ticks(ticks.fd(), kSlowTickMs)) {
    throw std::runtime_error(std::string("cannot create a timer: ") + std::strerror(errno));
  }
  return ticks;
}

size_t gather_bytes(const Settings::Tls& settings) {
  return settings.enabled ? std::min<size_t>(settings.write_buffer_bytes, kMaxRecordBytes) : 0;
}

}  // namespace

Worker::Worker(uint32_t id, const WorkerSurroundings& surroundings)
    : id_(id),
      around_(surroundings),
      base_(make_event_base()),
      ticks_(make_ticks()),
      tick_ms_(kSlowTickMs),
      executor_(id, surroundings.cache, surroundings.control, stats_),
      meter_({surroundings.settings.sampling, surroundings.settings.slow_request_us,
              surroundings.settings.allow_dumps},
             surroundings.key_samples, surroundings.slow_log,
             surroundings.clock.unix_time_of_zero(), kFirstSeed + id),
      tls_gather_(gather_bytes(surroundings.settings.tls)) {
  now_ = around_.clock.sample();
  mailbox_event_ =
      make_event(base_.get(), mailbox_.fd(), EV_READ | EV_PERSIST, on_mailbox_event, this);
  tick_event_ = make_event(base_.get(), ticks_.fd(), EV_READ | EV_PERSIST, on_tick_event, this);
  if (mailbox_event_ == nullptr || tick_event_ == nullptr ||
      event_add(mailbox_event_.get(), nullptr) != 0 || event_add(tick_event_.get(), nullptr) != 0) {
    throw std::runtime_error("cannot create a worker's events");
  }
}

Worker::~Worker() {
  if (thread_.joinable()) {
    ask_to_stop();
    join();
  }
}

void Worker::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), ("larder-" + std::to_string(id_)).c_str());
}

void Worker::serve(Socket socket, ListenerTraits traits) {
  mailbox_.post({Message::Kind::NewConnection, std::move(socket), traits});
}

void Worker::wake() noexcept { mailbox_.ring(); }

void Worker::ask_to_stop() { mailbox_.post({Message::Kind::Stop, Socket()}); }

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::list_connections(core::Seconds now, std::vector<ConnectionRow>& rows) {
  for (const auto& port : udp_ports_) rows.push_back(port->row(now));
  ListPlace place(*this);
  for (bool more = true; more;) {
    core::MutexLock lock(list_mutex_);
    for (size_t i = 0; i < kRowsAtOnce && place.connection != nullptr; ++i) {
      const Connection* const c = std::exchange(place.connection, place.connection->next_);
      const core::Seconds active = c->last_active();
      rows.push_back({c->fd(), peer_address(c->fd()), local_address(c->fd()), c->state_name(),
                      now > active ? now - active : 0, false});
    }
    more = place.connection != nullptr;
  }
}

Worker::ListPlace::ListPlace(Worker& worker) : worker_(worker) {
  core::MutexLock lock(worker_.list_mutex_);
  connection = worker_.first_;
  other = std::exchange(worker_.places_, this);
}

Worker::ListPlace::~ListPlace() {
  core::MutexLock lock(worker_.list_mutex_);
  ListPlace** place = &worker_.places_;
  while (*place != this) place = &(*place)->other;
  *place = other;
}

void Worker::on_mailbox_event(int, short, void* self) { static_cast<Worker*>(self)->read_mail(); }

void Worker::on_tick_event(int fd, short, void* self) {
  uint64_t ticks = 0;
  if (::read(fd, &ticks, sizeof ticks) != sizeof ticks) return;
  auto& worker = *static_cast<Worker*>(self);
  worker.beats_.add();
  worker.choose_ticks(ticks);
  try {
    worker.close_idle_connections();
    worker.meter_.flush_if_old(worker.around_.clock.sample());
  } catch (const std::bad_alloc&) {
    // The next tick looks again.
  }
}

void Worker::choose_ticks(uint64_t passed) {
  const uint64_t per_ms = passes_ / (passed * tick_ms_);
  passes_ = 0;
  const bool gaps = per_ms >= kFewPasses && per_ms <= kManyPasses;
  if (gaps && tick_ms_ == kSlowTickMs && set_ticks(ticks_.fd(), kFastTickMs)) {
    tick_ms_ = kFastTickMs;
    ticks_without_gaps_ = 0;
  } else if (tick_ms_ == kFastTickMs) {
    ticks_without_gaps_ = gaps ? 0 : ticks_without_gaps_ + static_cast<uint32_t>(passed);
    if (ticks_without_gaps_ > kSlowTickMs / kFastTickMs && set_ticks(ticks_.fd(), kSlowTickMs)) {
      tick_ms_ = kSlowTickMs;
    }
  }
}

// Connections that wait for memory are resumed in each pass. If that goes on, another worker is
// held up: then they are resumed once in a fast tick, so that the processor is left to that one.
bool Worker::may_wait(bool more_upkeep) {
  if (resuming_.empty()) [[likely]] {
    passes_in_vain_ = 0;
    return !more_upkeep;
  }
  const bool only_memory = std::all_of(resuming_.begin(), resuming_.end(), [](const Connection* c) {
    return c == nullptr || c->waits_for_memory();
  });
  passes_in_vain_ = only_memory ? passes_in_vain_ + 1 : 0;
  if (more_upkeep) return false;
  if (passes_in_vain_ < kPassesInVain) return false;
  for (Connection* const connection : resuming_) {
    if (connection != nullptr) connection->ignore_input();
  }
  if (tick_ms_ == kFastTickMs) return true;
  if (!set_ticks(ticks_.fd(), kFastTickMs)) return false;
  tick_ms_ = kFastTickMs;
  ticks_without_gaps_ = 0;
  return true;
}

void Worker::run() {
  around_.event_log.become_writer(id_);
  bool more_upkeep = false;
  while (!stopping_) {
    ++pass_;
    stats_.passes.add();
    resuming_.swap(resume_);  // what this pass puts off waits for the next one
    const bool wait = may_wait(more_upkeep) && !answers_came_;
    event_base_loop(base_.get(), EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK));
    resume_connections();
    if (answers_came_) go_on_with_answers();
    leave_turn();
    send_waiting();
    if (around_.buffers.copies.has_condemned(id_)) [[unlikely]]
      close_condemned(around_.buffers.copies);
    if (around_.buffers.pinned.has_condemned(id_)) [[unlikely]]
      close_condemned(around_.buffers.pinned);
    if (around_.buffers.strangers.has_condemned(id_)) [[unlikely]]
      close_condemned(around_.buffers.strangers);
    has_asked_readers_ = false;
    rests_ = 0;
    delete_closed();
    around_.memory_ahead.look();
    more_upkeep = tend();
  }
  close_all_connections();
  delete_closed();
}

bool Worker::tend() noexcept {
  try {
    return around_.cache.tend(id_, around_.clock.sample(), kTendMicroseconds);
  } catch (const std::bad_alloc&) {
    return false;  // the next pass goes on
  }
}

void Worker::close_condemned(BufferBudget& budget) noexcept {
  while (Connection* const connection = budget.next_condemned(id_)) {
    if (connection->closed()) continue;
    stats_.response_oom.add();
    connection->close();
  }
}

void Worker::delete_closed() noexcept {
  while (closed_ != nullptr) {
    const std::unique_ptr<Connection> closed(std::exchange(closed_, closed_->next_));
  }
}

void Worker::send_waiting() noexcept {
  if (lent_.outbox.entries().empty()) return;
  const OutsideTurn outside(*this, !lent_.buffers.refer_to_cache());
  for (const Outbox::Entry& entry : lent_.outbox.entries()) {
    if (!entry.connection->closed()) entry.connection->send_waiting(entry.bytes);
  }
  lent_.outbox.clear();
}

void Worker::enter_turn() noexcept {
  in_turn_ = true;
  ++passes_;
  now_ = around_.clock.sample();
  around_.cache.begin_turn(id_);
  if (const uint64_t due = around_.flush.due(now_); due != 0) [[unlikely]] {
    around_.flush.run(due, now_);
    around_.event_log.write_flush(-1);
  }
}

void Worker::leave_turn() noexcept {
  if (!in_turn_) return;
  in_turn_ = false;
  around_.cache.end_turn(id_);
}

void Worker::return_to_turn() noexcept {
  in_turn_ = true;
  around_.cache.begin_turn(id_);
}

void Worker::let_readers_end(const std::function<bool()>& end_turn) {
  if (std::exchange(has_asked_readers_, true)) return;
  send_waiting();
  if (!end_turn()) return;
  if (cache().relieve()) {
    has_rested_in_vain_ = false;
    return;
  }
  while (!has_rested_in_vain_) {
    rest_outside_turn();
    if (cache().relieve()) return;
    has_rested_in_vain_ = rests_ >= kMostRests;
  }
}

bool Worker::let_copy_go_on() {
  if (cache().relieve()) {
    has_rested_in_vain_ = false;
    return true;
  }
  if (has_rested_in_vain_ || rests_ >= kMostRests) {
    has_rested_in_vain_ = true;
    return false;
  }
  rest_outside_turn();
  return true;
}

void Worker::rest_outside_turn() {
  if (rests_++ == 0) stats_.rests_for_readers.add();
  const OutsideTurn outside(*this, !lent_.buffers.refer_to_cache());
  std::this_thread::sleep_for(kRestForReaders);
}

void Worker::read_mail() noexcept {
  if (mailbox_.swap(mail_)) answers_came_ = !waiting_.empty();
  for (Message& message : mail_) {
    if (message.kind == Message::Kind::NewConnection) {
      adopt(std::move(message.socket), message.traits);
    }
    if (message.kind == Message::Kind::Stop) stopping_ = true;
  }
  mail_.clear();
}

void Worker::adopt(Socket socket, ListenerTraits traits) noexcept {
  try {
    if (begin_connection(std::move(socket), traits)) return;
  } catch (const std::bad_alloc&) {
  }
  stats_.connections_lost.add();
  log(LogLevel::Warning, no_memory_site, "no memory for a new connection; it is closed");
  around_.connection_closed();
}

bool Worker::begin_connection(Socket socket, ListenerTraits traits) {
  now_ = around_.clock.sample();  // when the connection was last active
  if (traits.tls != TlsMode::Off) {
    TlsPtr session = around_.tls->begin(socket.fd(), traits.tls, tls_gather_, around_.event_log);
    if (session == nullptr) return false;
    socket.use(std::move(session));
  }
  auto connection = std::make_unique<Connection>(*this, std::move(socket), traits.protocol);
  if (!connection->watch()) return false;
  if (around_.event_log.wants(Streams::kConnEvents)) [[unlikely]]
    tell_arrival(connection->fd());
  objects_.fetch_add(1, std::memory_order_relaxed);
  core::MutexLock lock(list_mutex_);
  Connection* added = connection.release();  // the list owns it until retire()
  added->next_ = first_;
  if (first_ != nullptr) first_->previous_ = added;
  first_ = added;
  return true;
}

void Worker::retire(Connection& connection) noexcept {
  if (around_.event_log.wants(Streams::kConnEvents) || !peers_.empty()) [[unlikely]] {
    try {
      tell_close(connection);
    } catch (const std::bad_alloc&) {
      // Those who watch miss it.
    }
  }
  forget(connection).close();
  around_.connection_closed();
}

void Worker::hand_over(Connection& connection, uint32_t streams) {
  peers_.erase(connection.fd());
  Socket socket = forget(connection);
  socket.leave_worker();
  around_.watchers.add(std::move(socket), streams, now_);
}

void Worker::tell_arrival(int fd) {
  Endpoint peer = peer_endpoint(fd);
  around_.event_log.write_connection(EventKind::ConnNew, fd, peer);
  peers_.insert_or_assign(fd, std::move(peer));
}

void Worker::tell_close(const Connection& connection) {
  const int fd = connection.fd();
  const auto known = peers_.extract(fd);
  if (!around_.event_log.wants(Streams::kConnEvents)) return;
  around_.event_log.write_connection(EventKind::ConnClose, fd,
                                     known.empty() ? peer_endpoint(fd) : known.mapped(),
                                     connection.close_reason_);
}

Socket Worker::forget(Connection& connection) noexcept {
  Socket socket;
  {
    core::MutexLock lock(list_mutex_);
    if (connection.previous_ != nullptr) {
      connection.previous_->next_ = connection.next_;
    } else {
      first_ = connection.next_;
    }
    if (connection.next_ != nullptr) connection.next_->previous_ = connection.previous_;
    for (ListPlace* place = places_; place != nullptr; place = place->other) {
      if (place->connection == &connection) place->connection = connection.next_;
    }
    socket = std::move(connection.socket_);
  }
  std::replace(resume_.begin(), resume_.end(), &connection, static_cast<Connection*>(nullptr));
  std::replace(resuming_.begin(), resuming_.end(), &connection, static_cast<Connection*>(nullptr));
  if (walks_waiting_) {
    std::replace(waiting_.begin(), waiting_.end(), &connection, static_cast<Connection*>(nullptr));
  } else {
    std::erase(waiting_, &connection);
  }
  connection.next_ = std::exchange(closed_, &connection);
  objects_.fetch_sub(1, std::memory_order_relaxed);
  return socket;
}

void Worker::resume_connections() {
  for (size_t i = 0; i < resuming_.size(); ++i) {
    if (resuming_[i] != nullptr) resuming_[i]->resume();
  }
  resuming_.clear();
}

void Worker::go_on_with_answers() {
  answers_came_ = false;
  walks_waiting_ = true;
  // A connection leaves the list first: what it does next may bring it back, behind the others.
  const size_t count = waiting_.size();
  for (size_t i = 0; i < count; ++i) {
    Connection* const connection = waiting_[i];
    if (connection == nullptr || !connection->has_answer()) continue;
    if (connection->was_served()) {
      answers_came_ = true;
      continue;
    }
    waiting_[i] = nullptr;
    connection->go_on_with_answer();
  }
  std::erase(waiting_, nullptr);
  walks_waiting_ = false;
}

void Worker::close_idle_connections() {
  const auto idle_limit = static_cast<core::Seconds>(around_.settings.idle_timeout_seconds);
  const core::Seconds stall_limit = around_.settings.stalled_timeout_seconds;
  const core::Seconds now = around_.clock.sample();
  if ((idle_limit == 0 && stall_limit == 0) || now == last_idle_check_) return;
  last_idle_check_ = now;
  struct Late {
    Connection* connection;
    bool stalled;
  };
  std::vector<Late> late;
  {
    core::MutexLock lock(list_mutex_);
    for (Connection* c = first_; c != nullptr; c = c->next_) {
      const core::Seconds quiet = now - std::min(now, c->last_active());
      const bool stalled = stall_limit != 0 && c->has_stalled(now, stall_limit);
      // Unix sockets are exempt, as in memcached: their clients are on this machine.
      const bool idle = idle_limit != 0 && quiet > idle_limit && c->is_tcp();
      if (stalled || idle) late.push_back({c, stalled});
    }
  }
  for (const Late& one : late) {
    (one.stalled ? stats_.stalled_kicks : stats_.idle_kicks).add();
    one.connection->close(CloseReason::IdleTimeout);
  }
}

void Worker::close_all_connections() {
  read_mail();  // sockets that were handed over and never served
  for (;;) {
    Connection* connection;
    {
      core::MutexLock lock(list_mutex_);
      connection = first_;
    }
    if (connection == nullptr) return;
    connection->close();
  }
}

}  // namespace larder::daemon
