// Percent-encoding of keys where a line must stay one line: letters, digits and -._~ stand for
// themselves, any other byte as %XX with upper-case digits (RFC 3986, 2.1 and 2.3).
#pragma once

#include <cstddef>
#include <string_view>

namespace larder::proto {

constexpr size_t kUriBytesPerByte = 3;  // at most

// Writes at most kUriBytesPerByte times as many characters and returns where they end.
char* put_uri(char* out, std::string_view bytes) noexcept;

}  // namespace larder::proto
