#include "core/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/memory_file.h"
#include "core/poison.h"
#include "core/snapshot.h"

namespace larder::core {
namespace {

constexpr size_t kHugePageBytes = 2_MiB;
constexpr size_t kSmallPageBytes = 4_KiB;
// How much of a file is set aside at a time, in a system call of some 100 microseconds; and how
// much at least lies ahead of what was handed out. So the pool learns that the file system is full
// while it still has what the shards borrow until they have evicted something.
constexpr PageNumber kSetAsidePages = kHugePageBytes / kPageBytes;
// Of what a pool has that is short of room, this share and at most kSetAsidePages are overdraft.
constexpr size_t kMarginShare = 4;
// Linux 5.18.
constexpr int kDontNeedLocked = 24;

// Has the kernel back this part of a mapping, whose contents stay. Nobody writes there meanwhile.
// False, with errno.
bool populate(void* begin, size_t bytes) noexcept {
  const auto start = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t from = start / kSmallPageBytes * kSmallPageBytes;
  if (madvise(reinterpret_cast<void*>(from), start + bytes - from, MADV_POPULATE_WRITE) == 0) {
    return true;
  }
  if (errno != EINVAL) return false;
  // A kernel before 5.14.
  auto* const at = static_cast<volatile char*>(begin);
  for (size_t i = 0; i < bytes; i += kSmallPageBytes) at[i] = at[i];
  return true;
}

// Address space that cannot be used yet. The kernel does not count it as committed memory.
char* reserve_space(size_t bytes) noexcept {
  void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}

// Opens what lies between two addresses, rounded outwards to whole pages of the kernel.
bool open_space(const void* begin, const void* end) noexcept {
  const uintptr_t from = reinterpret_cast<uintptr_t>(begin) / kSmallPageBytes * kSmallPageBytes;
  const uintptr_t to =
      (reinterpret_cast<uintptr_t>(end) + kSmallPageBytes - 1) / kSmallPageBytes * kSmallPageBytes;
  return mprotect(reinterpret_cast<void*>(from), to - from, PROT_READ | PROT_WRITE) == 0;
}

void reserve_at_least(std::vector<PageNumber>& pages, size_t count) {
  if (pages.capacity() < count) pages.reserve(std::max<size_t>(2 * pages.capacity(), count + 64));
}

}  // namespace

PagePool::PagePool(size_t limit_bytes, size_t reserve_bytes, bool huge_pages, MemoryFile* file)
    : huge_pages_(huge_pages), file_(file) {
  // Where a limit forbids the larger one (RLIMIT_AS), the limit of the cache cannot be raised.
  if (!reserve(std::max(reserve_bytes, limit_bytes)) && !reserve(limit_bytes)) {
    throw std::runtime_error("cannot reserve " + std::to_string(mapped_bytes_ >> 20) +
                             " MiB of address space for the cache: " + std::strerror(errno));
  }
  if (!set_limit(limit_bytes)) {
    const std::string why = std::strerror(errno);
    release();
    const std::string mebibytes = std::to_string(limit_bytes >> 20) + " MiB";
    throw std::runtime_error(file_ != nullptr
                                 ? "memory file '" + file_->path() +
                                       "': its file system has no room for " + mebibytes
                                 : "cannot get " + mebibytes + " of memory: " + why);
  }
}

bool PagePool::reserve(size_t bytes) noexcept {
  reserve_pages_ = bytes / kBytesPerPage + 1;
  const size_t pages = pages_reserved();
  mapped_bytes_ = pages * kPageBytes + kHugePageBytes;
  side_table_bytes_ = pages * (sizeof(PageInfo) + sizeof(BlockExpiries));
  mapping_ = reserve_space(mapped_bytes_);
  if (mapping_ == nullptr) return false;
  char* const side_table = reserve_space(side_table_bytes_);
  if (side_table == nullptr) {
    munmap(mapping_, mapped_bytes_);
    errno = ENOMEM;
    return false;
  }
  const auto start = reinterpret_cast<uintptr_t>(mapping_);
  base_ = mapping_ + ((start + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes - start);
  expiries_ = reinterpret_cast<BlockExpiries*>(side_table);
  infos_ = reinterpret_cast<PageInfo*>(expiries_ + pages);
  return true;
}

bool PagePool::open_up(PageNumber end) noexcept {
  if (end <= opened_) return true;
  // Always from the beginning: the kernel passes over what is open, and joins it with the rest.
  if (!open_space(expiries_, expiries_ + end) || !open_space(infos_, infos_ + end)) return false;
  const bool opened =
      file_ != nullptr ? file_->map(base_, {size_t{opened_} * kPageBytes, size_t{end} * kPageBytes})
                       : open_space(base_, base_ + size_t{end} * kPageBytes);
  if (opened) opened_ = end;
  return opened;
}

PagePool::~PagePool() { release(); }

void PagePool::release() noexcept {
  // Other memory may be mapped at these addresses next.
  if (base_ != nullptr) unpoison(base_, size_t{pages_end()} * kPageBytes);
  munmap(mapping_, mapped_bytes_);
  munmap(expiries_, side_table_bytes_);
}

bool PagePool::set_limit(size_t limit_bytes) noexcept {
  const size_t pages = limit_bytes / kBytesPerPage;
  if (pages > reserve_pages_) return false;
  const size_t most = pages + overdraft_of(pages);
  MutexLock lock(mutex_);
  if (file_ != nullptr && pages > wanted_limit_ && !file_->has_room_for(most * kPageBytes)) {
    return false;
  }
  if (!open_up(static_cast<PageNumber>(most + 1))) return false;
  const size_t before = std::exchange(wanted_limit_, pages);
  limit_bytes_.store(limit_bytes, std::memory_order_relaxed);
  limit_.store(pages, std::memory_order_relaxed);
  short_of_room_.store(false, std::memory_order_relaxed);  // take() asks again
  trim_refused_ = false;
  limit_reached_.store(used_.load(std::memory_order_relaxed) <= pages, std::memory_order_relaxed);
  has_borrowed_ = false;
  borrowed_at_ = 0;
  if (huge_pages_ && pages != before) {
    // Advice only: a kernel without huge pages serves small ones. For all of the reservation, so
    // that what is opened later is one mapping with the rest.
    madvise(base_, size_t{pages_reserved()} * kPageBytes,
            pages > before ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  return true;
}

PageNumber PagePool::take(Bound bound) {
  bool is_resident = false;
  const PageNumber page = take_number(bound, is_resident);
  if (page == kNoPage) return kNoPage;
  // One call instead of a fault for each small page. The first write meets any refusal again.
  if (!is_resident) madvise(address(page), kPageBytes, MADV_POPULATE_WRITE);
  unpoison(address(page), kPageBytes);
  return page;
}

PageNumber PagePool::take_number(Bound bound, bool& is_resident) {
  MutexLock lock(mutex_);
  const size_t used = used_.load(std::memory_order_relaxed);
  const size_t limit = limit_.load(std::memory_order_relaxed);
  if (bound != Bound::None) {
    const size_t beyond = bound == Bound::Overdraft ? overdraft_of(limit) : 0;
    if (used >= limit + beyond) return kNoPage;
  }
  PageNumber page = kNoPage;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
    is_resident = true;
  } else {
    const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
    prepare_lists(size_t{fresh} + 1);
    page = untouched_page();
    if (page == kNoPage) return kNoPage;
    is_resident = page == fresh && fresh < ready_.load(std::memory_order_relaxed);
  }
  used_.store(used + 1, std::memory_order_relaxed);
  if (limit_was_reached() && used + 1 >= limit + kStallPages) has_borrowed_ = true;
  if (bound != Bound::None && used + 1 > limit + overdraft_peak_.load(std::memory_order_relaxed)) {
    overdraft_peak_.store(used + 1 - limit, std::memory_order_relaxed);
  }
  return page;
}

bool PagePool::set_aside(PageNumber begin, PageNumber end) noexcept {
  return file_ == nullptr ||
         file_->set_aside({size_t{begin} * kPageBytes, size_t{end} * kPageBytes});
}

void PagePool::prepare_lists(size_t pages) {
  reserve_at_least(free_, pages);
  reserve_at_least(released_, pages);
}

PageNumber PagePool::untouched_page() noexcept {
  const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
  const bool may_ask = !short_of_room_.load(std::memory_order_relaxed);
  if (!released_.empty() && may_ask) {
    const PageNumber page = released_.back();
    if (set_aside(page, page + 1)) {
      released_.pop_back();
      return page;
    }
    if (fresh >= opened_) make_do();
  }
  if (fresh >= opened_) return kNoPage;
  if (file_ != nullptr && fresh + kSetAsidePages >= set_aside_) {
    const PageNumber begin = std::max(fresh, set_aside_);
    // Not beyond the limit, as long as nothing is borrowed.
    const auto most = std::max(static_cast<PageNumber>(wanted_limit_), fresh) + 1;
    const PageNumber end = std::min(begin + kSetAsidePages, most);
    if (begin < end && may_ask) {
      if (set_aside(begin, end)) {
        set_aside_ = end;
      } else {
        make_do();
      }
    }
    if (fresh >= set_aside_) return kNoPage;
  }
  next_fresh_.store(fresh + 1, std::memory_order_relaxed);
  return fresh;
}

void PagePool::make_do() noexcept {
  // Every page that the file has blocks for.
  const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
  const size_t had = used_.load(std::memory_order_relaxed) + free_.size() +
                     (set_aside_ > fresh ? set_aside_ - fresh : 0);
  const size_t margin = std::min<size_t>(kSetAsidePages, had / kMarginShare);
  limit_.store(std::min(wanted_limit_, had - margin), std::memory_order_relaxed);
  short_of_room_.store(true, std::memory_order_relaxed);
  any_refused_.store(true, std::memory_order_relaxed);
}

void PagePool::retry(Seconds now) {
  if (!any_refused_.load(std::memory_order_relaxed)) return;
  MutexLock lock(mutex_);
  if (retried_at_ == now) return;
  retried_at_ = now;
  trim_refused_ = false;
  ahead_refused_.store(false, std::memory_order_relaxed);
  if (short_of_room_.load(std::memory_order_relaxed)) {
    // A whole step, or others would be left nothing of what they have just made room for.
    const PageNumber from = std::max(set_aside_, next_fresh_.load(std::memory_order_relaxed));
    const PageNumber end = std::min(from + kSetAsidePages, opened_);
    if (from < end) {
      if (!set_aside(from, end)) return;
      set_aside_ = end;
    } else if (!released_.empty() && !set_aside(released_.back(), released_.back() + 1)) {
      return;
    }
    short_of_room_.store(false, std::memory_order_relaxed);
    limit_.store(wanted_limit_, std::memory_order_relaxed);
  }
  any_refused_.store(false, std::memory_order_relaxed);
}

void PagePool::give_back(PageNumber page) {
  infos_[page].kind = PageInfo::Kind::Free;
  MutexLock lock(mutex_);
  free_.push_back(page);
  const size_t used = used_.load(std::memory_order_relaxed) - 1;
  used_.store(used, std::memory_order_relaxed);
  if (used <= limit_.load(std::memory_order_relaxed)) {
    limit_reached_.store(true, std::memory_order_relaxed);
  }
}

bool PagePool::ready_ahead() noexcept {
  if (!wants_ahead()) return false;
  constexpr PageNumber kAtOnce = kHugePageBytes / kPageBytes;
  const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
  // What was given out meanwhile is its user's; base_ is the beginning of a huge page.
  const PageNumber begin = std::max(ready_.load(std::memory_order_relaxed), fresh);
  const auto last = static_cast<PageNumber>(ahead_limit());
  const PageNumber end = std::min((begin / kAtOnce + 1) * kAtOnce, last + 1);
  if (begin < end) {
    bool done = true;
    if (file_ != nullptr) {
      PageNumber from = begin;
      {
        MutexLock lock(mutex_);
        from = std::min(begin, set_aside_);
      }
      done = set_aside(from, end);
      if (done) {
        MutexLock lock(mutex_);
        set_aside_ = std::max(set_aside_, end);
      }
    }
    // A kernel before 5.14 does not know the advice: it does this at the first use.
    done = done &&
           (madvise(address(begin), size_t{end - begin} * kPageBytes, MADV_POPULATE_WRITE) == 0 ||
            errno == EINVAL);
    if (!done) {
      ahead_refused_.store(true, std::memory_order_relaxed);
      any_refused_.store(true, std::memory_order_relaxed);
      return false;
    }
  }
  ready_.store(std::max(begin, end), std::memory_order_relaxed);
  return wants_ahead();
}

bool PagePool::ready_all() noexcept {
  const auto end = static_cast<PageNumber>(limit_.load(std::memory_order_relaxed) + 1);
  const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
  const PageNumber begin = std::max(ready_.load(std::memory_order_relaxed), fresh);
  if (!populate(expiries_, end * sizeof(BlockExpiries))) return false;
  if (!populate(infos_, end * sizeof(PageInfo))) return false;
  if (begin >= end) return true;
  {
    MutexLock lock(mutex_);
    if (!set_aside(std::min(begin, set_aside_), end)) return false;
    set_aside_ = std::max(set_aside_, end);
  }
  if (!populate(address(begin), size_t{end - begin} * kPageBytes)) return false;
  ready_.store(end, std::memory_order_relaxed);
  return true;
}

bool PagePool::trim_some(size_t pages, Seconds now) {
  for (; pages > 0; --pages) {
    PageNumber page = kNoPage;
    {
      MutexLock lock(mutex_);
      // What was made ready and not given out is resident, too.
      const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
      const PageNumber ready = ready_.load(std::memory_order_relaxed);
      const size_t ahead = ready > fresh ? ready - fresh : 0;
      const size_t to_spare = free_.size() + ahead;
      const size_t resident = used_.load(std::memory_order_relaxed) + to_spare;
      if (std::exchange(has_borrowed_, false)) borrowed_at_ = now;
      const bool keeps = borrowed_at_ != 0 && now < borrowed_at_ + kKeptSeconds;
      // Not limit_: what lies between it and wanted_limit_ could not be had again.
      const size_t most = wanted_limit_ + (keeps ? overdraft_of(wanted_limit_) : 0);
      if (to_spare == 0 || resident <= most || trim_refused_) return false;
      if (free_.empty()) {
        try {
          prepare_lists(size_t{fresh} + 1);
        } catch (const std::bad_alloc&) {
          return false;
        }
        page = fresh;
        next_fresh_.store(fresh + 1, std::memory_order_relaxed);
      } else {
        page = free_.back();
        free_.pop_back();
      }
    }
    const bool given = give_to_kernel(page);
    MutexLock lock(mutex_);
    if (given) {
      released_.push_back(page);
    } else {
      free_.push_back(page);
      trim_refused_ = true;
      any_refused_.store(true, std::memory_order_relaxed);
      return false;
    }
  }
  return true;
}

void PagePool::expect_no_stall() noexcept {
  MutexLock lock(mutex_);
  has_borrowed_ = false;
  borrowed_at_ = 0;
}

bool PagePool::give_to_kernel(PageNumber page) noexcept {
  char* const at = address(page);
  // The blocks in the file have to go, and with them goes what is mapped, locked or not.
  if (file_ != nullptr) {
    return file_->release({size_t{page} * kPageBytes, (size_t{page} + 1) * kPageBytes});
  }
  if (madvise(at, kPageBytes, MADV_DONTNEED) == 0) return true;
  if (errno != EINVAL) return false;
  // Locked (-k).
  if (madvise(at, kPageBytes, kDontNeedLocked) == 0) return true;
  if (errno != EINVAL || munlock(at, kPageBytes) != 0) return false;
  const bool given = madvise(at, kPageBytes, MADV_DONTNEED) == 0;
  // As it was, also so that the mapping is one again. Should that fail, the page is not locked.
  mlock2(at, kPageBytes, MLOCK_ONFAULT);
  return given;
}

size_t PagePool::pages_released() {
  MutexLock lock(mutex_);
  return released_.size();
}

void PagePool::save(SnapshotWriter& out) {
  MutexLock lock(mutex_);
  const PageNumber fresh = pages_end();
  out.add(fresh);
  out.add(ready_.load(std::memory_order_relaxed));
  out.add_array(free_);
  out.add_array(released_);
  out.add_array(infos_, fresh);
  out.add_array(expiries_, fresh);
}

bool PagePool::restore(SnapshotReader& in) {
  MutexLock lock(mutex_);
  const auto fresh = in.get<PageNumber>();
  const auto ready = in.get<PageNumber>();
  // More than the limit allows if the last run's was raised. `ready` may be beyond what is open
  // now: the last run's reservation need not be this one's.
  if (fresh == 0 || fresh > pages_reserved() || !open_up(fresh)) return false;
  if (file_ != nullptr && file_->length() < size_t{fresh} * kPageBytes) return false;
  in.read_array(free_);
  in.read_array(released_);
  in.read_array(infos_, fresh);
  if (!in.read_array(expiries_, fresh)) return false;
  // A page is free exactly if one of the lists has it, once.
  std::vector<bool> listed(fresh);
  for (const auto* list : {&free_, &released_}) {
    for (const PageNumber page : *list) {
      if (page == 0 || page >= fresh || listed[page]) return false;
      listed[page] = true;
    }
  }
  for (PageNumber page = 1; page < fresh; ++page) {
    if ((infos_[page].kind == PageInfo::Kind::Free) != listed[page]) return false;
  }
  next_fresh_.store(fresh, std::memory_order_relaxed);
  set_aside_ = fresh;
  ready_.store(std::min(ready, opened_), std::memory_order_relaxed);
  const size_t used = fresh - 1 - free_.size() - released_.size();
  used_.store(used, std::memory_order_relaxed);
  limit_reached_.store(used <= limit_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  return true;
}

std::vector<ShardPages> PagePool::deal(uint32_t shards) const {
  std::vector<ShardPages> dealt(shards);
  for (PageNumber page = 1; page < pages_end(); ++page) {
    const PageInfo& info = infos_[page];
    if (info.kind == PageInfo::Kind::Free) continue;
    if (info.shard >= shards) return {};
    ShardPages& of_shard = dealt[info.shard];
    switch (info.kind) {
      case PageInfo::Kind::Chunks:
        of_shard.chunks.push_back(page);
        break;
      case PageInfo::Kind::Large:
        of_shard.large.push_back(page);
        break;
      case PageInfo::Kind::Table:
        of_shard.table.push_back(page);
        break;
      default:
        return {};
    }
  }
  return dealt;
}

bool PagePool::fill_holes() {
  MutexLock lock(mutex_);
  const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
  // Of page 0 only the superblock has to be there.
  if (file_->allocated_bytes() >= (fresh - 1 - released_.size()) * kPageBytes) return true;
  std::vector<PageNumber> holes = released_;
  std::sort(holes.begin(), holes.end());
  holes.push_back(fresh);
  PageNumber begin = 1;
  for (const PageNumber hole : holes) {
    if (begin < hole && !file_->fill({size_t{begin} * kPageBytes, size_t{hole} * kPageBytes})) {
      return false;
    }
    begin = hole + 1;
  }
  return true;
}

}  // namespace larder::core
