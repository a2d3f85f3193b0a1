// Slab: one shard's pages, cut into equal chunks, one size class a page.
//
// Free chunks are listed per page, so that a page can be taken out of service at once when it is
// to move to another class, and full pages are preferred, so that sparse ones run empty by
// themselves. Chunks are carved as they are first needed: an unused page stays untouched.
//
// Threads: under the shard's lock.
#pragma once

#include <cstdint>
#include <vector>

#include "core/item.h"
#include "core/page_pool.h"
#include "core/size_classes.h"

namespace larder::core {

class Slab {
 public:
  struct Class {
    PageNumber with_room = kNoPage;  // first of the pages that have a free chunk
    std::vector<PageNumber> pages;   // all of them, in no particular order
    uint64_t chunks = 0;             // capacity of its pages
    uint64_t used = 0;
    uint64_t free() const noexcept { return chunks - used; }
  };

  Slab(PagePool& pool, const SizeClasses& classes, uint16_t shard);

  // A chunk of the class from a page that has room, or 0. It is a draft until mark_published.
  Ref take(uint32_t size_class) noexcept;
  // Returns a chunk. If its page is empty now, the page has left the slab and is the caller's.
  PageNumber put(Ref ref) noexcept;
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

  // Stops a page from giving out chunks, or lets it again.
  void start_draining(PageNumber page) noexcept;
  void stop_draining(PageNumber page) noexcept;
  // Of a class's pages that could be emptied the one with the fewest items; kNoPage if none.
  PageNumber sparsest_page(uint32_t size_class) const noexcept;
  // The class with the most free bytes, at least a page of them; kNoClass if there is none.
  uint32_t class_with_spare_page() const noexcept;
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
  // For the sweep: an item of this expiry now lies in the page.
  void note_expiry(Ref ref, Seconds expiry) noexcept {
    if (expiry == kNever) return;
    PageInfo& page = info(ref);
    if (page.min_expiry == kNever || expiry < page.min_expiry) page.min_expiry = expiry;
  }

  void check_invariants() const;

 private:
  // Takes what is at `index` out of a list whose members know their place.
  void drop(std::vector<PageNumber>& pages, uint32_t PageInfo::*index, PageNumber page) noexcept;
  void link(PageNumber page) noexcept;
  void unlink(PageNumber page) noexcept;
  static bool has_room(const PageInfo& page) noexcept { return page.used < page.chunks; }

  PagePool& pool_;
  const SizeClasses& sizes_;
  const uint16_t shard_;
  std::vector<Class> classes_;
  std::vector<PageNumber> pages_;
  uint64_t large_pages_ = 0;
};

}  // namespace larder::core
