// RequestNumber: the opaque of a request, by which its reply is known.
#pragma once

#include <cstdint>
#include <string_view>

#include "tools/client/operation.h"

namespace larder::client {

class RequestNumber {
 public:
  RequestNumber(Dialect dialect, uint32_t number) noexcept;

  // Four bytes in binary, six letters and digits in meta; good as long as this lives.
  std::string_view opaque() const noexcept { return {bytes_, size_}; }

  // A number to begin with, by chance: after a fork() parent and child draw different ones. Any
  // thread.
  static uint32_t any();

 private:
  char bytes_[6];
  uint8_t size_;
};

}  // namespace larder::client
