// Eviction: in which order items go. A clock over the shard's pages in chunk order, all classes
// together; no links in items.
//
// A hit raises the item's 2-bit clock (item_writer.h, note_hit); the hand passes over an item whose
// clock is not 0 and lowers it, and takes the first that is 0. What is expired or flushed is taken
// at once. Since chunks are reused behind the hand, a new item gets nearly a whole round.
//
// The interface is this small so that a better policy can take its place: choose a victim, be told
// of nothing else. Threads: under the shard's lock.
#pragma once

#include <cstdint>

#include "core/item.h"
#include "core/page_pool.h"
#include "core/slab.h"

namespace larder::core {

class Eviction {
 public:
  Eviction(PagePool& pool, const Slab& slab) : pool_(pool), slab_(slab) {}

  // The next live item that should go, or null if none was met within `steps` chunks. An item for
  // which is_gone(item) holds (expired, flushed) goes first.
  template <class IsGone>
  Item* victim(uint32_t& steps, IsGone is_gone) noexcept {
    Item* coldest = nullptr;
    uint32_t live_seen = 0;
    while (steps > 0 && !slab_.pages().empty()) {
      if (page_ >= slab_.pages().size()) page_ = chunk_ = 0;
      const PageNumber page = slab_.pages()[page_];
      const PageInfo& info = pool_.info(page);
      if (chunk_ >= info.carved) {
        ++page_;
        chunk_ = 0;
        --steps;
        continue;
      }
      Item* item = reinterpret_cast<Item*>(pool_.at(slab_.chunk(page, chunk_++)));
      --steps;
      if ((item->state() & Item::kStateMask) != Item::kLive) continue;
      const uint32_t heat = item->heat();
      if (Item::clock(heat) == 0 || is_gone(*item)) return item;
      lower_clock(*item, heat);
      if (coldest == nullptr || Item::clock(heat) < Item::clock(coldest->heat())) coldest = item;
      // Everything is hot: a bound on the work matters more than the best victim.
      if (++live_seen >= kLiveStepsPerVictim) return coldest;
    }
    return nullptr;
  }

  // The item at the hand, for its age; null if there is none. `size_class` UINT32_MAX: any.
  const Item* at_hand() const noexcept;

 private:
  static constexpr uint32_t kLiveStepsPerVictim = 32;

  static void lower_clock(const Item& item, uint32_t heat) noexcept;

  PagePool& pool_;
  const Slab& slab_;
  size_t page_ = 0;
  uint32_t chunk_ = 0;
};

}  // namespace larder::core
