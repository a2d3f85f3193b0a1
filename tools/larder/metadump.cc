#include "tools/larder/metadump.h"

#include <algorithm>
#include <charconv>

#include "tools/larder/key_text.h"

namespace larder::operate {
namespace {

template <typename Number>
bool take(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

}  // namespace

std::optional<DumpedKey> parse_metadump(std::string_view line) {
  DumpedKey found;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = word.substr(0, equals);
    const std::string_view value = word.substr(equals + 1);
    if (name == "key") {
      std::optional<std::string> key = decoded_key(value);
      if (!key) return std::nullopt;
      found.key = std::move(*key);
    }
    if (name == "exp" && !take(value, found.expires)) return std::nullopt;
    if (name == "la" && !take(value, found.last_used)) return std::nullopt;
    if (name == "size" && !take(value, found.size)) return std::nullopt;
  }
  if (found.key.empty()) return std::nullopt;
  return found;
}

}  // namespace larder::operate
