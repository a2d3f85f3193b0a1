#include "tools/client/stats_row.h"

#include <charconv>
#include <string>

namespace larder::client {

std::optional<uint64_t> row_of(std::string_view lines, std::string_view name) {
  const std::string start = "STAT " + std::string(name) + ' ';
  const size_t at = lines.find(start);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = lines.substr(at + start.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc{} || end == rest.data() + rest.size() || *end != '\r') return std::nullopt;
  return number;
}

}  // namespace larder::client
