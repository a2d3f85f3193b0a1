// PagePool: the cache's memory. Reserves address space once, hands out pages of 32 KiB, knows who
// has each.
//
// Why 32 KiB: classes x shards x half a page is what stands empty, and less in a page makes room
// for more classes. With 70 classes that is 1.1 MiB, under 2 % of -m 64 with the one shard that it
// gets; at 1 MiB (memcached) half of -m 64 would be stranded.
//
// The reservation is larger than the limit, so that the limit can be raised, and so that a writer
// which must wait for readers to leave a page can borrow another (overdraft) instead of failing;
// shards give borrowed pages back as soon as they can. While one worker is held up inside its turn
// nothing comes free, and all other workers store into the overdraft: it grows with the limit.
// Pages that were never used cost nothing: neither they nor their PageInfo are touched.
//
// The reservation is PROT_NONE. The pool opens a prefix of it for reading and writing: the pages of
// the highest limit so far and its overdraft. So the kernel charges the process for that prefix
// alone where it counts commitments (vm.overcommit_memory=2), and one system call a limit keeps the
// number of mappings small.
//
// Over a file the pool hands out a page only after fallocate() has given the file the blocks of
// that page, since a store to a page without blocks ends the process (SIGBUS) when the file system
// is full. It asks 2 MiB ahead. When fallocate() fails the pool lowers the limit in force to what
// it has, less a margin that serves as overdraft, so that the shards evict; retry() asks again.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/atomic.h"
#include "core/item.h"
#include "core/mutex.h"
#include "core/units.h"

namespace larder::core {

class MemoryFile;
class SnapshotReader;
class SnapshotWriter;

using PageNumber = uint32_t;
constexpr PageNumber kNoPage = UINT32_MAX;
constexpr size_t kPageBytes = 32_KiB;
constexpr unsigned kPageShift = 15 - kRefShift;  // Ref >> kPageShift is its page

// What is known of a page, beside the arena so that walking pages does not touch them. Guarded by
// the lock of the shard that owns the page; a free page belongs to the pool.
struct PageInfo {
  enum class Kind : uint8_t { Free, Chunks, Large, Table };

  Kind kind;
  uint8_t size_class;
  uint16_t shard;
  uint16_t chunks;     // how many fit
  uint16_t carved;     // the first `carved` have been handed out at least once
  uint16_t used;       // live, draft, dead but not reclaimed
  uint16_t drafts;     // of them: being filled
  uint16_t parts;      // of them: parts of large values
  uint16_t free_head;  // index of the first free chunk below `carved`
  bool draining;       // being emptied: gives out no chunk
  uint8_t spared;      // its class's hand is to pass over it once (core/eviction.h)
  uint16_t holds;      // of the used chunks: held beyond a turn, live or not
  uint32_t chunk_bytes;
  uint32_t index;  // position in the shard's page list
  uint32_t index_in_class;
  PageNumber previous;  // in its class's list of pages that have room
  PageNumber next;
};
constexpr uint16_t kNoChunk = UINT16_MAX;

// The earliest expiry of what begins in each block of 4 KiB of a page, UINT32_MAX if nothing there
// expires: so that one expired item costs the walk of a block, not of a page.
constexpr size_t kBlockBytes = 4_KiB;
constexpr uint32_t kBlocksPerPage = kPageBytes / kBlockBytes;
using BlockExpiries = std::array<Seconds, kBlocksPerPage>;

// The pages of one shard, by what they are; in the order of their numbers.
struct ShardPages {
  std::vector<PageNumber> chunks;
  std::vector<PageNumber> large;
  std::vector<PageNumber> table;
};

class PagePool {
 public:
  // limit_bytes    what may be in use, side table included
  // reserve_bytes  how far the limit may be raised; where the process may not have so much address
  //                space (RLIMIT_AS), the pool reserves limit_bytes
  // file           holds the pages, begins with what is page 0 here; null: anonymous memory
  // Throws std::runtime_error if the kernel refuses the address space, or the file system has no
  // room for limit_bytes.
  PagePool(size_t limit_bytes, size_t reserve_bytes, bool huge_pages, MemoryFile* file = nullptr);
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  // A page within the limit, or kNoPage. With `overdraft` up to overdraft_pages() beyond it. Over a
  // file kNoPage as well where the file system has no room.
  PageNumber take(bool overdraft) EXCLUDES(mutex_) {
    return take(overdraft ? Bound::Overdraft : Bound::Limit);
  }
  // Bound::None: beyond the overdraft as well, as far as pages are open, for a caller that gives
  // back more than it takes soon.
  enum class Bound : uint8_t { Limit, Overdraft, None };
  PageNumber take(Bound bound) EXCLUDES(mutex_);
  void give_back(PageNumber page) EXCLUDES(mutex_);

