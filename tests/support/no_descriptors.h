// NoDescriptors: while one lives, this process gets no new descriptor.
#pragma once

#include <sys/resource.h>

#include <catch2/catch.hpp>

namespace larder::test {

class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    rlimit none = before_;
    // Standard input, output and error have the numbers below. (poll() takes no more entries.)
    none.rlim_cur = 3;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace larder::test
