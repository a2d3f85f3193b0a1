// Binary requests for tests, also such as no client would send.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace larder::test {

inline std::string big_endian(uint64_t value, size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) {
    text[bytes - 1 - i] = static_cast<char>(value >> (8 * i));
  }
  return text;
}

struct BinaryRequest {
  uint8_t opcode = 0;
  std::string key = {};
  std::string extras = {};
  std::string value = {};
  uint64_t cas = 0;
  uint8_t magic = 0x80;
  std::optional<uint16_t> key_bytes = std::nullopt;  // what the header says, if not the truth
  std::optional<uint8_t> extras_bytes = std::nullopt;
  std::optional<uint32_t> body_bytes = std::nullopt;
  std::string opaque = "\x01\x02\x03\x04";

  std::string bytes() const {
    const size_t body = extras.size() + key.size() + value.size();
    return big_endian(magic, 1) + big_endian(opcode, 1) +
           big_endian(key_bytes.value_or(static_cast<uint16_t>(key.size())), 2) +
           big_endian(extras_bytes.value_or(static_cast<uint8_t>(extras.size())), 1) +
           big_endian(0, 1) + big_endian(0, 2) +
           big_endian(body_bytes.value_or(static_cast<uint32_t>(body)), 4) + opaque +
           big_endian(cas, 8) + extras + key + value;
  }
};

}  // namespace larder::test
