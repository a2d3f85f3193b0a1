#include "tools/client/request_number.h"

#include "proto/binary_header.h"
#include "tools/client/process.h"

namespace larder::client {

RequestNumber::RequestNumber(Dialect dialect, uint32_t number) noexcept {
  if (dialect == Dialect::Binary) {
    proto::put_big_endian(bytes_, number);
    size_ = sizeof number;
    return;
  }
  constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
  constexpr unsigned kBits = 6;
  for (char& digit : bytes_) {
    digit = kDigits[number & ((1u << kBits) - 1)];
    number >>= kBits;
  }
  size_ = sizeof bytes_;
}

uint32_t RequestNumber::any() { return static_cast<uint32_t>(chance_of_thread()()); }

}  // namespace larder::client
