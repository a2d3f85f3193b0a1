// InputBuffer: bytes that a connection has received and could not use up yet.
//
// Connections read into a window that their worker lends them; this holds what is left over when
// the window goes to the next one: part of a command, or whole commands that wait for another pass
// or for a slow client. Empty it owns no memory. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace larder::daemon {

class InputBuffer {
 public:
  // Where what is kept stands. Secret: as in secret.h, part of a password perhaps.
  enum class Memory : bool { Ordinary, Secret };

  InputBuffer() = default;
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  bool empty() const noexcept { return begin_ == end_; }
  size_t size() const noexcept { return end_ - begin_; }
  size_t capacity() const noexcept { return capacity_; }  // bytes of memory owned

  // May be changed in place: parsers decode keys where they stand.
  std::span<char> bytes() noexcept { return {memory_.get() + begin_, size()}; }

  // Copies `rest`, which lies elsewhere; the buffer was empty. Throws std::bad_alloc: it is empty
  // still.
  void keep(std::string_view rest, Memory memory = Memory::Ordinary);
  // The first `bytes` are used up; the rest stays where it is. Frees the memory with the last.
  void drop_front(size_t bytes) noexcept;
  void clear() noexcept;

 private:
  class Release {
   public:
    Release() noexcept : secret_bytes_(0) {}
    explicit Release(uint32_t secret_bytes) noexcept : secret_bytes_(secret_bytes) {}
    void operator()(char* memory) const noexcept;

   private:
    uint32_t secret_bytes_;  // 0: ordinary memory
  };

  std::unique_ptr<char[], Release> memory_;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace larder::daemon
