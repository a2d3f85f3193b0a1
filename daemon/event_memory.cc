#include "daemon/event_memory.h"

#include <event2/event.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/mutex.h"

namespace larder::daemon {
namespace {

// Blocks one behind the other, first fit. libevent keeps some of them for as long as it runs, so
// the others' places must be free again one by one: a reserve that was free only as a whole was
// used up after some thousand failed allocations. Both are rare, so a walk over all blocks is cheap
// enough.
class Reserve {
 public:
  void* take(size_t bytes) noexcept EXCLUDES(mutex_) {
    constexpr size_t kAlignment = alignof(std::max_align_t);
    if (bytes > sizeof bytes_) return nullptr;
    const size_t whole = sizeof(Header) + (bytes + kAlignment - 1) / kAlignment * kAlignment;
    core::MutexLock lock(mutex_);
    for (size_t at = 0; at < used_; at += header(at)->whole) {
      Header* const block = header(at);
      if (block->is_taken) continue;
      while (at + block->whole < used_ && !header(at + block->whole)->is_taken) {
        block->whole += header(at + block->whole)->whole;
      }
      if (at + block->whole == used_) {  // nothing is behind it
        used_ = at;
        break;
      }
      if (block->whole < whole) continue;
      if (const size_t rest = block->whole - whole; rest >= sizeof(Header)) {
        *header(at + whole) = {rest, 0, false};
        block->whole = whole;
      }
      block->bytes = bytes;
      block->is_taken = true;
      return block + 1;
    }
    if (sizeof bytes_ - used_ < whole) return nullptr;
    Header* const block = header(used_);
    *block = {whole, bytes, true};
    used_ += whole;
    return block + 1;
  }
  bool owns(const void* block) const noexcept {
    const auto at = reinterpret_cast<uintptr_t>(block);
    const auto begin = reinterpret_cast<uintptr_t>(bytes_);
    return at >= begin && at < begin + sizeof bytes_;
  }
  static size_t bytes_of(const void* block) noexcept {
    return (static_cast<const Header*>(block) - 1)->bytes;
  }
  void give_back(void* block) noexcept EXCLUDES(mutex_) {
    core::MutexLock lock(mutex_);
    (static_cast<Header*>(block) - 1)->is_taken = false;
  }

 private:
  struct alignas(std::max_align_t) Header {
    size_t whole;  // bytes to the next header
    size_t bytes;
    bool is_taken;
  };

  Header* header(size_t at) noexcept { return reinterpret_cast<Header*>(bytes_ + at); }

  core::Mutex mutex_;
  size_t used_ GUARDED_BY(mutex_) = 0;
  alignas(Header) char bytes_[kEventReserveBytes];
};

Reserve reserve;

void* allocate(size_t bytes) {
  void* const block = std::malloc(bytes);
  return block != nullptr ? block : reserve.take(bytes);
}

void release(void* block) {
  if (reserve.owns(block)) return reserve.give_back(block);
  std::free(block);
}

void* reallocate(void* block, size_t bytes) {
  if (block == nullptr) return allocate(bytes);
  if (!reserve.owns(block)) {
    if (void* const larger = std::realloc(block, bytes); larger != nullptr) return larger;
    // How long it is only malloc knows: libevent keeps it, and lives with that.
    return nullptr;
  }
  void* const other = allocate(bytes);
  if (other == nullptr) return nullptr;
  std::memcpy(other, block, std::min(bytes, Reserve::bytes_of(block)));
  reserve.give_back(block);
  return other;
}

}  // namespace

void reserve_event_memory() {
  static const bool set = [] {
    event_set_mem_functions(allocate, reallocate, release);
    return true;
  }();
  (void)set;
}

}  // namespace larder::daemon
