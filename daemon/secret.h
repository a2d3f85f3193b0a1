// SecretBytes, wipe: memory for what nobody else should read, such as passwords.
//
// Pages of its own that the kernel leaves out of core files (MADV_DONTDUMP) and that are
// overwritten before they go back. For few and long-lived things: each costs whole pages and three
// system calls. One thread at a time.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

namespace larder::daemon {

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t bytes);  // zeros; throws std::bad_alloc
  ~SecretBytes() { clear(); }
  SecretBytes(SecretBytes&& other) noexcept : memory_(std::exchange(other.memory_, {})) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  std::span<char> bytes() noexcept { return memory_; }
  std::span<const char> bytes() const noexcept { return memory_; }

 private:
  void clear() noexcept;

  std::span<char> memory_;
};

// For owners of other kinds: likewise, and what gives it back. `bytes` is not 0.
std::span<char> allocate_secret(size_t bytes);
void free_secret(std::span<char> memory) noexcept;

// Overwrites with zeros, also where the compiler can see that nobody reads them.
void wipe(std::span<char> bytes) noexcept;

}  // namespace larder::daemon