  // Pages that are in use beyond the limit: somebody should give some back.
  size_t pages_over_limit() const noexcept {
    const size_t used = used_.load(std::memory_order_relaxed);
    const size_t limit = limit_.load(std::memory_order_relaxed);
    return used > limit ? used - limit : 0;
  }
  size_t pages_left() const noexcept {
    const size_t used = used_.load(std::memory_order_relaxed);
    const size_t limit = limit_.load(std::memory_order_relaxed);
    return used < limit ? limit - used : 0;
  }
  // Most of what may be borrowed is: soon even one item may find no room. (More than may be was
  // not borrowed: the limit was lowered.)
  bool is_nearly_overdrawn() const noexcept {
    const size_t borrowed = pages_over_limit();
    const size_t most = overdraft_pages();
    return borrowed > most / 2 && borrowed <= most;
  }
  // Whether no more than the limit in force was used at some time since it was set: what is beyond
  // it now was borrowed.
  bool limit_was_reached() const noexcept { return limit_reached_.load(std::memory_order_relaxed); }
  // How many pages may be borrowed beyond the limit in force, and the most that ever were.
  size_t overdraft_pages() const noexcept {
    return overdraft_of(limit_.load(std::memory_order_relaxed));
  }
  size_t overdraft_peak_pages() const noexcept {
    return overdraft_peak_.load(std::memory_order_relaxed);
  }
  size_t pages_used() const noexcept { return used_.load(std::memory_order_relaxed); }
  size_t pages_limit() const noexcept { return limit_.load(std::memory_order_relaxed); }

  // False if beyond the reservation, if the kernel does not commit so much memory, or if the memory
  // file has no room for it. While it falls, no huge pages are asked for: the kernel would fill
  // those again of which a part was given back.
  bool set_limit(size_t limit_bytes) noexcept EXCLUDES(mutex_);
  size_t limit_bytes() const noexcept { return limit_bytes_.load(std::memory_order_relaxed); }
  size_t reserve_bytes() const noexcept { return reserve_pages_ * kBytesPerPage; }

  // Gives the memory of up to `pages` free pages back to the kernel, as far as more is resident
  // than the limit allows, also if it is locked (mlock). What a stall has borrowed (kStallPages)
  // stays resident for kKeptSeconds: one stall seldom comes alone. A system call: hold no lock.
  // True if there is more to do. A page that the kernel does not take stays free and resident, and
  // trim() does nothing until retry() or set_limit().
  bool trim(size_t pages, Seconds now) EXCLUDES(mutex_) {
    const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
    const PageNumber ready = ready_.load(std::memory_order_relaxed);
    // Never was more resident, and nothing has been borrowed.
    if (std::max(fresh, ready) <= limit_.load(std::memory_order_relaxed) + 1) [[likely]]
      return false;
    return trim_some(pages, now);
  }
  // No stall will come any more: trim() keeps nothing for one.
  void expect_no_stall() noexcept EXCLUDES(mutex_);
  // Pages whose memory the kernel has got back.
  size_t pages_released() EXCLUDES(mutex_);

  // After the kernel has refused memory, room in the file or to take a page back: lets the pool ask
  // again, once a second. Three loads unless there was a refusal; a system call then: hold no lock.
  void retry(Seconds now) EXCLUDES(mutex_);
  // Over a file whose file system has no room for what the limit allows.
  bool is_short_of_room() const noexcept { return short_of_room_.load(std::memory_order_relaxed); }

