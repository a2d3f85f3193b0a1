#include "daemon/event_log.h"

#include <ctime>
#include <new>
#include <stdexcept>
#include <string>

namespace larder::daemon {
namespace {

int64_t unix_microseconds() noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

}  // namespace

thread_local EventRing* EventLog::own_ring = nullptr;

EventLog::EventLog(uint32_t writers, size_t ring_bytes) {
  try {
    for (uint32_t i = 0; i < writers; ++i)
      rings_.push_back(std::make_unique<EventRing>(ring_bytes));
  } catch (const std::bad_alloc&) {
    throw std::runtime_error("option -o worker_logbuf_size: no memory for " +
                             std::to_string(writers) + " times " +
                             std::to_string(ring_bytes >> 10) + " KiB");
  }
}

// Other writers have ended with their threads.
EventLog::~EventLog() {
  for (const auto& ring : rings_) {
    if (own_ring == ring.get()) own_ring = nullptr;
  }
}

void EventLog::want(uint32_t streams) noexcept {
  wanted_.store(streams, std::memory_order_relaxed);
  core::Observer::want(((streams & Streams::kEvictions) != 0 ? kEvictions : 0) |
                       ((streams & Streams::kSysEvents) != 0 ? kPageMoves : 0));
}

void EventLog::write(Event event, std::string_view text) noexcept {
  if (own_ring == nullptr) return;
  event.gid = next_gid();
  event.unix_us = unix_microseconds();
  own_ring->write(event, text);
}

void EventLog::write_connection(EventKind kind, int fd, const Endpoint& peer,
                                CloseReason reason) noexcept {
  Event event;
  event.kind = kind;
  event.what = static_cast<uint8_t>(peer.transport);
  event.how = static_cast<uint8_t>(reason);
  event.fd = fd;
  event.number = peer.port;
  write(event, peer.ip);
}

void EventLog::write_tls_error(int fd, std::string_view message) noexcept {
  Event event;
  event.kind = EventKind::TlsError;
  event.fd = fd;
  write(event, message);
}

void EventLog::write_flush(int fd) noexcept {
  if (!wants(Streams::kChanges)) return;
  Event event;
  event.kind = EventKind::FlushAll;
  event.fd = fd;
  write(event, {});
}

void EventLog::evicted(const core::Item& item, uint32_t size_class, core::Seconds now) noexcept {
  const core::Heat heat = item.heat();
  Event event;
  event.kind = EventKind::Eviction;
  event.what = heat.fetched() ? 1 : 0;
  event.ttl_seconds = item.expiry() == core::kNever ? -1 : int64_t{item.expiry()} - now;
  event.number = heat.idle_seconds(now);
  event.size_class = size_class + 1;  // numbered from 1, as in `stats slabs`
  event.value_bytes = item.value_bytes();
  write(event, item.key());
}

void EventLog::page_moved(uint32_t size_class) noexcept {
  Event event;
  event.kind = EventKind::SlabMove;
  event.size_class = size_class + 1;
  write(event, {});
}

}  // namespace larder::daemon
