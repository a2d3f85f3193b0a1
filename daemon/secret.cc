#include "daemon/secret.h"

#include <string.h>
#include <sys/mman.h>

#include <new>

namespace larder::daemon {

std::span<char> allocate_secret(size_t bytes) {
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, bytes, MADV_DONTDUMP);  // a kernel without it dumps; nothing else depends on it
  return {static_cast<char*>(memory), bytes};
}

void free_secret(std::span<char> memory) noexcept {
  wipe(memory);
  munmap(memory.data(), memory.size());
}

SecretBytes::SecretBytes(size_t bytes) {
  if (bytes > 0) memory_ = allocate_secret(bytes);
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  std::swap(memory_, other.memory_);
  return *this;
}

void SecretBytes::clear() noexcept {
  if (!memory_.empty()) free_secret(memory_);
  memory_ = {};
}

void wipe(std::span<char> bytes) noexcept {
  if (!bytes.empty()) explicit_bzero(bytes.data(), bytes.size());
}

}  // namespace larder::daemon
