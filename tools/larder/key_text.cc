#include "tools/larder/key_text.h"

#include <algorithm>

#include "tools/larder/shown_text.h"

namespace larder::operate {
namespace {

constexpr std::string_view kCoded = "% '\"\\";

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string encoded_key(std::string_view key) {
  std::string text;
  while (!key.empty()) {
    const size_t special = key.find_first_of(kCoded);
    const bool dash = text.empty() && key.front() == '-';
    const size_t plain = dash ? 0 : std::min(special, key.size());
    text += shown(key.substr(0, plain));
    key.remove_prefix(plain);
    if (key.empty()) break;
    append_codes(key.substr(0, 1), text);
    key.remove_prefix(1);
  }
  return text;
}

std::optional<std::string> decoded_key(std::string_view text) {
  std::string key;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      key += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = digit_of(text[i + 1]);
    const int low = digit_of(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    key += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return key;
}

}  // namespace larder::operate
