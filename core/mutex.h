// Mutex: std::mutex with clang's thread-safety annotations, a short spin, and a count of waits.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

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
    for (int spin = 0; spin < kSpins; ++spin) {
      if (mutex_.try_lock()) return;
      relax();
    }
    waits_.fetch_add(1, std::memory_order_relaxed);
    mutex_.lock();
  }
  void unlock() RELEASE() { mutex_.unlock(); }

  // How often a caller had to park; any thread.
  uint64_t waits() const noexcept { return waits_.load(std::memory_order_relaxed); }

 private:
  // Tells the core that this is a spin; nothing where there is no such instruction.
  static void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  static constexpr int kSpins = 64;  // a write holds the lock for about this long

  std::mutex mutex_;
  std::atomic<uint64_t> waits_{0};
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
