#include "tools/client/process.h"

#include <pthread.h>

#include <atomic>

namespace larder::client {
namespace {

// Relaxed: only the child of a fork changes it, before it has a second thread.
std::atomic<uint32_t> generation = 0;

// getpid() would be a system call for each connection that is taken from a pool.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

uint32_t process_generation() noexcept { return generation.load(std::memory_order_relaxed); }

std::minstd_rand& chance_of_thread() {
  thread_local std::minstd_rand engine{std::random_device{}()};
  thread_local uint32_t seeded_in = process_generation();
  if (const uint32_t now = process_generation(); seeded_in != now) {
    engine.seed(std::random_device{}());
    seeded_in = now;
  }
  return engine;
}

}  // namespace larder::client
