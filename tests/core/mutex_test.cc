#include "core/mutex.h"

#include <catch2/catch.hpp>

#include <thread>
#include <vector>

using namespace larder::core;

TEST_CASE("one thread at a time holds a mutex, and those who wait get it") {
  Mutex mutex;
  uint64_t count = 0;
  constexpr uint64_t kEach = 20'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < kEach; ++i) {
        MutexLock lock(mutex);
        ++count;
        if (i % 1024 == 0) std::this_thread::yield();  // the others park meanwhile
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(count == 4 * kEach);
}

TEST_CASE("a wait for a mutex is counted") {
  Mutex mutex;
  std::thread other;
  {
    MutexLock lock(mutex);
    other = std::thread([&] { MutexLock theirs(mutex); });
    while (mutex.waits() == 0) std::this_thread::yield();
  }
  other.join();
  CHECK(mutex.waits() == 1);
}
