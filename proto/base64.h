// Base64 of binary keys (RFC 4648 alphabet), as the meta commands take and give it.
#pragma once

#include <cstddef>
#include <string_view>

namespace larder::proto {

// Length of the encoding of `bytes` bytes, padding included.
constexpr size_t base64_encoded_bytes(size_t bytes) noexcept { return (bytes + 2) / 3 * 4; }

// Writes base64_encoded_bytes(bytes.size()) characters and returns where they end.
char* base64_encode(std::string_view bytes, char* out) noexcept;

// Decodes in place. Returns the decoded length, or 0 if the text is not base64: then the text may
// be half overwritten. Characters that are not of the alphabet are skipped, as memcached does; what
// is left must come in fours, and the first four with padding end it.
size_t base64_decode_in_place(char* text, size_t bytes) noexcept;

}  // namespace larder::proto