  // Memory that was never used is touched first by whoever is told to, a huge page at a time, so
  // that nobody waits for it under a lock: some huge pages ahead of what was given out, within the
  // limit, and within the overdraft once a stall borrows (kStallPages). Not before a few are in
  // use, so that a small cache stays small.
  bool wants_ahead() const noexcept {
    const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
    const PageNumber ready = ready_.load(std::memory_order_relaxed);
    return fresh >= kAheadFromPages && ready < fresh + kAheadPages && ready <= ahead_limit() &&
           !ahead_refused_.load(std::memory_order_relaxed);
  }
  // Does one; a system call, one thread. True if more is wanted. After an error nothing is ready
  // that was not before, and nothing is wanted until retry().
  bool ready_ahead() noexcept EXCLUDES(mutex_);
  // All that is within the limit at once, seconds for a large one; nobody uses the pool meanwhile.
  // False, with errno, if the kernel does not give it; then some of it is ready.
  bool ready_all() noexcept EXCLUDES(mutex_);

  // Which pages are used and what is known of each: for a pool of the same reservation over the
  // same file. Nobody uses the pool meanwhile. restore() says false where numbers contradict each
  // other; then the pool is not to be used.
  void save(SnapshotWriter& out) EXCLUDES(mutex_);
  bool restore(SnapshotReader& in) EXCLUDES(mutex_);
  // After restore(): the pages in use of each of so many shards, found in one pass. Empty if a page
  // is of an unknown kind or of another shard.
  std::vector<ShardPages> deal(uint32_t shards) const;
  // After restore(): gives the file blocks where a used page lacks some, as in a copy without them.
  // False if its file system has no room.
  bool fill_holes() EXCLUDES(mutex_);
  // Pages from here on were never used.
  PageNumber pages_end() const noexcept { return next_fresh_.load(std::memory_order_relaxed); }

  PageInfo& info(PageNumber page) noexcept { return infos_[page]; }
  const PageInfo& info(PageNumber page) const noexcept { return infos_[page]; }
  BlockExpiries& expiries(PageNumber page) noexcept { return expiries_[page]; }
  const BlockExpiries& expiries(PageNumber page) const noexcept { return expiries_[page]; }
  char* address(PageNumber page) const noexcept { return base_ + size_t{page} * kPageBytes; }

  char* base() const noexcept { return base_; }
  char* at(Ref ref) const noexcept { return base_ + (ref << kRefShift); }
  Ref ref_of(const void* p) const noexcept {
    return static_cast<Ref>(static_cast<const char*>(p) - base_) >> kRefShift;
  }
  static PageNumber page_of(Ref ref) noexcept { return static_cast<PageNumber>(ref >> kPageShift); }

  // Bytes in drafts that are being filled, all shards.
  Atomic<uint64_t>& draft_bytes() noexcept { return draft_bytes_; }
  const Atomic<uint64_t>& draft_bytes() const noexcept { return draft_bytes_; }
  // Bytes of large values that are being copied, all shards.
  Atomic<uint64_t>& copy_bytes() noexcept { return copy_bytes_; }

  static constexpr size_t kBytesPerPage = kPageBytes + sizeof(PageInfo) + sizeof(BlockExpiries);
  static constexpr PageNumber kAheadFromPages = 128;  // 4 MiB
  static constexpr PageNumber kAheadPages = 256;      // 8 MiB
  static constexpr Seconds kKeptSeconds = 60;
  // 4 MiB: what several workers' turns may retire. 1/64: at 1 GB/s of sets the others store for
  // 16 ms of each GiB. 256 MiB: more would be missing elsewhere in the machine.
  static constexpr size_t kLeastOverdraftPages = 4_MiB / kPageBytes;
  static constexpr size_t kMostOverdraftPages = 256_MiB / kPageBytes;
  // So much is borrowed beside a stall only. Classes that lack a chunk, and pipelines of large
  // values, borrow some 2 MiB where nobody is held up.
  static constexpr size_t kStallPages = 3_MiB / kPageBytes;
  static constexpr size_t overdraft_of(size_t limit_pages) noexcept {
    return std::clamp(limit_pages / 64, kLeastOverdraftPages, kMostOverdraftPages);
  }

