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

// Blocks one behind the other; all of it is free again when the last block is. What needs it is
// rare and short-lived, so that nothing better is worth its code.
class Reserve {
 public:
  void* take(size_t bytes) noexcept EXCLUDES(mutex_) {
    constexpr size_t kAlignment = alignof(std::max_align_t);
    if (bytes > sizeof bytes_) return nullptr;
    const size_t whole = sizeof(Header) + (bytes + kAlignment - 1) / kAlignment * kAlignment;
    core::MutexLock lock(mutex_);
    if (sizeof bytes_ - used_ < whole) return nullptr;
    auto* const header = reinterpret_cast<Header*>(bytes_ + used_);
    header->bytes = bytes;
    used_ += whole;
    ++blocks_;
    return header + 1;
  }
  bool owns(const void* block) const noexcept {
    const auto at = reinterpret_cast<uintptr_t>(block);
    const auto begin = reinterpret_cast<uintptr_t>(bytes_);
    return at >= begin && at < begin + sizeof bytes_;
  }
  static size_t bytes_of(const void* block) noexcept {
    return (static_cast<const Header*>(block) - 1)->bytes;
  }
  void give_back() noexcept EXCLUDES(mutex_) {
    core::MutexLock lock(mutex_);
    if (--blocks_ == 0) used_ = 0;
  }

 private:
  struct alignas(std::max_align_t) Header {
    size_t bytes;
  };

  core::Mutex mutex_;
  size_t used_ GUARDED_BY(mutex_) = 0;
  size_t blocks_ GUARDED_BY(mutex_) = 0;
  alignas(Header) char bytes_[kEventReserveBytes];
};

Reserve reserve;

void* allocate(size_t bytes) {
  void* const block = std::malloc(bytes);
  return block != nullptr ? block : reserve.take(bytes);
}

void release(void* block) {
  if (reserve.owns(block)) return reserve.give_back();
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
  reserve.give_back();
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
