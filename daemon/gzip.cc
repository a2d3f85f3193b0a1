#include "daemon/gzip.h"

#include <zlib.h>

#include <new>

namespace larder::daemon {
namespace {

constexpr int kGzipHeader = 16;  // added to the bits of the window: gzip instead of zlib

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// "q=0", "q=0.0" and so on.
bool refuses(std::string_view weight) {
  return weight.starts_with("q=0") && weight.find_first_not_of("0.", 2) == std::string_view::npos;
}

}  // namespace

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzipHeader,
                   MAX_MEM_LEVEL - 1, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  std::string out;
  try {
    out.resize(deflateBound(&stream, bytes.size()));
  } catch (...) {
    deflateEnd(&stream);
    throw;
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);  // in one go: deflateBound has said how much room it takes
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

bool takes_gzip(const char* accept_encoding) noexcept {
  std::string_view rest = accept_encoding == nullptr ? "" : accept_encoding;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view coding = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const size_t semicolon = coding.find(';');
    if (trimmed(coding.substr(0, semicolon)) != "gzip") continue;
    return semicolon == std::string_view::npos || !refuses(trimmed(coding.substr(semicolon + 1)));
  }
  return false;
}

}  // namespace larder::daemon