 private:
  // Reserves address space for a limit of so many bytes. False if the kernel refuses.
  bool reserve(size_t bytes) noexcept;
  void release() noexcept;
  // Page numbers of the reservation end here: the overdraft of the highest limit included.
  PageNumber pages_reserved() const noexcept {
    return static_cast<PageNumber>(reserve_pages_ + overdraft_of(reserve_pages_) + 1);
  }
  // Opens pages up to `end` for reading and writing, and what the side table has of them.
  bool open_up(PageNumber end) noexcept REQUIRES(mutex_);
  // Sees to it that the file has blocks for pages [begin, end). Nothing to do without a file.
  bool set_aside(PageNumber begin, PageNumber end) noexcept;
  // Has places in the lists for so many pages, so that giving one back cannot fail. Throws
  // std::bad_alloc.
  void prepare_lists(size_t pages) REQUIRES(mutex_);
  // take() without the memory. `is_resident`: it has that already.
  PageNumber take_number(Bound bound, bool& is_resident) EXCLUDES(mutex_);
  // A page that is neither used nor free, its memory sure to be there, or kNoPage.
  PageNumber untouched_page() noexcept REQUIRES(mutex_);
  // The file system is full: from now on the limit is what the pool has.
  void make_do() noexcept REQUIRES(mutex_);
  // The last page that may be touched ahead.
  size_t ahead_limit() const noexcept {
    const size_t limit = limit_.load(std::memory_order_relaxed);
    return pages_over_limit() >= kStallPages ? limit + overdraft_of(limit) : limit;
  }
  bool trim_some(size_t pages, Seconds now) EXCLUDES(mutex_);  // as trim()
  // False, with errno, if the kernel does not take the page's memory.
  bool give_to_kernel(PageNumber page) noexcept;

  char* base_ = nullptr;
  size_t reserve_pages_ = 0;  // the limit cannot be higher
  size_t mapped_bytes_ = 0;
  char* mapping_ = nullptr;
  const bool huge_pages_;
  MemoryFile* const file_;
  PageInfo* infos_ = nullptr;  // the side table, and the other half of it
  BlockExpiries* expiries_ = nullptr;
  size_t side_table_bytes_ = 0;

  Mutex mutex_;
  std::vector<PageNumber> free_ GUARDED_BY(mutex_);      // resident
  std::vector<PageNumber> released_ GUARDED_BY(mutex_);  // given back to the kernel
  PageNumber opened_ GUARDED_BY(mutex_) = 0;  // pages before this can be read and written
  // Over a file: it has blocks for the fresh pages before this one.
  PageNumber set_aside_ GUARDED_BY(mutex_) = 1;
  size_t wanted_limit_ GUARDED_BY(mutex_) = 0;  // pages; limit_ is less when short of room
  bool trim_refused_ GUARDED_BY(mutex_) = false;
  // No more was in use at some time since the limit changed: what is over it now is borrowed.
  Atomic<bool> limit_reached_{true};              // written under mutex_
  bool has_borrowed_ GUARDED_BY(mutex_) = false;  // kStallPages, since trim() was called last
  Seconds borrowed_at_ GUARDED_BY(mutex_) = 0;    // as trim() noticed; 0: never
  Seconds retried_at_ GUARDED_BY(mutex_) = 0;
  // Refusals, for wants_ahead() and retry(); they publish nothing else.
  Atomic<bool> short_of_room_{false};
  Atomic<bool> ahead_refused_{false};
  Atomic<bool> any_refused_{false};
  // Never used from here on; written under the lock. Page 0 is left out: Ref 0 means none.
  Atomic<PageNumber> next_fresh_{1};
  Atomic<PageNumber> ready_{0};  // touched ahead up to here; written by ready_ahead alone
  Atomic<size_t> used_{0};
  Atomic<size_t> limit_{0};
  Atomic<size_t> limit_bytes_{0};
  Atomic<size_t> overdraft_peak_{0};  // written under the lock
  Atomic<uint64_t> draft_bytes_{0};
  Atomic<uint64_t> copy_bytes_{0};
};

}  // namespace larder::core
