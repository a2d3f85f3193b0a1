#include "daemon/watchers.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>

namespace larder::daemon {
namespace {

constexpr std::string_view kWelcome = "OK\r\n";

// Workers do not wake the thread, which would cost them a system call for each event: it looks.
// Often while there is something, and else as seldom as somebody at a terminal does not notice. A
// ring of 64 KiB takes 500 events or more in between.
constexpr int kBusyMs = 1;
constexpr int kIdleMs = 20;
constexpr int kForever = -1;

// What of a watcher's input goes in one pass.
constexpr size_t kInputBytes = 4096;

}  // namespace

Watchers::Watchers(EventLog& log, uint32_t writer, size_t buffer_bytes,
                   std::function<void()> closed)
    : log_(log),
      writer_(writer),
      buffer_bytes_(buffer_bytes),
      closed_(std::move(closed)),
      wakeup_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!wakeup_)
    throw std::runtime_error(std::string("cannot create an eventfd: ") + std::strerror(errno));
}

Watchers::~Watchers() { stop(); }

Watchers::Admission Watchers::admit() {
  core::MutexLock lock(mutex_);
  if (admitted_ >= kMost) return Admission::TooMany;
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {
      return Admission::NoThread;
    }
    pthread_setname_np(thread_.native_handle(), "larder-watch");
  }
  ++admitted_;
  return Admission::Granted;
}

void Watchers::add(Socket client, uint32_t streams, core::Seconds now) {
  try {
    enlist(std::move(client), streams, now);
  } catch (const std::bad_alloc&) {
    {
      core::MutexLock lock(mutex_);
      --admitted_;
    }
    closed_();
  }
}

void Watchers::enlist(Socket client, uint32_t streams, core::Seconds now) {
  auto watcher = std::make_unique<Watcher>();
  watcher->socket = std::move(client);
  watcher->streams = streams;
  watcher->since = now;
  watcher->out = kWelcome;
  {
    core::MutexLock lock(mutex_);
    watcher->first_gid = log_.next_gid();
    watchers_.push_back(std::move(watcher));
    want_what_is_watched();
  }
  eventfd_write(wakeup_.fd(), 1);
}

EventCounters Watchers::counters() const {
  EventCounters counters;
  for (const auto& ring : log_.rings()) {
    counters.written += ring->written().get();
    counters.dropped += ring->dropped().get();
  }
  counters.sent = sent_.get();
  counters.skipped = skipped_.get();
  core::MutexLock lock(mutex_);
  counters.watchers = watchers_.size();
  return counters;
}

void Watchers::list(core::Seconds now, std::vector<ConnectionRow>& rows) const {
  core::MutexLock lock(mutex_);
  for (const auto& watcher : watchers_) {
    const int fd = watcher->socket.fd();
    rows.push_back({fd, peer_address(fd), local_address(fd), "conn_watch",
                    now > watcher->since ? now - watcher->since : 0, false});
  }
}

void Watchers::reset_counters() {
  for (const auto& ring : log_.rings()) {
    ring->written().reset();
    ring->dropped().reset();
  }
  sent_.reset();
  skipped_.reset();
}

void Watchers::stop() {
  std::thread thread;
  {
    core::MutexLock lock(mutex_);
    thread.swap(thread_);
  }
  if (!thread.joinable()) return;
  stopping_.store(true, std::memory_order_relaxed);
  eventfd_write(wakeup_.fd(), 1);
  thread.join();
}

void Watchers::want_what_is_watched() {
  uint32_t streams = 0;
  for (const auto& watcher : watchers_) streams |= watcher->streams;
  log_.want(streams);
}

// -- The thread.

void Watchers::run() {
  log_.become_writer(writer_);
  int pause = kForever;
  while (!stopping_.load(std::memory_order_relaxed)) {
    wait(pause);
    const uint32_t events = pass_in_spare_memory();
    if (events == 0 && present_.empty()) {
      pause = kForever;
    } else if (events > 0 || pause == kForever) {
      pause = std::max(pause / 2, kBusyMs);
    } else {
      pause = std::min(pause + pause / 8 + 1, kIdleMs);
    }
  }
  pass_in_spare_memory();
  for (Watcher* const watcher : present_) watcher->gone = true;
  try {
    drop_those_gone();
  } catch (const std::bad_alloc&) {
    // They are closed with this object.
  }
}

uint32_t Watchers::pass_in_spare_memory() noexcept {
  try {
    return pass();
  } catch (const std::bad_alloc&) {
    return 1;  // soon again: what was not shown is in the rings still
  }
}

void Watchers::wait(int milliseconds) {
  pollfd wakeup = {wakeup_.fd(), POLLIN, 0};
  if (poll(&wakeup, 1, milliseconds) <= 0) return;
  eventfd_t count;
  eventfd_read(wakeup_.fd(), &count);
}

