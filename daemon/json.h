// Json: writes a JSON text piece by piece.
//
//   Json json;
//   json.object().member("a").value(1).member("b").array().value("x").end().end();
//
// Whoever writes keeps to the grammar: a value needs its member() inside an object, and each
// object() and array() its end(). One thread.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace larder::daemon {

class Json {
 public:
  Json& object() { return open('{', '}'); }
  Json& array() { return open('[', ']'); }
  Json& end();
  Json& member(std::string_view name);

  Json& value(std::string_view text);  // UTF-8
  Json& value(const char* text) { return value(std::string_view(text)); }
  Json& value(bool yes) { return raw(yes ? "true" : "false"); }
  template <std::integral Number>
  Json& value(Number number) {
    return raw(std::to_string(number));
  }
  Json& value(double number);
  // A number as it is, if it is one; else a text.
  Json& number_or_text(std::string_view text);

  template <class Value>
  Json& member(std::string_view name, const Value& its) {
    return member(name).value(its);
  }

  std::string take() { return std::move(text_); }

 private:
  Json& open(char opening, char closing);
  Json& raw(std::string_view text);
  void separate();

  std::string text_;
  std::vector<char> closings_;
  bool first_ = true;  // nothing precedes in the innermost object or array
};

}  // namespace larder::daemon
