#include "core/eviction.h"

#include "core/item_writer.h"

namespace larder::core {

void Eviction::lower_clock(const Item& item, uint32_t heat) noexcept {
  // A reader may raise it at the same moment; one of the two is lost, which costs one tick.
  ItemWriter::set_heat(item, heat - 1);
}

const Item* Eviction::at_hand() const noexcept {
  if (slab_.pages().empty()) return nullptr;
  size_t p = page_ < slab_.pages().size() ? page_ : 0;
  const PageNumber page = slab_.pages()[p];
  const PageInfo& info = pool_.info(page);
  for (uint32_t c = p == page_ ? chunk_ : 0; c < info.carved; ++c) {
    const Item* item = reinterpret_cast<const Item*>(pool_.at(slab_.chunk(page, c)));
    if ((item->state() & Item::kStateMask) == Item::kLive) return item;
  }
  return nullptr;
}

}  // namespace larder::core
