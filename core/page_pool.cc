#include "core/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>

#include "core/memory_file.h"
#include "core/poison.h"
#include "core/snapshot.h"

namespace larder::core {
namespace {

constexpr size_t kHugePageBytes = 2_MiB;
constexpr size_t kSmallPageBytes = 4_KiB;

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

char* reserve(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}

}  // namespace

PagePool::PagePool(size_t limit_bytes, size_t reserve_bytes, bool huge_pages, MemoryFile* file)
    : huge_pages_(huge_pages), file_(file) {
  reserve_bytes = std::max(reserve_bytes, limit_bytes);
  reserve_pages_ = reserve_bytes / kBytesPerPage + 1;
  const size_t pages = pages_in_all();
  mapped_bytes_ = pages * kPageBytes + kHugePageBytes;
  mapping_ = reserve(mapped_bytes_);
  side_table_bytes_ = pages * (sizeof(PageInfo) + sizeof(BlockExpiries));
  char* side_table = mapping_ != nullptr ? reserve(side_table_bytes_) : nullptr;
  const auto start = reinterpret_cast<uintptr_t>(mapping_);
  base_ = mapping_ + ((start + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes - start);
  if (side_table == nullptr || (file_ != nullptr && !file_->map(base_, pages * kPageBytes))) {
    if (side_table != nullptr) munmap(side_table, side_table_bytes_);
    if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
    throw std::runtime_error("cannot reserve " + std::to_string(mapped_bytes_ >> 20) +
                             " MiB of address space for the cache");
  }
  expiries_ = reinterpret_cast<BlockExpiries*>(side_table);
  infos_ = reinterpret_cast<PageInfo*>(expiries_ + pages);
  if (!set_limit(limit_bytes)) {
    release();
    throw std::runtime_error("memory file '" + file_->path() +
                             "': its file system has no room for " +
                             std::to_string(limit_bytes >> 20) + " MiB");
  }
}

PagePool::~PagePool() { release(); }

void PagePool::release() noexcept {
  munmap(mapping_, mapped_bytes_);
  munmap(expiries_, side_table_bytes_);
}

bool PagePool::set_limit(size_t limit_bytes) noexcept {
  const size_t pages = limit_bytes / kBytesPerPage;
  if (pages > reserve_pages_) return false;
  const size_t most = (pages + overdraft_of(pages)) * kPageBytes;
  if (file_ != nullptr && pages > limit_.load(std::memory_order_relaxed) &&
      !file_->has_room_for(most)) {
    return false;
  }
  limit_bytes_.store(limit_bytes, std::memory_order_relaxed);
  const size_t before = limit_.exchange(pages, std::memory_order_relaxed);
  if (huge_pages_ && pages != before) {
    // Advice only: a kernel without huge pages serves small ones.
    madvise(base_, pages_in_all() * kPageBytes, pages > before ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  return true;
}

PageNumber PagePool::take(bool overdraft) {
  MutexLock lock(mutex_);
  const size_t used = used_.load(std::memory_order_relaxed);
  const size_t limit = limit_.load(std::memory_order_relaxed);
  if (used >= limit + (overdraft ? overdraft_of(limit) : 0)) return kNoPage;
  PageNumber page = kNoPage;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (!released_.empty()) {
    page = released_.back();
    released_.pop_back();
  } else {
    page = next_fresh_.load(std::memory_order_relaxed);
    if (page >= pages_in_all()) return kNoPage;
    next_fresh_.store(page + 1, std::memory_order_relaxed);
  }
  used_.store(used + 1, std::memory_order_relaxed);
  if (used + 1 > limit + overdraft_peak_.load(std::memory_order_relaxed)) {
    overdraft_peak_.store(used + 1 - limit, std::memory_order_relaxed);
  }
  unpoison(address(page), kPageBytes);
  return page;
}

void PagePool::give_back(PageNumber page) {
  infos_[page].kind = PageInfo::Kind::Free;
  MutexLock lock(mutex_);
  free_.push_back(page);
  used_.store(used_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

bool PagePool::ready_ahead() noexcept {
  if (!wants_ahead()) return false;
  constexpr PageNumber kAtOnce = kHugePageBytes / kPageBytes;
  const PageNumber fresh = next_fresh_.load(std::memory_order_relaxed);
  // What was given out meanwhile is its user's; base_ is the beginning of a huge page.
  const PageNumber begin = std::max(ready_.load(std::memory_order_relaxed), fresh);
  const auto last = static_cast<PageNumber>(limit_.load(std::memory_order_relaxed));
  const PageNumber end = std::min((begin / kAtOnce + 1) * kAtOnce, last + 1);
  // Advice: a kernel that does not know it (before 5.14) has it done at the first use.
  if (begin < end) madvise(address(begin), size_t{end - begin} * kPageBytes, MADV_POPULATE_WRITE);
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
  if (!populate(address(begin), size_t{end - begin} * kPageBytes)) return false;
  ready_.store(end, std::memory_order_relaxed);
  return true;
}

bool PagePool::trim(size_t pages) {
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
      if (to_spare == 0 || resident <= limit_.load(std::memory_order_relaxed)) return false;
      if (free_.empty()) {
        page = fresh;
        next_fresh_.store(fresh + 1, std::memory_order_relaxed);
      } else {
        page = free_.back();
        free_.pop_back();
      }
    }
    madvise(address(page), kPageBytes, release_advice());
    MutexLock lock(mutex_);
    released_.push_back(page);
  }
  return true;
}

int PagePool::release_advice() const noexcept {
  return file_ != nullptr ? MADV_REMOVE : MADV_DONTNEED;
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
  const size_t end = pages_in_all();
  if (fresh == 0 || fresh > end || ready > end) return false;
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
  ready_.store(ready, std::memory_order_relaxed);
  used_.store(fresh - 1 - free_.size() - released_.size(), std::memory_order_relaxed);
  return true;
}

}  // namespace larder::core