uint32_t Watchers::pass() {
  present_.clear();
  {
    core::MutexLock lock(mutex_);
    for (const auto& watcher : watchers_) present_.push_back(watcher.get());
  }
  for (Watcher* const watcher : present_) watcher->blocked = false;
  const uint32_t events = show_events();
  note_lost_changes();
  for (Watcher* const watcher : present_) {
    if ((watcher->streams & Streams::kChanges) != 0) show(*watcher, {});
    send(*watcher);
    throw_input_away(*watcher);
  }
  drop_those_gone();
  return events;
}

// Of what lies at the heads of the rings always the oldest. An event that gets its number now may
// still come into its ring after a younger one was shown: nobody waits for it. Each ring is read as
// far as it was full in the beginning, about, so that a pass ends.
uint32_t Watchers::show_events() {
  constexpr uint32_t kMostEvents = 4096;  // 300 KiB of rings
  uint32_t events = 0;
  for (; events < kMostEvents; ++events) {
    EventRing* oldest = nullptr;
    EventRing::Record first;
    for (const auto& ring : log_.rings()) {
      const EventRing::Record record = ring->front();
      if (record.event == nullptr) continue;
      if (first.event == nullptr || record.event->gid < first.event->gid) {
        oldest = ring.get();
        first = record;
      }
    }
    if (oldest == nullptr) break;
    note_lost_changes();
    line_.clear();
    for (Watcher* const watcher : present_) {
      if ((watcher->streams & streams_of(*first.event)) == 0 || watcher->gone ||
          first.event->gid < watcher->first_gid) {
        continue;
      }
      if (line_.empty()) append_line(*first.event, first.text, line_);
      show(*watcher, line_);
    }
    oldest->pop();
  }
  return events;
}

// Before each line: who has read a line of a change that he has made himself has been told of all
// that was lost before.
void Watchers::note_lost_changes() noexcept {
  uint64_t lost = 0;
  for (const auto& ring : log_.rings()) lost += ring->lost_changes().get();
  if (lost == lost_changes_) [[likely]]
    return;
  for (Watcher* const watcher : present_) {
    if ((watcher->streams & Streams::kChanges) != 0) watcher->skipped += lost - lost_changes_;
  }
  lost_changes_ = lost;
}

void Watchers::show(Watcher& watcher, std::string_view line) {
  if (line.empty() && watcher.skipped == 0) return;
  try {
    const std::string told =
        watcher.skipped > 0 ? "skipped=" + std::to_string(watcher.skipped) + "\n" : std::string();
    const auto bytes = [&] { return watcher.out.size() + told.size() + line.size(); };
    if (bytes() > buffer_bytes_) send(watcher);
    if (bytes() <= buffer_bytes_) {
      watcher.out.reserve(bytes());
      watcher.out += told;
      watcher.out += line;
      watcher.skipped = 0;
      if (!line.empty()) sent_.add();
      return;
    }
  } catch (const std::bad_alloc&) {
    // Only this watcher does without: others have been shown the line.
  }
  if (line.empty()) return;
  ++watcher.skipped;
  skipped_.add();
}

void Watchers::send(Watcher& watcher) {
  if (watcher.out.empty() || watcher.blocked || watcher.gone) return;
  const iovec whole = {watcher.out.data(), watcher.out.size()};
  const Socket::Moved moved = watcher.socket.send({&whole, 1});
  switch (moved.status) {
    case Socket::Status::Ok:
      watcher.blocked = moved.bytes < watcher.out.size();
      watcher.out.erase(0, moved.bytes);
      return;
    case Socket::Status::Again:
      watcher.blocked = true;
      return;
    case Socket::Status::Closed:
    case Socket::Status::Broken:
      watcher.gone = true;
      return;
  }
}

void Watchers::throw_input_away(Watcher& watcher) {
  std::array<char, kInputBytes> input;
  const Socket::Moved moved = watcher.socket.receive(std::span<char>(input));
  if (moved.status == Socket::Status::Closed || moved.status == Socket::Status::Broken) {
    watcher.gone = true;
  }
}

void Watchers::drop_those_gone() {
  for (Watcher*& watcher : present_) {
    if (!watcher->gone) continue;
    const Endpoint peer = peer_endpoint(watcher->socket.fd());
    const int fd = watcher->socket.fd();
    {
      core::MutexLock lock(mutex_);
      std::erase_if(watchers_, [&](const auto& w) { return w.get() == watcher; });
      --admitted_;
      want_what_is_watched();
    }
    watcher = nullptr;
    if (log_.wants(Streams::kConnEvents)) {
      log_.write_connection(EventKind::ConnClose, fd, peer, CloseReason::Error);
    }
    closed_();
  }
  std::erase(present_, nullptr);
}

}  // namespace larder::daemon
