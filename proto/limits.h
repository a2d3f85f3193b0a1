// Limits of the wire: what a request may be long, and how long a reply's head can get.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>

namespace larder::proto {

constexpr size_t kMaxKeyBytes = 250;
// A meta opaque with its leading O; so 31 bytes of the client's own.
constexpr size_t kMaxOpaqueTokenBytes = 32;

// A line is cut into at most this many tokens. What follows the last one is not looked at, so a
// `noreply` further right is not seen.
constexpr size_t kMaxTokens = 23;
// Meta commands refuse more than this many tokens, verb and key included.
constexpr size_t kMaxMetaTokens = 20;

// Without a newline in this many bytes the connection is closed, unless it is a line of the get
// family: from here on that is consumed before it has ended, and may be endless.
constexpr size_t kMaxUnfinishedLineBytes = 2048;
// The shortest line that is looked at, newline included: one letter is never a command, and
// neither is `mn` with a bare newline.
constexpr size_t kMinLineBytes = 4;

// Numbers longer than this are refused before they are read, leading zeros or not.
constexpr size_t kMaxNumber32Bytes = 11;
constexpr size_t kMaxNumber64Bytes = 22;

// Declared length of a text value: its \r\n must still fit an int.
constexpr int32_t kMaxTextValueBytes = INT_MAX - 2;
// Block of `config set`. It is a command only when it has come whole, so it has to fit where input
// is received together with its line.
constexpr size_t kMaxConfigBytes = 32 * 1024;
// Declared body of a binary request; more is answered and closed.
constexpr uint32_t kMaxBinaryBodyBytes = 1u << 30;

// Decimal digits of 2^32 - 1 and 2^64 - 1.
constexpr size_t kDigits32 = 10;
constexpr size_t kDigits64 = 20;

// Base64 of a key of the greatest length, with padding.
constexpr size_t kMaxBase64KeyBytes = (kMaxKeyBytes + 2) / 3 * 4;

}  // namespace larder::proto
