#include "tests/support/before_read.h"

#include <sys/types.h>

#include <atomic>
#include <cassert>
#include <cstddef>
#include <utility>

namespace larder::test {
namespace {

std::atomic<int> watched_fd{-1};
std::atomic<const BeforeRead*> watcher{nullptr};

}  // namespace

BeforeRead::BeforeRead(int fd, std::function<void()> call) : call_(std::move(call)) {
  assert(watcher == nullptr);
  watcher = this;
  watched_fd = fd;
}

BeforeRead::~BeforeRead() {
  watched_fd = -1;
  watcher = nullptr;
}

}  // namespace larder::test

// The linker leads calls of read() here (tests/CMakeLists.txt); `real_read` is what would be called
// otherwise.

ssize_t real_read(int fd, void* into, size_t bytes) __asm__("__real_read");

ssize_t wrapped_read(int fd, void* into, size_t bytes) __asm__("__wrap_read");

ssize_t wrapped_read(int fd, void* into, size_t bytes) {
  if (fd >= 0 && fd == larder::test::watched_fd.load()) larder::test::watcher.load()->run();
  return real_read(fd, into, bytes);
}
