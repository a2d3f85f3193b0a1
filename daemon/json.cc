#include "daemon/json.h"

#include <cmath>

#include "daemon/exposition.h"

namespace larder::daemon {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < ' ') {
      out += "\\u00";
      out += {kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += c;
    }
  }
  out += '"';
}

// As JSON has numbers: no sign but a minus, no leading zeros, digits around a point.
bool is_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  if (whole.empty() || (whole.size() > 1 && whole.front() == '0')) return false;
  if (whole.find_first_not_of("0123456789") != std::string_view::npos) return false;
  if (point == std::string_view::npos) return true;
  const std::string_view rest = text.substr(point + 1);
  return !rest.empty() && rest.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Json& Json::open(char opening, char closing) {
  separate();
  text_ += opening;
  closings_.push_back(closing);
  first_ = true;
  return *this;
}

Json& Json::end() {
  text_ += closings_.back();
  closings_.pop_back();
  first_ = false;
  return *this;
}

Json& Json::member(std::string_view name) {
  separate();
  append_quoted(text_, name);
  text_ += ':';
  first_ = true;  // its value has no comma before it
  return *this;
}

Json& Json::value(std::string_view text) {
  separate();
  append_quoted(text_, text);
  return *this;
}

Json& Json::value(double number) { return raw(std::isfinite(number) ? decimal(number) : "null"); }

Json& Json::number_or_text(std::string_view text) {
  return is_number(text) ? raw(text) : value(text);
}

Json& Json::raw(std::string_view text) {
  separate();
  text_ += text;
  return *this;
}

void Json::separate() {
  if (!first_) text_ += ',';
  first_ = false;
}

}  // namespace larder::daemon
