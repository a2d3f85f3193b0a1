#include "daemon/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace larder::daemon {

Mailbox::Mailbox() : wakeup_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!wakeup_) {
    throw std::runtime_error(std::string("cannot create an eventfd: ") + std::strerror(errno));
  }
}

void Mailbox::post(Message message) {
  bool was_empty;
  {
    core::MutexLock lock(mutex_);
    was_empty = messages_.empty();
    messages_.push_back(std::move(message));
  }
  if (!was_empty) return;  // the call that found it empty makes it readable
  make_readable();
}

void Mailbox::ring() noexcept {
  rings_.store(true, std::memory_order_release);
  make_readable();
}

void Mailbox::make_readable() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wakeup_.fd(), &one, sizeof one);
}

bool Mailbox::swap(std::vector<Message>& empty) noexcept {
  assert(empty.empty());
  // Reset before looking: a message or a ring in between makes it readable again, for nothing at
  // worst.
  uint64_t rings;
  [[maybe_unused]] const ssize_t n = ::read(wakeup_.fd(), &rings, sizeof rings);
  {
    core::MutexLock lock(mutex_);
    messages_.swap(empty);
  }
  return rings_.exchange(false, std::memory_order_acquire);
}

}  // namespace larder::daemon
