#include "daemon/memory_ahead.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace larder::daemon {
namespace {

constexpr int kNiceness = 10;

}  // namespace

void MemoryAhead::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "larder-memory");
}

void MemoryAhead::stop() {
  if (!thread_.joinable()) return;
  wake(kStopping);
  thread_.join();
}

void MemoryAhead::wake(int state) noexcept {
  int asleep = kAsleep;
  if (state == kStopping) {
    state_.store(kStopping);
  } else if (!state_.compare_exchange_strong(asleep, state)) {
    return;
  }
  state_.notify_one();
}

void MemoryAhead::run() {
  // Of this thread alone. Not lower: while it holds the kernel's lock of the address space others
  // may have to wait for it.
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
  while (state_.load() != kStopping) {
    state_.wait(kAsleep);
    int awake = kAwake;
    // From here on who wants more wakes it again, and it looks once more itself.
    state_.compare_exchange_strong(awake, kAsleep);
    while (state_.load() != kStopping && cache_.ready_memory_ahead()) {
    }
  }
}

}  // namespace larder::daemon
