#include "proto/uri.h"

#include <array>

namespace larder::proto {
namespace {

constexpr auto kPlain = [] {
  std::array<bool, 256> plain{};
  for (int c = '0'; c <= '9'; ++c) plain[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) plain[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) plain[static_cast<size_t>(c)] = true;
  for (const char c : {'-', '.', '_', '~'}) plain[static_cast<size_t>(c)] = true;
  return plain;
}();

}  // namespace

char* put_uri(char* out, std::string_view bytes) noexcept {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (kPlain[byte]) {
      *out++ = c;
      continue;
    }
    *out++ = '%';
    *out++ = kDigits[byte >> 4];
    *out++ = kDigits[byte & 15];
  }
  return out;
}

}  // namespace larder::proto
