// NoThreads: while one lives, this process starts no thread.
#pragma once

#include <pthread.h>

#include <catch2/catch.hpp>
#include <cstddef>

namespace larder::test {

// One object at a time. By a size of stacks that no address space has room for.
class NoThreads {
 public:
  NoThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t none = before_;
    REQUIRE(pthread_attr_setstacksize(&none, size_t{1} << 47) == 0);
    REQUIRE(pthread_setattr_default_np(&none) == 0);
  }
  ~NoThreads() { pthread_setattr_default_np(&before_); }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  pthread_attr_t before_;
};

}  // namespace larder::test
