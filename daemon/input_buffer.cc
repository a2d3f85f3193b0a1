#include "daemon/input_buffer.h"

#include <cassert>
#include <cstring>

#include "daemon/secret.h"

namespace larder::daemon {

void InputBuffer::Release::operator()(char* memory) const noexcept {
  if (secret_bytes_ > 0) return free_secret({memory, secret_bytes_});
  delete[] memory;
}

void InputBuffer::keep(std::string_view rest, Memory memory) {
  assert(empty());
  if (rest.empty()) return clear();
  const auto bytes = static_cast<uint32_t>(rest.size());
  if (memory == Memory::Secret) {
    memory_ = {allocate_secret(bytes).data(), Release{bytes}};
  } else {
    memory_ = {new char[bytes], Release{}};
  }
  capacity_ = bytes;
  std::memcpy(memory_.get(), rest.data(), rest.size());
  begin_ = 0;
  end_ = static_cast<uint32_t>(rest.size());
}

void InputBuffer::drop_front(size_t bytes) noexcept {
  assert(bytes <= size());
  begin_ += static_cast<uint32_t>(bytes);
  if (empty()) clear();
}

void InputBuffer::clear() noexcept {
  memory_.reset();
  begin_ = end_ = capacity_ = 0;
}

}  // namespace larder::daemon
