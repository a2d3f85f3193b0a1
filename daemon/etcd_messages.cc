#include "daemon/etcd_messages.h"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <nlohmann/json.hpp>

#include "daemon/json.h"
#include "proto/base64.h"

namespace larder::daemon {
namespace {

using nlohmann::json;

constexpr size_t kMaxShownBytes = 120;  // of what etcd says

std::string base64(std::string_view bytes) {
  std::string text(proto::base64_encoded_bytes(bytes.size()), '\0');
  proto::base64_encode(bytes, text.data());
  return text;
}

// Where the keys end that begin with `prefix`, as etcd wants it. Prefixes here end in a slash.
std::string end_of(std::string_view prefix) {
  std::string end(prefix);
  ++end.back();
  return end;
}

// What etcd answers is not as deep, and 2048 keys have 15,000 values.
constexpr int kDeepest = 16;
constexpr size_t kMostValues = 64 * 1024;

// Whether a text is worth parsing, by its brackets and commas outside of strings: a value takes a
// byte there and fifty of memory, and brackets that nothing closes take twice the time of others.
bool is_modest(std::string_view text) noexcept {
  bool in_string = false;
  int depth = 0;
  size_t values = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string) {
      if (c == '\\') ++i;
      continue;
    }
    if (c == ']' || c == '}') --depth;
    if ((c == '[' || c == '{') && ++depth > kDeepest) return false;
    if ((c == '[' || c == '{' || c == ',') && ++values > kMostValues) return false;
  }
  return true;
}

// Without a callback: with one, the library looks at all members of an array after each object in
// it, so that two megabytes of `{},` take minutes.
json parse(std::string_view text) {
  if (!is_modest(text)) return json(json::value_t::discarded);
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// Null if there is none.
const json& member(const json& object, const char* name) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

// A number that is not there is 0.
template <std::integral Number>
bool read_number(const json& object, const char* name, Number& number) {
  number = 0;
  const json& its = member(object, name);
  if (its.is_null()) return true;
  const std::string digits = its.is_string()           ? its.get<std::string>()
                             : its.is_number_integer() ? its.dump()
                                                       : std::string();
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  return !digits.empty() && error == std::errc() && stop == end;
}

bool read_bytes(const json& object, const char* name, std::string& bytes) {
  bytes.clear();
  const json& its = member(object, name);
  if (its.is_null()) return true;
  if (!its.is_string()) return false;
  bytes = its.get<std::string>();
  if (bytes.empty()) return true;
  bytes.resize(proto::base64_decode_in_place(bytes.data(), bytes.size()));
  return !bytes.empty();
}

bool read_flag(const json& object, const char* name) {
  const json& its = member(object, name);
  return its.is_boolean() && its.get<bool>();
}

bool read_pair(const json& object, EtcdPair& pair) {
  return read_bytes(object, "key", pair.key) && !pair.key.empty() &&
         read_bytes(object, "value", pair.value) &&
         read_number(object, "mod_revision", pair.mod_revision) && pair.mod_revision > 0 &&
         read_number(object, "lease", pair.lease);
}

}  // namespace

std::string etcd_grant(int64_t seconds) {
  Json body;
  body.object().member("TTL", std::to_string(seconds)).end();
  return body.take();
}

std::string etcd_lease(int64_t lease) {
  Json body;
  body.object().member("ID", std::to_string(lease)).end();
  return body.take();
}

std::string etcd_put(std::string_view key, std::string_view value, int64_t lease) {
  Json body;
  body.object().member("key", base64(key)).member("value", base64(value));
  body.member("lease", std::to_string(lease)).end();
  return body.take();
}

std::string etcd_range(std::string_view prefix, size_t most) {
  Json body;
  body.object().member("key", base64(prefix)).member("range_end", base64(end_of(prefix)));
  body.member("limit", std::to_string(most)).end();
  return body.take();
}

std::string etcd_put_if(std::string_view key, uint64_t mod_revision, std::string_view value) {
  return etcd_put_while({key, mod_revision}, key, value, 0);
}

std::string etcd_put_while(const EtcdGuard& guard, std::string_view key, std::string_view value,
                           int64_t lease) {
  Json body;
  body.object().member("compare").array().object();
  body.member("key", base64(guard.key)).member("target", "MOD").member("result", "EQUAL");
  body.member("mod_revision", std::to_string(guard.mod_revision)).end().end();
  body.member("success").array().object().member("request_put").object();
  body.member("key", base64(key)).member("value", base64(value));
  if (lease != 0) body.member("lease", std::to_string(lease));
  body.end().end().end().end();
  return body.take();
}

std::string etcd_watch(std::string_view prefix, uint64_t revision) {
  Json body;
  body.object().member("create_request").object();
  body.member("key", base64(prefix)).member("range_end", base64(end_of(prefix)));
  body.member("start_revision", std::to_string(revision)).end().end();
  return body.take();
}

std::string etcd_authenticate(std::string_view user, std::string_view password) {
  Json body;
  body.object().member("name", user).member("password", password).end();
  return body.take();
}

std::optional<std::string> read_token(std::string_view answer) {
  const json parsed = parse(answer);
  const json& its = member(parsed, "token");
  if (!its.is_string()) return std::nullopt;
  std::string token = its.get<std::string>();
  const auto fits = [](char c) { return c > ' ' && c <= '~'; };
  if (token.empty() || !std::all_of(token.begin(), token.end(), fits)) return std::nullopt;
  return token;
}

std::optional<int64_t> read_granted_lease(std::string_view answer) {
  int64_t lease = 0;
  if (!read_number(parse(answer), "ID", lease) || lease <= 0) return std::nullopt;
  return lease;
}

std::optional<int64_t> read_lease_seconds(std::string_view answer) {
  const json parsed = parse(answer);
  const json& result = member(parsed, "result");
  int64_t seconds = 0;
  if (!result.is_object() || !read_number(result, "TTL", seconds)) return std::nullopt;
  return std::max<int64_t>(seconds, 0);
}

bool read_succeeded(std::string_view answer) { return read_flag(parse(answer), "succeeded"); }

std::optional<EtcdRange> read_range(std::string_view answer) {
  const json parsed = parse(answer);
  EtcdRange range;
  if (!read_number(member(parsed, "header"), "revision", range.revision) || range.revision == 0) {
    return std::nullopt;
  }
  range.more = read_flag(parsed, "more");
  const json& pairs = member(parsed, "kvs");
  if (!pairs.is_null() && !pairs.is_array()) return std::nullopt;
  for (const json& object : pairs) {
    if (!read_pair(object, range.pairs.emplace_back())) return std::nullopt;
    if (range.pairs.back().mod_revision > range.revision) return std::nullopt;
  }
  return range;
}

WatchNews read_watch_line(std::string_view line) {
  const json parsed = parse(line);
  const json& result = member(parsed, "result");
  if (!result.is_object() || read_flag(result, "canceled")) return WatchNews::Over;
  const json& events = member(result, "events");
  return events.is_array() && !events.empty() ? WatchNews::Change : WatchNews::Nothing;
}

std::string read_etcd_error(std::string_view answer) {
  const json parsed = parse(answer);
  const json& error = member(parsed, "error");
  // A stream has its error one level deeper.
  const json& said = error.is_object() ? member(error, "message") : error;
  if (!said.is_string()) return "it says nothing that is understood";
  std::string shown = "it says '";
  for (const char c : said.get<std::string>().substr(0, kMaxShownBytes)) {
    shown += c >= ' ' && c <= '~' ? c : '?';
  }
  return shown += "'";
}

}  // namespace larder::daemon
