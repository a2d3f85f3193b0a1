#include "tools/larder/interrupts.h"

#include <atomic>
#include <cerrno>

namespace larder::operate {
namespace {

std::atomic<bool> has_come{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // it is used in a handler

// A handler: sigaction() may be called in one.
void note(int) {
  const int kept = errno;
  has_come.store(true, std::memory_order_relaxed);
  for (const int signal : Interrupts::kSignals) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != note) continue;
    action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
  }
  errno = kept;
}

}  // namespace

Interrupts::Interrupts() {
  has_come.store(false, std::memory_order_relaxed);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = note;
    sigaction(kSignals[i], &action, nullptr);
  }
}

Interrupts::~Interrupts() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

bool Interrupts::came() const noexcept { return has_come.load(std::memory_order_relaxed); }

}  // namespace larder::operate
