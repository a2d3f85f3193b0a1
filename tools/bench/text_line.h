// Lines of the classic and the meta protocol, as both read and write them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>

#include "tools/bench/digits.h"

namespace larder::bench {

// Copies a short text; the end.
inline char* put(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// The line at `p` without its \r\n, or nothing while its end is missing.
inline std::optional<std::string_view> line_at(const char* p, const char* end) {
  const auto* newline =
      static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
  if (newline == nullptr) return std::nullopt;
  const auto length = static_cast<size_t>(newline - p);
  // Without \r it is shown with what it has, which fits nothing.
  if (length == 0 || newline[-1] != '\r') return std::string_view(p, length + 1);
  return std::string_view(p, length - 1);
}

// False of a line without \r: its end is not line.size() + 2 bytes on.
inline bool is_error_line(std::string_view line) {
  if (line.ends_with('\n')) return false;
  return line.starts_with("ERROR") || line.starts_with("CLIENT_ERROR") ||
         line.starts_with("SERVER_ERROR");
}

}  // namespace larder::bench
