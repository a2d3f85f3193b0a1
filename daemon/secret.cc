#include "daemon/secret.h"

#include <string.h>
#include <sys/mman.h>

#include <new>

namespace larder::daemon {

SecretBytes::SecretBytes(size_t bytes) {
  if (bytes == 0) return;
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, bytes, MADV_DONTDUMP);  // a kernel without it dumps; nothing else depends on it
  memory_ = {static_cast<char*>(memory), bytes};
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  std::swap(memory_, other.memory_);
  return *this;
}

void SecretBytes::clear() noexcept {
  if (memory_.empty()) return;
  wipe(memory_);
  munmap(memory_.data(), memory_.size());
  memory_ = {};
}

void wipe(std::span<char> bytes) noexcept { explicit_bzero(bytes.data(), bytes.size()); }

}  // namespace larder::daemon
