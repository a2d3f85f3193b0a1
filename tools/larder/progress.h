// Progress: how far a long command is, on standard error where that is a terminal. One thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace larder::operate {

class Progress {
 public:
  Progress();
  ~Progress();  // takes its line away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // One more item; says so twice a second.
  void count(uint64_t item_bytes);
  // Before something else is printed to standard error.
  void clear();

 private:
  const bool shown_;
  bool drawn_ = false;
  uint64_t items_ = 0;
  uint64_t bytes_ = 0;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace larder::operate
