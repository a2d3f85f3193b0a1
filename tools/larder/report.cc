#include "tools/larder/report.h"

#include <cstdio>

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

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_json(const Json& json) {
  print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void complain(const std::string& sentence) {
  std::fflush(stdout);
  std::fprintf(stderr, "larder: %s\n", sentence.c_str());
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
