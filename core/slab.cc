#include "core/slab.h"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/item_writer.h"
#include "core/poison.h"
#include "core/reserve_for_one.h"

namespace larder::core {
namespace {

// How far down a class's list a sparse page is looked for.
constexpr int kPagesConsidered = 64;

}  // namespace

Slab::Slab(PagePool& pool, const SizeClasses& classes, uint16_t shard)
    : pool_(pool), sizes_(classes), shard_(shard), classes_(classes.count()) {}

void Slab::link(PageNumber page) noexcept {
  PageInfo& info = pool_.info(page);
  Class& c = classes_[info.size_class];
  info.previous = kNoPage;
  info.next = c.with_room;
  if (c.with_room != kNoPage) pool_.info(c.with_room).previous = page;
  c.with_room = page;
  if (info.next == kNoPage) c.last_with_room = page;
}

void Slab::link_last(PageNumber page) noexcept {
  Class& c = classes_[pool_.info(page).size_class];
  if (c.with_room == kNoPage) return link(page);
  PageInfo& info = pool_.info(page);
  info.previous = c.last_with_room;
  info.next = kNoPage;
  pool_.info(c.last_with_room).next = page;
  c.last_with_room = page;
}

void Slab::drop(std::vector<PageNumber>& pages, uint32_t PageInfo::*index,
                PageNumber page) noexcept {
  const PageNumber last = pages.back();
  const uint32_t place = pool_.info(page).*index;
  pages[place] = last;
  pool_.info(last).*index = place;
  pages.pop_back();
}

void Slab::unlink(PageNumber page) noexcept {
  PageInfo& info = pool_.info(page);
  Class& c = classes_[info.size_class];
  if (info.previous != kNoPage) {
    pool_.info(info.previous).next = info.next;
  } else {
    c.with_room = info.next;
  }
  if (info.next != kNoPage) {
    pool_.info(info.next).previous = info.previous;
  } else {
    c.last_with_room = info.previous;
  }
}

void Slab::prepare_page(uint32_t size_class) {
  reserve_for_one(pages_);
  reserve_for_one(classes_[size_class].pages);
  expiries_.prepare();
}

void Slab::add_page(PageNumber page, uint32_t size_class) {
  PageInfo& info = pool_.info(page);
  info = PageInfo{};
  info.kind = PageInfo::Kind::Chunks;
  info.size_class = static_cast<uint8_t>(size_class);
  info.shard = shard_;
  info.chunks = static_cast<uint16_t>(sizes_.chunks_per_page(size_class));
  info.free_head = kNoChunk;
  info.chunk_bytes = sizes_.chunk_bytes(size_class);
  info.index = static_cast<uint32_t>(pages_.size());
  pool_.expiries(page).fill(ExpiryIndex::kLater);
  pages_.push_back(page);
  expiries_.add();
  Class& c = classes_[size_class];
  info.index_in_class = static_cast<uint32_t>(c.pages.size());
  if (c.pages.empty()) ++classes_in_use_;
  c.pages.push_back(page);
  c.chunks += info.chunks;
  free_bytes_ += uint64_t{info.chunks} * info.chunk_bytes;
  link(page);
}

void Slab::add_large_page(PageNumber page) noexcept {
  PageInfo& info = pool_.info(page);
  info = PageInfo{};
  info.kind = PageInfo::Kind::Large;
  info.shard = shard_;
  info.chunks = 1;
  info.carved = 1;
  info.used = 1;
  info.parts = 1;
  info.free_head = kNoChunk;
  info.chunk_bytes = kPageBytes;
  ++large_pages_;
}

Ref Slab::take(uint32_t size_class) noexcept {
  Class& c = classes_[size_class];
  const PageNumber page = c.with_room;
  if (page == kNoPage) return 0;
  PageInfo& info = pool_.info(page);
  uint32_t index;
  if (info.free_head != kNoChunk) {
    index = info.free_head;
    char* at = pool_.at(chunk(page, index));
    std::memcpy(&info.free_head, at, sizeof info.free_head);
    unpoison(at, info.chunk_bytes);
  } else {
    index = info.carved++;
    // The hand looks at the state of every carved chunk.
    ItemWriter::set_state(*reinterpret_cast<Item*>(pool_.at(chunk(page, index))), Item::kDraft);
  }
  ++info.used;
  ++info.drafts;
  ++c.used;
  free_bytes_ -= info.chunk_bytes;
  if (!has_room(info)) unlink(page);
  return chunk(page, index);
}

PageNumber Slab::put(Ref ref) noexcept {
  const PageNumber page = PagePool::page_of(ref);
  PageInfo& info = pool_.info(page);
  if (info.kind == PageInfo::Kind::Large) {
    --large_pages_;
    return page;
  }
  char* at = pool_.at(ref);
  Class& c = classes_[info.size_class];
  --c.used;
  free_bytes_ += info.chunk_bytes;
  const bool was_full = !has_room(info);
  if (info.draining) ++c.withheld;
  if (--info.used == 0) {
    if (info.draining) {
      c.withheld -= info.chunks;
    } else if (!was_full) {
      unlink(page);
    }
    c.chunks -= info.chunks;
    free_bytes_ -= uint64_t{info.chunks} * info.chunk_bytes;
    drop(c.pages, &PageInfo::index_in_class, page);
    if (c.pages.empty()) --classes_in_use_;
    expiries_.remove(info.index);
    drop(pages_, &PageInfo::index, page);
    unpoison(pool_.address(page), kPageBytes);
    return page;
  }
  const uint32_t index =
      static_cast<uint32_t>(ref - (Ref{page} << kPageShift)) / (info.chunk_bytes >> kRefShift);
  ItemWriter::set_state(*reinterpret_cast<Item*>(at), Item::kDraft);
  std::memcpy(at, &info.free_head, sizeof info.free_head);
  info.free_head = static_cast<uint16_t>(index);
  poison(at + Item::kHeaderBytes, info.chunk_bytes - Item::kHeaderBytes);
  if (was_full && !info.draining) link(page);
  return kNoPage;
}

void Slab::start_draining(PageNumber page) noexcept {
  PageInfo& info = pool_.info(page);
  if (has_room(info)) unlink(page);
  info.draining = true;
  classes_[info.size_class].withheld += info.chunks - info.used;
}

void Slab::stop_draining(PageNumber page) noexcept {
  PageInfo& info = pool_.info(page);
  info.draining = false;
  classes_[info.size_class].withheld -= info.chunks - info.used;
  if (has_room(info)) link(page);
}

PageNumber Slab::sparsest_page(uint32_t size_class) noexcept {
  const PageNumber front = classes_[size_class].with_room;
  PageNumber best = kNoPage;
  PageNumber first_moved = kNoPage;
  PageNumber page = front;
  for (int i = 0; i < kPagesConsidered && page != kNoPage && page != first_moved; ++i) {
    const PageInfo& info = pool_.info(page);
    const PageNumber next = info.next;
    if (info.drafts == 0 && info.parts == 0 && info.holds == 0) {
      if (best == kNoPage || info.used < pool_.info(best).used) best = page;
    } else if (page != front) {
      // Drafts, parts and holds may stay for long: the next calls are to see what lies behind. In
      // front lies the page that chunks are taken from, and its draft is usually done at once.
      if (first_moved == kNoPage) first_moved = page;
      unlink(page);
      link_last(page);
    }
    page = next;
  }
  return best;
}

uint32_t Slab::class_with_spare_page() noexcept {
  uint32_t best = kNoClass;
  uint64_t best_bytes = kPageBytes - 1;
  for (uint32_t c = 0; c < classes_.size(); ++c) {
    const uint64_t available = classes_[c].available();
    if (available < sizes_.chunks_per_page(c)) continue;
    const uint64_t bytes = (available + 1) * sizes_.chunk_bytes(c);
    if (bytes > best_bytes && sparsest_page(c) != kNoPage) {
      best = c;
      best_bytes = bytes;
    }
  }
  return best;
}

bool Slab::is_settled() const noexcept {
  return std::all_of(pages_.begin(), pages_.end(),
                     [this](PageNumber page) { return pool_.info(page).drafts == 0; });
}

bool Slab::adopt_pages(const ShardPages& own) {
  large_pages_ = own.large.size();
  std::vector<uint32_t> in_class(classes_.size());
  for (const PageNumber page : own.chunks) {
    const PageInfo& info = pool_.info(page);
    const uint32_t c = info.size_class;
    if (c >= sizes_.count() || info.chunks != sizes_.chunks_per_page(c) ||
        info.chunk_bytes != sizes_.chunk_bytes(c) || info.carved > info.chunks || info.used == 0 ||
        info.used > info.carved || info.drafts != 0 || info.parts > info.used ||
        (info.free_head != kNoChunk && info.free_head >= info.carved)) {
      return false;
    }
    ++in_class[c];
  }
  // Each knows its places; these must be all, and each once.
  pages_.assign(own.chunks.size(), kNoPage);
  for (uint32_t c = 0; c < classes_.size(); ++c) {
    classes_[c].pages.assign(in_class[c], kNoPage);
    if (in_class[c] > 0) ++classes_in_use_;
  }
  for (const PageNumber page : own.chunks) {
    PageInfo& info = pool_.info(page);
    Class& c = classes_[info.size_class];
    if (info.index >= pages_.size() || pages_[info.index] != kNoPage ||
        info.index_in_class >= c.pages.size() || c.pages[info.index_in_class] != kNoPage) {
      return false;
    }
    pages_[info.index] = page;
    c.pages[info.index_in_class] = page;
    c.chunks += info.chunks;
    c.used += info.used;
    free_bytes_ +=
        uint64_t{info.chunks} * info.chunk_bytes - uint64_t{info.used} * info.chunk_bytes;
    info.draining = false;
    info.holds = 0;
  }
  for (const PageNumber page : pages_) {
    expiries_.add();
    page_walked(page);
  }
  // The fullest in front.
  std::vector<PageNumber> with_room;
  for (const PageNumber page : pages_) {
    if (has_room(pool_.info(page))) with_room.push_back(page);
  }
  std::stable_sort(with_room.begin(), with_room.end(), [this](PageNumber a, PageNumber b) {
    return pool_.info(a).used < pool_.info(b).used;
  });
  for (const PageNumber page : with_room) link(page);
  return true;
}

void Slab::check_invariants() const {
  const auto require = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "slab invariant broken: %s\n", what);
    std::abort();
  };
  std::vector<Class> seen(classes_.size());
  expiries_.check_invariants();
  require(expiries_.size() == pages_.size(), "the expiry index has not one entry a page");
  uint64_t free_bytes = 0;
  for (uint32_t i = 0; i < pages_.size(); ++i) {
    const PageInfo& info = pool_.info(pages_[i]);
    require(info.kind == PageInfo::Kind::Chunks && info.index == i && info.shard == shard_,
            "a page is not where its info says");
    require(info.carved <= info.chunks && info.used <= info.carved, "more used than carved");
    uint32_t free = 0;
    for (uint16_t f = info.free_head; f != kNoChunk; ++free) {
      require(f < info.carved, "a free chunk that was never carved");
      const char* at = pool_.at(chunk(pages_[i], f));
      require((reinterpret_cast<const Item*>(at)->state() & Item::kStateMask) == Item::kDraft,
              "a free chunk is marked live");
      std::memcpy(&f, at, sizeof f);
    }
    require(free + info.used == info.carved, "free and used chunks do not add up");
    uint32_t live = 0;
    for (uint32_t c = 0; c < info.carved; ++c) {
      const Item* item = reinterpret_cast<const Item*>(pool_.at(chunk(pages_[i], c)));
      if ((item->state() & Item::kStateMask) != Item::kLive) continue;
      ++live;
      if (const Seconds e = item->expiry(); e != kNever) {
        require(pool_.expiries(pages_[i])[block_of(chunk(pages_[i], c))] <= e,
                "an item expires before its block's minimum");
      }
    }
    for (const Seconds e : pool_.expiries(pages_[i])) {
      require(expiries_.of(i) <= e, "a block's earliest expiry is before its page's");
    }
    require(live + info.drafts + info.parts <= info.used, "more live, draft and parts than used");
    require(info.holds <= info.used, "more held than used");
    Class& c = seen[info.size_class];
    require(classes_[info.size_class].pages[info.index_in_class] == pages_[i],
            "a page is not where its class has it");
    c.pages.push_back(pages_[i]);
    c.chunks += info.chunks;
    c.used += info.used;
    if (info.draining) c.withheld += info.chunks - info.used;
  }
  uint32_t classes_in_use = 0;
  for (uint32_t c = 0; c < classes_.size(); ++c) {
    free_bytes += classes_[c].free() * sizes_.chunk_bytes(c);
    if (!classes_[c].pages.empty()) ++classes_in_use;
    require(seen[c].pages.size() == classes_[c].pages.size() &&
                seen[c].chunks == classes_[c].chunks && seen[c].used == classes_[c].used &&
                seen[c].withheld == classes_[c].withheld,
            "class totals differ from its pages");
    PageNumber last = kNoPage;
    for (PageNumber p = classes_[c].with_room; p != kNoPage; p = pool_.info(p).next) {
      require(pool_.info(p).previous == last, "the list of pages with room is broken");
      last = p;
      const PageInfo& info = pool_.info(p);
      require(info.size_class == c && has_room(info) && !info.draining,
              "a page without room is listed");
    }
    require(last == kNoPage || last == classes_[c].last_with_room,
            "the last page with room is not where its class has it");
  }
  require(free_bytes == free_bytes_, "the free bytes do not add up");
  require(classes_in_use == classes_in_use_, "the classes in use do not add up");
}

}  // namespace larder::core
