// Slab: one shard's pages, cut into equal chunks, one size class a page.
//
// Free chunks are listed per page, so that a page can be taken out of service at once when it is
// to move to another class, and full pages are preferred, so that sparse ones run empty by
// themselves. Chunks are carved as they are first needed: an unused page stays untouched.
//
// Threads: under the shard's lock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/expiry_index.h"
#include "core/item.h"
#include "core/page_pool.h"
#include "core/size_classes.h"

namespace larder::core {

class Slab {
 public:
  struct Class {
    PageNumber with_room = kNoPage;       // first of the pages that have a free chunk
    PageNumber last_with_room = kNoPage;  // meaningless where there is none
    std::vector<PageNumber> pages;        // all of them, in no particular order
    uint64_t chunks = 0;                  // capacity of its pages
    uint64_t used = 0;
    uint64_t withheld = 0;  // free, but on pages that are being emptied
    uint64_t free() const noexcept { return chunks - used; }
    // What take() can give.
    uint64_t available() const noexcept { return free() - withheld; }
  };

  Slab(PagePool& pool, const SizeClasses& classes, uint16_t shard);

  // A chunk of the class from a page that has room, or 0. It is a draft until mark_published.
  Ref take(uint32_t size_class) noexcept;
  // Returns a chunk. If its page is empty now, the page has left the slab and is the caller's.
  PageNumber put(Ref ref) noexcept;
  // Has memory for the next add_page of the class. Throws std::bad_alloc, and nothing has changed.
  void prepare_page(uint32_t size_class);
  void add_page(PageNumber page, uint32_t size_class);

  // A whole page as one part of a large value; not visited by hand or sweep.
  void add_large_page(PageNumber page) noexcept;

  void mark_published(Ref ref) noexcept { --info(ref).drafts; }
  void unmark_published(Ref ref) noexcept { ++info(ref).drafts; }
  void mark_part(Ref ref) noexcept {
    --info(ref).drafts;
    ++info(ref).parts;
  }
  void unmark_part(Ref ref) noexcept { --info(ref).parts; }
  void mark_held(Ref ref) noexcept { ++info(ref).holds; }
  void unmark_held(Ref ref) noexcept { --info(ref).holds; }

  // Stops a page from giving out chunks, or lets it again.
  void start_draining(PageNumber page) noexcept;
  void stop_draining(PageNumber page) noexcept;
  // Of a class's pages that could be emptied the one with the fewest items, of 64 that it looks at;
  // kNoPage if none of them could. What it finds with a draft, a part or a hold it puts behind the
  // others, so that the next call looks at other pages.
  PageNumber sparsest_page(uint32_t size_class) noexcept;
  // The class with the most free bytes, at least a page of them; kNoClass if there is none.
  uint32_t class_with_spare_page() noexcept;
  static constexpr uint32_t kNoClass = UINT32_MAX;

  // The pages of all classes, in no particular order; the sweep walks them.
  const std::vector<PageNumber>& pages() const noexcept { return pages_; }
  const Class& of(uint32_t size_class) const noexcept { return classes_[size_class]; }
  uint32_t chunk_bytes(uint32_t size_class) const noexcept {
    return sizes_.chunk_bytes(size_class);
  }
  uint64_t large_pages() const noexcept { return large_pages_; }

  PageInfo& info(Ref ref) noexcept { return pool_.info(PagePool::page_of(ref)); }
  Ref chunk(PageNumber page, uint32_t index) const noexcept {
    return (Ref{page} << kPageShift) + index * (pool_.info(page).chunk_bytes >> kRefShift);
  }
  uint32_t chunk_index(const Item& item) const noexcept {
    const Ref ref = pool_.ref_of(&item);
    const auto units = static_cast<uint32_t>(ref & ((Ref{1} << kPageShift) - 1));
    return units / (pool_.info(PagePool::page_of(ref)).chunk_bytes >> kRefShift);
  }
  // Of all chunks that are not used.
  uint64_t free_bytes() const noexcept { return free_bytes_; }
  uint32_t classes_in_use() const noexcept { return classes_in_use_; }

  // -- Expiry: at which times what lies where expires; never later than the truth.
  // An item of this expiry is published there.
  void note_expiry(Ref ref, Seconds expiry) noexcept {
    if (expiry == kNever) return;
    const PageNumber page = PagePool::page_of(ref);
    Seconds& of_block = pool_.expiries(page)[block_of(ref)];
    if (expiry >= of_block) return;
    of_block = expiry;
    expiries_.lower(pool_.info(page).index, expiry);
  }
  bool has_due(Seconds now) const noexcept { return expiries_.earliest() <= now; }
  // A page in which a block may hold what has expired; kNoPage if there is none.
  PageNumber due_page(Seconds now) const noexcept {
    const uint32_t index = expiries_.find_due(now);
    return index == ExpiryIndex::kNone ? kNoPage : pages_[index];
  }
  // What begins in a block of a page: chunks `first` to `end` - 1.
  struct ChunkRange {
    uint32_t first;
    uint32_t end;
  };
  ChunkRange chunks_in_block(PageNumber page, uint32_t block) const noexcept {
    const PageInfo& info = pool_.info(page);
    const auto from = static_cast<uint32_t>(block * kBlockBytes);
    const auto to = static_cast<uint32_t>(from + kBlockBytes);
    const uint32_t bytes = info.chunk_bytes;
    return {(from + bytes - 1) / bytes, std::min<uint32_t>((to + bytes - 1) / bytes, info.carved)};
  }
  // The earliest expiry in a block, after a walk. When the page's blocks are done: page_walked.
  void set_block_expiry(PageNumber page, uint32_t block, Seconds expiry) noexcept {
    pool_.expiries(page)[block] = expiry;
  }
  void page_walked(PageNumber page) noexcept {
    const BlockExpiries& blocks = pool_.expiries(page);
    expiries_.set(pool_.info(page).index, *std::min_element(blocks.begin(), blocks.end()));
  }

  // Takes possession of the shard's pages as the side table has them, in a slab that is new, after
  // a restart: no chunk is a draft's or held. False if they contradict each other.
  bool adopt_pages(const ShardPages& own);
  // True if no chunk is a draft's.
  bool is_settled() const noexcept;

  void check_invariants() const;

 private:
  // Takes what is at `index` out of a list whose members know their place.
  void drop(std::vector<PageNumber>& pages, uint32_t PageInfo::*index, PageNumber page) noexcept;
  void link(PageNumber page) noexcept;
  void link_last(PageNumber page) noexcept;
  void unlink(PageNumber page) noexcept;
  static uint32_t block_of(Ref ref) noexcept {
    return static_cast<uint32_t>((ref & ((Ref{1} << kPageShift) - 1)) / (kBlockBytes >> kRefShift));
  }
  static bool has_room(const PageInfo& page) noexcept { return page.used < page.chunks; }

  PagePool& pool_;
  const SizeClasses& sizes_;
  const uint16_t shard_;
  std::vector<Class> classes_;
  std::vector<PageNumber> pages_;
  ExpiryIndex expiries_;  // of pages_, in their order
  uint64_t free_bytes_ = 0;
  uint32_t classes_in_use_ = 0;
  uint64_t large_pages_ = 0;
};

}  // namespace larder::core
