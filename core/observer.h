// Observer: who is told what a cache does by itself, where no caller would see it.
//
// Given in CacheConfig and alive as long as the cache is. The calls come from whichever thread
// makes the cache do it, under a shard's lock: they must be short, must not call the cache, and
// keep nothing of what they are shown. While nothing is wanted the cost is one relaxed load for
// each eviction.
#pragma once

#include <cstdint>

#include "core/atomic.h"
#include "core/item.h"
#include "core/units.h"

namespace larder::core {

class Observer {
 public:
  static constexpr uint32_t kEvictions = 1u << 0;
  static constexpr uint32_t kPageMoves = 1u << 1;

  // Which calls are made from now on; calls that are on their way may still come. Any thread.
  void want(uint32_t calls) noexcept { wanted_.store(calls, std::memory_order_relaxed); }
  bool wants(uint32_t call) const noexcept {
    return (wanted_.load(std::memory_order_relaxed) & call) != 0;
  }

  // A live item goes for want of room. `size_class` as Cache::class_of has it.
  virtual void evicted(const Item& item, uint32_t size_class, Seconds now) noexcept = 0;
  // A page of the class was emptied and is there for any other.
  virtual void page_moved(uint32_t size_class) noexcept = 0;

 protected:
  ~Observer() = default;

 private:
  Atomic<uint32_t> wanted_{0};  // publishes nothing else
};

}  // namespace larder::core
