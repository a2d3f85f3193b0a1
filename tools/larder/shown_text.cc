#include "tools/larder/shown_text.h"

#include <algorithm>
#include <cstdint>

namespace larder::operate {
namespace {

uint32_t byte_at(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }

// character  one, of UTF-8
bool is_control(std::string_view character) {
  const uint32_t first = byte_at(character, 0);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return character.size() == 2 && first == 0xc2 && byte_at(character, 1) < 0xa0;
}

std::string with_codes(std::string_view text, std::string_view kept) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = utf8_bytes(text);
    const std::string_view character = text.substr(0, std::max<size_t>(valid, 1));
    const bool keep = valid > 0 && (!is_control(character) || kept.find(text[0]) != kept.npos);
    if (keep) {
      out += character;
    } else {
      append_codes(character, out);
    }
    text.remove_prefix(character.size());
  }
  return out;
}

}  // namespace

size_t utf8_bytes(std::string_view text) {
  if (text.empty()) return 0;
  const uint32_t first = byte_at(text, 0);
  if (first < 0x80) return 1;
  const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return 0;
  uint32_t code = first & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte_at(text, i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte_at(text, i) & 0x3f);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return overlong || surrogate || code > 0x10ffff ? 0 : bytes;
}

void append_codes(std::string_view bytes, std::string& text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (size_t i = 0; i < bytes.size(); ++i) {
    text += '%';
    text += kDigits[byte_at(bytes, i) >> 4];
    text += kDigits[byte_at(bytes, i) & 15];
  }
}

std::string shown(std::string_view text) { return with_codes(text, {}); }

std::string shown_lines(std::string_view text) { return with_codes(text, "\n\t"); }

}  // namespace larder::operate
