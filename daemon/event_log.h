// EventLog: where threads tell what happens, each into a ring of its own, as long as somebody
// watches. Nobody who tells ever waits.
//
// While a stream is not watched, telling costs one relaxed load. Who tells asks wants() first, so
// that nothing is put together in vain.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/observer.h"
#include "daemon/event.h"
#include "daemon/event_ring.h"

namespace larder::daemon {

class EventLog final : public core::Observer {
 public:
  // Throws std::runtime_error if memory for the rings cannot be had.
  EventLog(uint32_t writers, size_t ring_bytes);
  ~EventLog();

  // -- Any thread.
  // Whether any of these Streams is watched.
  bool wants(uint32_t streams) const noexcept {
    return (wanted_.load(std::memory_order_relaxed) & streams) != 0;
  }
  // Which streams are watched from now on; a thread may notice a little later.
  void want(uint32_t streams) noexcept;
  // Numbers an event, or the moment from which a watcher is shown them.
  uint64_t next_gid() noexcept { return gid_.fetch_add(1, std::memory_order_relaxed) + 1; }
  // This thread is writer number `writer` from now on: no other thread may be.
  void become_writer(uint32_t writer) noexcept { own_ring = rings_[writer].get(); }

  // -- A writer. Sets gid and time. On a thread that is none the event is dropped.
  void write(Event event, std::string_view text) noexcept;
  void write_connection(EventKind kind, int fd, const Endpoint& peer,
                        CloseReason reason = CloseReason::Error) noexcept;
  void write_tls_error(int fd, std::string_view message) noexcept;
  // If anybody watches changes. fd: -1 where a flush was scheduled before.
  void write_flush(int fd) noexcept;

  // -- core::Observer: a writer, under a shard's lock.
  void evicted(const core::Item& item, uint32_t size_class, core::Seconds now) noexcept override;
  void page_moved(uint32_t size_class) noexcept override;

  // -- The reader of all rings: one thread.
  const std::vector<std::unique_ptr<EventRing>>& rings() const noexcept { return rings_; }

 private:
  // Evictions come from deep within the cache, which does not know which worker calls.
  static thread_local EventRing* own_ring;

  std::vector<std::unique_ptr<EventRing>> rings_;
  alignas(64) std::atomic<uint32_t> wanted_{0};  // publishes nothing else
  alignas(64) std::atomic<uint64_t> gid_{0};     // likewise
};

}  // namespace larder::daemon
