// Atomic: std::atomic by the one door that core uses, so that the builds with checks (LARDER_DEBUG)
// can count what a thread does to memory that other threads read: "reads take no lock and store
// nothing" is then a test (tests/core/atomic_test.cc). In release builds it is std::atomic.
//
// Counter: a number of one writer at a time, in memory that no other thread writes; any thread may
// read it. Plain load and store, and not counted above.
#pragma once

#include <atomic>
#include <cstdint>

namespace larder::core {

// What this thread has done through Atomic. Always 0 where LARDER_DEBUG is not defined.
struct SharedWrites {
  uint64_t stores = 0;
  uint64_t read_modify_writes = 0;
  uint64_t locks = 0;  // of Mutex
};
#if defined(LARDER_DEBUG)
inline thread_local SharedWrites shared_writes;
#endif

template <class T>
class Atomic {
 public:
  constexpr Atomic() noexcept = default;
  constexpr explicit Atomic(T value) noexcept : value_(value) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(std::memory_order order) const noexcept { return value_.load(order); }
  void store(T value, std::memory_order order) noexcept {
    count_store();
    value_.store(value, order);
  }
  T exchange(T value, std::memory_order order) noexcept {
    count_read_modify_write();
    return value_.exchange(value, order);
  }
  T fetch_add(T value, std::memory_order order) noexcept {
    count_read_modify_write();
    return value_.fetch_add(value, order);
  }
  T fetch_sub(T value, std::memory_order order) noexcept {
    count_read_modify_write();
    return value_.fetch_sub(value, order);
  }
  bool compare_exchange(T& expected, T value, std::memory_order order) noexcept {
    count_read_modify_write();
    return value_.compare_exchange_strong(expected, value, order, std::memory_order_relaxed);
  }

  // As std::atomic's: until another thread has changed the value and notified.
  void wait(T old, std::memory_order order) const noexcept { value_.wait(old, order); }
  void notify_one() noexcept { value_.notify_one(); }

 private:
  static void count_store() noexcept {
#if defined(LARDER_DEBUG)
    ++shared_writes.stores;
#endif
  }
  static void count_read_modify_write() noexcept {
#if defined(LARDER_DEBUG)
    ++shared_writes.read_modify_writes;
#endif
  }

  std::atomic<T> value_{};
};

class Counter {
 public:
  void add(uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }
  void reset() noexcept { value_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace larder::core
