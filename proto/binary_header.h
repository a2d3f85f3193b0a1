// The 24-byte header of the binary protocol (protocol_binary.txt, "Packet Structure"), the same
// both ways but for bytes 6 and 7.
//
//      0     1      2  3    4       5      6  7     8 .. 11   12 .. 15   16 .. 23
//   | magic | op | keylen | extlen | type | status | bodylen | opaque   | cas      |  big endian
//                                          (a request has a vbucket there: not looked at)
//
// followed by bodylen bytes: extras, key, value.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "proto/error_lines.h"
#include "proto/verbs.h"

namespace larder::proto {

template <class Integer>
constexpr Integer swap_unless_big_endian(Integer value) noexcept {
  if constexpr (std::endian::native == std::endian::big) {
    return value;
  } else if constexpr (sizeof(Integer) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(Integer) == 4) {
    return __builtin_bswap32(value);
  } else {
    static_assert(sizeof(Integer) == 8);
    return __builtin_bswap64(value);
  }
}

template <class Integer>
Integer load_big_endian(const char* p) noexcept {
  Integer value;
  std::memcpy(&value, p, sizeof value);
  return swap_unless_big_endian(value);
}

template <class Integer>
char* put_big_endian(char* out, Integer value) noexcept {
  value = swap_unless_big_endian(value);
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

// A request's header where it stands in the input: kBytes readable bytes.
class BinaryRequestHeader {
 public:
  static constexpr size_t kBytes = 24;

  explicit BinaryRequestHeader(const char* bytes) noexcept : bytes_(bytes) {}

  uint8_t magic() const noexcept { return static_cast<uint8_t>(bytes_[0]); }
  uint8_t opcode() const noexcept { return static_cast<uint8_t>(bytes_[1]); }
  uint32_t key_bytes() const noexcept { return load_big_endian<uint16_t>(bytes_ + 2); }
  uint32_t extras_bytes() const noexcept { return static_cast<uint8_t>(bytes_[4]); }
  uint32_t body_bytes() const noexcept { return load_big_endian<uint32_t>(bytes_ + 8); }
  std::string_view opaque() const noexcept { return {bytes_ + 12, 4}; }
  uint64_t cas() const noexcept { return load_big_endian<uint64_t>(bytes_ + 16); }

 private:
  const char* bytes_;
};

// What a client says in a request's header.
struct BinaryRequestFields {
  uint8_t opcode = 0;
  std::string_view opaque;  // four raw bytes, or nothing for zeros
  uint8_t extras_bytes = 0;
  uint16_t key_bytes = 0;
  uint32_t body_bytes = 0;  // extras and key included
  uint64_t cas = 0;
};

// Writes BinaryRequestHeader::kBytes bytes and returns where they end.
inline char* put_binary_request_header(char* out, const BinaryRequestFields& fields) noexcept {
  out[0] = static_cast<char>(kBinaryRequestMagic);
  out[1] = static_cast<char>(fields.opcode);
  put_big_endian(out + 2, fields.key_bytes);
  out[4] = static_cast<char>(fields.extras_bytes);
  std::memset(out + 5, 0, 3);
  put_big_endian(out + 8, fields.body_bytes);
  uint32_t echo = 0;
  if (fields.opaque.size() == sizeof echo) std::memcpy(&echo, fields.opaque.data(), sizeof echo);
  std::memcpy(out + 12, &echo, sizeof echo);
  return put_big_endian(out + 16, fields.cas);
}

// A reply's header where it stands in the input: kBytes readable bytes.
class BinaryReplyView {
 public:
  static constexpr size_t kBytes = BinaryRequestHeader::kBytes;

  explicit BinaryReplyView(const char* bytes) noexcept : bytes_(bytes) {}

  uint8_t magic() const noexcept { return static_cast<uint8_t>(bytes_[0]); }
  uint8_t opcode() const noexcept { return static_cast<uint8_t>(bytes_[1]); }
  uint32_t key_bytes() const noexcept { return load_big_endian<uint16_t>(bytes_ + 2); }
  uint32_t extras_bytes() const noexcept { return static_cast<uint8_t>(bytes_[4]); }
  uint16_t status() const noexcept { return load_big_endian<uint16_t>(bytes_ + 6); }
  uint32_t body_bytes() const noexcept { return load_big_endian<uint32_t>(bytes_ + 8); }
  std::string_view opaque() const noexcept { return {bytes_ + 12, 4}; }
  uint64_t cas() const noexcept { return load_big_endian<uint64_t>(bytes_ + 16); }

 private:
  const char* bytes_;
};

struct BinaryReplyHeader {
  static constexpr size_t kBytes = BinaryRequestHeader::kBytes;

  uint8_t opcode = 0;
  BinaryStatus status = BinaryStatus::Ok;
  std::string_view opaque;  // four raw bytes, or nothing for zeros
  uint8_t extras_bytes = 0;
  uint16_t key_bytes = 0;
  uint32_t body_bytes = 0;  // extras and key included
  uint64_t cas = 0;

  // Writes kBytes bytes and returns where they end.
  char* put(char* out) const noexcept {
    out[0] = static_cast<char>(kBinaryReplyMagic);
    out[1] = static_cast<char>(opcode);
    put_big_endian(out + 2, key_bytes);
    out[4] = static_cast<char>(extras_bytes);
    out[5] = 0;
    put_big_endian(out + 6, static_cast<uint16_t>(status));
    put_big_endian(out + 8, body_bytes);
    uint32_t echo = 0;
    if (opaque.size() == sizeof echo) std::memcpy(&echo, opaque.data(), sizeof echo);
    std::memcpy(out + 12, &echo, sizeof echo);
    return put_big_endian(out + 16, cas);
  }
};

}  // namespace larder::proto
