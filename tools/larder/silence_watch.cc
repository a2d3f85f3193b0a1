#include "tools/larder/silence_watch.h"

#include <sys/socket.h>

namespace larder::operate {

SilenceWatch::SilenceWatch(int fd, std::chrono::milliseconds patience)
    : fd_(fd), patience_(patience), last_heard_(Clock::now()), thread_([this] { watch(); }) {}

SilenceWatch::~SilenceWatch() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void SilenceWatch::pause() {
  const std::lock_guard lock(mutex_);
  paused_ = true;
}

void SilenceWatch::resume() {
  const std::lock_guard lock(mutex_);
  paused_ = false;
  last_heard_ = Clock::now();
}

bool SilenceWatch::has_given_up() const {
  const std::lock_guard lock(mutex_);
  return given_up_;
}

// It looks when the patience would be over, not at each call: those are as many as there are keys.
void SilenceWatch::watch() {
  std::unique_lock lock(mutex_);
  while (!ended_) {
    const Clock::time_point end = (paused_ ? Clock::now() : last_heard_) + patience_;
    if (end <= Clock::now()) {
      given_up_ = true;
      shutdown(fd_, SHUT_RDWR);
      return;
    }
    changed_.wait_until(lock, end);
  }
}

}  // namespace larder::operate
