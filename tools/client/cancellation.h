// Cancellation: one thread ends what another waits for.
#pragma once

#include <atomic>

namespace larder::client {

// Any thread. A wait that gets a Cancellation ends when cancel() is called, as it does at its
// deadline. It cannot be taken back.
class Cancellation {
 public:
  Cancellation() noexcept;
  ~Cancellation();
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  void cancel() noexcept;
  bool cancelled() const noexcept { return cancelled_; }
  // For poll(), which ignores -1: readable once cancelled. -1: the process has no descriptor left,
  // and waits that have begun end at their deadlines.
  int fd() const noexcept { return fd_; }

 private:
  const int fd_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace larder::client
