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
  // Multiples of the golden ratio: all differ, and neighbours do in the last digit, too. Where a
  // network loses bytes from one opaque to the same place of the next, the digits fit neither.
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  uint64_t digits = number * kGolden >> (64 - sizeof bytes_ * kBits);
  for (char& digit : bytes_) {
    digit = kDigits[digits & ((1u << kBits) - 1)];
    digits >>= kBits;
  }
  size_ = sizeof bytes_;
}

uint32_t RequestNumber::any() { return static_cast<uint32_t>(chance_of_thread()()); }

}  // namespace larder::client
