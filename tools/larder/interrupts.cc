#include "tools/larder/interrupts.h"

#include <atomic>

namespace larder::operate {
namespace {

std::atomic<bool> has_come{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // it is used in a handler

void note(int) { has_come.store(true, std::memory_order_relaxed); }

}  // namespace

Interrupts::Interrupts() {
  has_come.store(false, std::memory_order_relaxed);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = note;
    action.sa_flags = SA_RESETHAND;
    sigaction(kSignals[i], &action, nullptr);
  }
}

Interrupts::~Interrupts() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

bool Interrupts::came() const noexcept { return has_come.load(std::memory_order_relaxed); }

}  // namespace larder::operate
