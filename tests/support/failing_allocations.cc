#include "tests/support/failing_allocations.h"

#include <pthread.h>

#include <atomic>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <new>

namespace larder::test {
namespace {

constexpr size_t kNone = SIZE_MAX;

thread_local size_t fails_from = kNone;  // allocations of so many bytes
thread_local uint64_t failed_here = 0;
thread_local uint64_t left_until_one = 0;  // 0: none is to fail
thread_local bool one_failed = false;
std::atomic<const char*> failing_name{nullptr};
std::atomic<uint64_t> failed_by_name{0};

bool fails(size_t bytes) noexcept {
  if (bytes >= fails_from) [[unlikely]] {
    ++failed_here;
    return true;
  }
  if (left_until_one > 0 && --left_until_one == 0) [[unlikely]] {
    one_failed = true;
    return true;
  }
  const char* const name = failing_name.load(std::memory_order_acquire);
  if (name == nullptr) [[likely]]
    return false;
  char own[16] = "";
  if (pthread_getname_np(pthread_self(), own, sizeof own) != 0 || std::strcmp(own, name) != 0) {
    return false;
  }
  failed_by_name.fetch_add(1);
  return true;
}

}  // namespace

FailingAllocations::FailingAllocations(size_t least_bytes) : here_(true) {
  assert(fails_from == kNone);
  failed_here = 0;
  fails_from = least_bytes;
}

FailingAllocations::FailingAllocations(const char* thread_name) : here_(false) {
  assert(failing_name.load() == nullptr);
  failed_by_name.store(0);
  failing_name.store(thread_name, std::memory_order_release);
}

FailingAllocations::~FailingAllocations() {
  if (here_) {
    fails_from = kNone;
  } else {
    failing_name.store(nullptr, std::memory_order_release);
  }
}

uint64_t FailingAllocations::failed() const noexcept {
  return here_ ? failed_here : failed_by_name.load();
}

OneFailingAllocation::OneFailingAllocation(uint64_t nth) {
  assert(left_until_one == 0);
  one_failed = false;
  left_until_one = nth;
}

OneFailingAllocation::~OneFailingAllocation() { left_until_one = 0; }

bool OneFailingAllocation::failed() const noexcept { return one_failed; }

}  // namespace larder::test

// The linker leads calls of operator new here (tests/CMakeLists.txt), by the names that the
// compiler gives its forms. `real` is what would be called otherwise: a sanitizer's, or the
// library's.

void* real_new(size_t bytes) __asm__("__real__Znwm");
void* real_new_array(size_t bytes) __asm__("__real__Znam");
void* real_new_nothrow(size_t bytes, const std::nothrow_t& tag) noexcept
    __asm__("__real__ZnwmRKSt9nothrow_t");

void* wrapped_new(size_t bytes) __asm__("__wrap__Znwm");
void* wrapped_new_array(size_t bytes) __asm__("__wrap__Znam");
void* wrapped_new_nothrow(size_t bytes, const std::nothrow_t& tag) noexcept
    __asm__("__wrap__ZnwmRKSt9nothrow_t");

void* wrapped_new(size_t bytes) {
  if (larder::test::fails(bytes)) throw std::bad_alloc();
  return real_new(bytes);
}

void* wrapped_new_array(size_t bytes) {
  if (larder::test::fails(bytes)) throw std::bad_alloc();
  return real_new_array(bytes);
}

void* wrapped_new_nothrow(size_t bytes, const std::nothrow_t& tag) noexcept {
  return larder::test::fails(bytes) ? nullptr : real_new_nothrow(bytes, tag);
}
