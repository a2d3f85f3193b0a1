#include "daemon/input_buffer.h"

#include <cassert>
#include <cstring>

namespace larder::daemon {

void InputBuffer::keep(std::string_view rest) {
  assert(empty());
  if (rest.empty()) return clear();
  if (capacity_ < rest.size()) {
    memory_ = std::make_unique_for_overwrite<char[]>(rest.size());
    capacity_ = static_cast<uint32_t>(rest.size());
  }
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
