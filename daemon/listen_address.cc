#include "daemon/listen_address.h"

#include <charconv>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace larder::daemon {
namespace {

// option  with its value: "-l 127.0.0.1"
[[noreturn]] void fail(std::string_view option, const std::string& reason) {
  throw std::runtime_error("cannot listen on " + std::string(option) + ": " + reason);
}

constexpr std::pair<std::string_view, TlsMode> kTlsPrefixes[] = {
    {"notls:", TlsMode::Off}, {"btls:", TlsMode::NoPeer}, {"mtls:", TlsMode::WithPeer}};

std::optional<TlsMode> take_tls(std::string_view& rest) {
  for (const auto& [prefix, mode] : kTlsPrefixes) {
    if (!rest.starts_with(prefix)) continue;
    rest.remove_prefix(prefix.size());
    return mode;
  }
  return std::nullopt;
}

// The name between the brackets of "word[name]:", which must be next; nothing if it is not.
std::optional<std::string_view> take_name(std::string_view option, std::string_view word,
                                          char opens, char closes, std::string_view& rest) {
  if (!rest.starts_with(word) || rest.size() == word.size() || rest[word.size()] != opens) {
    return std::nullopt;
  }
  const size_t begin = word.size() + 1;
  const size_t end = rest.find(closes, begin);
  if (end == std::string_view::npos || rest.substr(end + 1, 1) != ":") {
    fail(option, "a '" + std::string(rest.substr(0, begin)) + "' without its '" + closes + ":'");
  }
  const std::string_view name = rest.substr(begin, end - begin);
  rest.remove_prefix(end + 2);
  return name;
}

// The start of a name will do, as in memcached: "proto[a]".
Settings::Protocol protocol_of(std::string_view option, std::string_view name) {
  constexpr std::pair<std::string_view, Settings::Protocol> kNames[] = {
      {"ascii", Settings::Protocol::Ascii},
      {"binary", Settings::Protocol::Binary},
      {"negotiating", Settings::Protocol::Auto}};
  for (const auto& [whole, protocol] : kNames) {
    if (whole.starts_with(name)) return protocol;
  }
  fail(option, "'" + std::string(name) + "' is not ascii, binary or negotiating");
}

std::string_view take_tag(std::string_view option, std::string_view& rest) {
  std::optional<std::string_view> tag = take_name(option, "tag", '[', ']', rest);
  if (!tag) tag = take_name(option, "tag", '_', '_', rest);  // '[' means something to shells
  if (!tag) return {};
  if (tag->empty() || tag->size() > kMaxTagBytes) {
    fail(option, "a tag has 1 to " + std::to_string(kMaxTagBytes) + " characters");
  }
  return *tag;
}

int port_of(std::string_view option, std::string_view digits) {
  int port = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc() || stop != end || port < -1 || port > 65535) {
    fail(option, "'" + std::string(digits) + "' is no port");
  }
  return port;
}

ListenAddress parse(std::string_view option, std::string_view rest, int default_port) {
  ListenAddress address;
  address.port = default_port;
  address.tls = take_tls(rest);
  if (const auto name = take_name(option, "proto", '[', ']', rest)) {
    address.protocol = protocol_of(option, *name);
  }
  address.tag = take_tag(option, rest);

  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) fail(option, "a '[' without its ']'");
    address.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (rest.empty()) return address;
    if (rest.front() != ':') fail(option, "expected a port after ']'");
    address.port = port_of(option, rest.substr(1));
    return address;
  }
  const size_t colon = rest.find(':');
  // Two colons and more without brackets: a v6 address.
  const bool has_port =
      colon != std::string_view::npos && rest.find(':', colon + 1) == std::string_view::npos;
  if (has_port) address.port = port_of(option, rest.substr(colon + 1));
  address.host = has_port ? rest.substr(0, colon) : rest;
  if (address.host == "*") address.host.clear();
  return address;
}

}  // namespace

ListenAddress parse_listen_address(const std::string& text, int default_port) {
  return parse("-l " + text, text, default_port);
}

ListenAddress parse_http_address(const std::string& text) {
  constexpr int kNoPort = -1;
  const bool only_digits =
      !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  const std::string option = "--http " + text;
  ListenAddress address = parse(option, only_digits ? ":" + text : text, kNoPort);
  if (address.tls || address.protocol || !address.tag.empty()) fail(option, "prefixes are for -l");
  if (address.port == kNoPort) fail(option, "a port is missing");
  const bool any = text.starts_with("*:");
  if (address.host.empty() && !any) address.host = "127.0.0.1";
  return address;
}

}  // namespace larder::daemon
