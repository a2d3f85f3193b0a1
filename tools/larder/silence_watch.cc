#include "tools/larder/silence_watch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace larder::operate {
namespace {

int copy_of(int fd) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw std::system_error(errno, std::generic_category(), "copying a socket");
  return copy;
}

}  // namespace

SilenceWatch::SilenceWatch(int fd, std::chrono::milliseconds patience)
    : copy_(copy_of(fd)), patience_(patience), last_heard_(Clock::now()) {
  try {
    thread_ = std::thread([this] { watch(); });
  } catch (...) {
    close(copy_);
    throw;
  }
}

SilenceWatch::~SilenceWatch() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  thread_.join();
  close(copy_);
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
      shutdown(copy_, SHUT_RDWR);
      return;
    }
    changed_.wait_until(lock, end);
  }
}

}  // namespace larder::operate
