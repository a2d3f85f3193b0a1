#include "daemon/buffer_budget.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

namespace larder::daemon {

BufferBudget::BufferBudget(uint64_t limit_bytes, size_t workers, std::function<void(uint32_t)> wake)
    : limit_(limit_bytes), wake_(std::move(wake)), condemned_(workers) {}

void BufferBudget::append(List& list, BufferClaim& claim) noexcept {
  claim.previous_ = list.last;
  claim.next_ = nullptr;
  (list.last != nullptr ? list.last->next_ : list.first) = &claim;
  list.last = &claim;
  claim.in_list_ = true;
}

void BufferBudget::remove(List& list, BufferClaim& claim) noexcept {
  (claim.previous_ != nullptr ? claim.previous_->next_ : list.first) = claim.next_;
  (claim.next_ != nullptr ? claim.next_->previous_ : list.last) = claim.previous_;
  claim.previous_ = claim.next_ = nullptr;
  claim.in_list_ = false;
}

void BufferBudget::admit(BufferClaim& claim, uint64_t bytes) {
  constexpr size_t kMostAtOnce = 16;
  uint32_t to_wake[kMostAtOnce];
  size_t wakes = 0;
  {
    core::MutexLock lock(mutex_);
    while (claimed_.load(std::memory_order_relaxed) >= limit()) {
      // Not another claim of the client that asks: it makes progress.
      BufferClaim* oldest = waiting_.first;
      while (oldest != nullptr && oldest->connection_ == claim.connection_) oldest = oldest->next_;
      if (oldest == nullptr) break;
      BufferClaim& victim = *oldest;
      remove(waiting_, victim);
      victim.condemned_ = true;
      claimed_.fetch_sub(victim.bytes_, std::memory_order_relaxed);
      Condemned& of_worker = condemned_[victim.worker_];
      append(of_worker.list, victim);
      of_worker.count.fetch_add(1, std::memory_order_relaxed);
      if (victim.worker_ != claim.worker_ && wakes < kMostAtOnce) to_wake[wakes++] = victim.worker_;
    }
    claimed_.fetch_add(bytes, std::memory_order_relaxed);
    append(waiting_, claim);
  }
  if (wake_ == nullptr) return;
  std::sort(to_wake, to_wake + wakes);
  for (size_t i = 0; i < wakes; ++i) {
    if (i > 0 && to_wake[i] == to_wake[i - 1]) continue;
    try {
      wake_(to_wake[i]);
    } catch (const std::bad_alloc&) {
      // The worker's next pass closes it.
    }
  }
}

void BufferBudget::make_progress(BufferClaim& claim, uint64_t bytes) noexcept {
  core::MutexLock lock(mutex_);
  claim.bytes_ -= bytes;
  if (claim.condemned_) return;
  claimed_.fetch_sub(bytes, std::memory_order_relaxed);
  remove(waiting_, claim);
  append(waiting_, claim);
}

void BufferBudget::forget(BufferClaim& claim) noexcept {
  core::MutexLock lock(mutex_);
  if (!claim.condemned_) {
    claimed_.fetch_sub(claim.bytes_, std::memory_order_relaxed);
    remove(waiting_, claim);
  } else if (claim.in_list_) {
    Condemned& of_worker = condemned_[claim.worker_];
    remove(of_worker.list, claim);
    of_worker.count.fetch_sub(1, std::memory_order_relaxed);
  }
}

Connection* BufferBudget::next_condemned(uint32_t worker) noexcept {
  core::MutexLock lock(mutex_);
  Condemned& of_worker = condemned_[worker];
  BufferClaim* const claim = of_worker.list.first;
  if (claim == nullptr) return nullptr;
  remove(of_worker.list, *claim);
  of_worker.count.fetch_sub(1, std::memory_order_relaxed);
  return claim->connection_;
}

void BufferClaim::take(BufferBudget& budget, uint32_t worker, Connection* connection,
                       uint64_t bytes) {
  assert(budget_ == nullptr);
  if (bytes == 0) return;
  worker_ = worker;
  connection_ = connection;
  bytes_ = bytes;
  condemned_ = false;
  budget.admit(*this, bytes);
  budget_ = &budget;
}

void BufferClaim::charge(BufferBudget& budget, uint64_t bytes) noexcept {
  assert(budget_ == nullptr);
  if (bytes == 0) return;
  budget_ = &budget;
  connection_ = nullptr;
  bytes_ = bytes;
  condemned_ = false;
  budget.charged_.fetch_add(bytes, std::memory_order_relaxed);
}

void BufferClaim::give_back(uint64_t bytes) noexcept {
  assert(bytes <= bytes_);
  if (bytes == 0) return;
  if (connection_ != nullptr) return budget_->make_progress(*this, bytes);
  budget_->charged_.fetch_sub(bytes, std::memory_order_relaxed);
  bytes_ -= bytes;
}

void BufferClaim::release() noexcept {
  if (budget_ == nullptr) return;
  if (connection_ == nullptr) {
    budget_->charged_.fetch_sub(bytes_, std::memory_order_relaxed);
  } else {
    budget_->forget(*this);
  }
  budget_ = nullptr;
  bytes_ = 0;
}

}  // namespace larder::daemon
