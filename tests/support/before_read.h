// BeforeRead: while one lives, this program's own read() calls on one descriptor make another call
// first, which stands for another thread that makes it at that moment.
//
// For calls in this program's own code: libraries read as ever. One object at a time; any thread
// may read, and makes the call.
#pragma once

#include <functional>

namespace larder::test {

class BeforeRead {
 public:
  BeforeRead(int fd, std::function<void()> call);
  ~BeforeRead();
  BeforeRead(const BeforeRead&) = delete;
  BeforeRead& operator=(const BeforeRead&) = delete;

  void run() const { call_(); }

 private:
  const std::function<void()> call_;
};

}  // namespace larder::test
