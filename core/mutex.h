// Mutex: a short spin, then a futex (Drepper, "Futexes Are Tricky", mutex 2), with a count of waits
// and clang's thread-safety annotations. Inline where nobody waits, which std::mutex is not: it
// took 8 % of the CPU time of pipelined sets.
#pragma once

#include <cstdint>

#include "core/atomic.h"

#if defined(__clang__)
#define LARDER_TSA(x) __attribute__((x))
#else
#define LARDER_TSA(x)
#endif
#define CAPABILITY(x) LARDER_TSA(capability(x))
#define SCOPED_CAPABILITY LARDER_TSA(scoped_lockable)
#define GUARDED_BY(x) LARDER_TSA(guarded_by(x))
#define REQUIRES(...) LARDER_TSA(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) LARDER_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) LARDER_TSA(release_capability(__VA_ARGS__))
#define EXCLUDES(...) LARDER_TSA(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS LARDER_TSA(no_thread_safety_analysis)

namespace larder::core {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() {
#if defined(LARDER_DEBUG)
    ++shared_writes.locks;
#endif
    uint32_t expected = kFree;
    if (!state_.compare_exchange(expected, kHeld, std::memory_order_acquire)) [[unlikely]] {
      wait_for_it();
    }
  }
  void unlock() RELEASE() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) [[unlikely]] {
      state_.notify_one();
    }
  }

  // Whether somebody holds it, perhaps no longer when this returns.
  bool is_held() const noexcept { return state_.load(std::memory_order_relaxed) != kFree; }
  // How often a caller had to park; any thread.
  uint64_t waits() const noexcept { return waits_.load(std::memory_order_relaxed); }

 private:
  // Tells the core that this is a spin; nothing where there is no such instruction.
  static void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  [[gnu::noinline]] void wait_for_it() noexcept {
    for (int spin = 0; spin < kSpins; ++spin) {
      relax();
      uint32_t expected = kFree;
      if (state_.load(std::memory_order_relaxed) == kFree &&
          state_.compare_exchange(expected, kHeld, std::memory_order_acquire)) {
        return;
      }
    }
    waits_.fetch_add(1, std::memory_order_relaxed);
    // Whoever has waited takes it as awaited: it cannot know whether it was the only one.
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree) {
      state_.wait(kAwaited, std::memory_order_relaxed);
    }
  }

  // Some 20 microseconds, longer than put_many or a slice of upkeep mostly holds the lock. A thread
  // that parks costs two system calls, and the core that wakes up may take longer than that. (Two
  // threads that store into one shard: 64 spins 2.0 million a second, 512 3.1, 2,000 and 20,000
  // 3.5.)
  static constexpr int kSpins = 2'000;
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kAwaited = 2;  // held, and somebody may be waiting

  Atomic<uint32_t> state_{kFree};
  Atomic<uint64_t> waits_{0};
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace larder::core
