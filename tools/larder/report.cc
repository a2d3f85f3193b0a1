#include "tools/larder/report.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/larder/shown_text.h"

namespace larder::operate {
namespace {

std::string_view name_of(client::ErrorKind kind) {
  switch (kind) {
    case client::ErrorKind::BadRequest:
      return "bad_request";
    case client::ErrorKind::Unreachable:
      return "unreachable";
    case client::ErrorKind::Timeout:
      return "timeout";
    case client::ErrorKind::Closed:
      return "closed";
    case client::ErrorKind::Denied:
      return "denied";
    case client::ErrorKind::Refused:
      return "refused";
    case client::ErrorKind::TooLarge:
      return "too_large";
    case client::ErrorKind::Protocol:
      return "protocol";
    case client::ErrorKind::Ejected:
      return "ejected";
  }
  return {};
}

// nlohmann's own check, which dump() makes, too.
bool is_utf8(const std::string& bytes) {
  try {
    Json(bytes).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

}  // namespace

void print(std::string_view text) { print_bytes(shown_lines(text)); }

void print_bytes(std::string_view bytes) { std::fwrite(bytes.data(), 1, bytes.size(), stdout); }

void print_json(const Json& json) { print_bytes(json_text(json, 2) + "\n"); }

// finish_output() reports a failed flush, as stdio keeps the failure.
void complain(std::string_view sentence) {
  std::fflush(stdout);
  const std::string line = "larder: " + shown(sentence) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

bool output_is_whole() { return std::ferror(stdout) == 0; }

bool finish_output() {
  const bool flushed = std::fflush(stdout) == 0;
  if (!flushed || std::ferror(stdout) != 0) return false;
  // Of a copy: at exit others still flush the stream. A file system that writes late reports the
  // failure at every close().
  const int copy = dup(STDOUT_FILENO);
  return copy < 0 || close(copy) == 0;
}

std::string json_text(const Json& json, int indent) {
  constexpr char kDelete = 0x7f;
  const std::string dumped = json.dump(indent, ' ', false, Json::error_handler_t::replace);
  std::string text;
  text.reserve(dumped.size());
  // Outside its strings JSON has no such bytes.
  for (size_t i = 0; i < dumped.size(); ++i) {
    const bool c1 = dumped[i] == '\xc2' && i + 1 < dumped.size() &&
                    static_cast<unsigned char>(dumped[i + 1]) < 0xa0;
    if (!c1 && dumped[i] != kDelete) {
      text += dumped[i];
      continue;
    }
    if (c1) ++i;
    char code[8];
    std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned char>(dumped[i]));
    text += code;
  }
  return text;
}

Json json_of(const client::Error& error) {
  return {{"kind", name_of(error.kind)}, {"text", error.text}};
}

void put_bytes(Json& object, const std::string& name, const std::string& bytes) {
  if (is_utf8(bytes)) {
    object[name] = bytes;
  } else {
    object[name + "_base64"] = base64(bytes);
  }
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

}  // namespace larder::operate
