// SilenceWatch: shuts a socket when nothing was heard from it for too long.
//
// For a reply without a known end, whose deadline cannot be told beforehand. A thread of its own
// watches; what belongs to the socket's owner may be called from his thread alone.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace larder::operate {

class SilenceWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // fd  a connected socket, of which the watch keeps a copy: its owner may close it at any time.
  // Throws std::system_error if it cannot create a descriptor or a thread.
  SilenceWatch(int fd, std::chrono::milliseconds patience);
  ~SilenceWatch();
  SilenceWatch(const SilenceWatch&) = delete;
  SilenceWatch& operator=(const SilenceWatch&) = delete;

  void pause();   // something was heard, and its owner is busy with it
  void resume();  // now he listens again
  // The socket was shut.
  bool has_given_up() const;

 private:
  const int copy_;  // of the socket; shutdown() of it is one of the socket itself
  const std::chrono::milliseconds patience_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // With mutex_.
  Clock::time_point last_heard_;
  bool paused_ = false;
  bool ended_ = false;
  bool given_up_ = false;
  std::thread thread_;

  void watch();
};

}  // namespace larder::operate
