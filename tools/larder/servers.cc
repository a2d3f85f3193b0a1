#include "tools/larder/servers.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "tools/client/ring_label.h"

namespace larder::operate {
namespace {

using client::RingNode;

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

constexpr std::string_view kOfHosts = ".-_:/%";
// spymemcached hashes "host/[address]:port" of a host that it resolved to an IPv6 address.
constexpr std::string_view kOfNames = ".-_:/%[]";

bool plain(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
}

// All of `text` as a number from 1 to `last`.
std::optional<uint32_t> number(std::string_view text, uint32_t last) {
  uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value == 0 || value > last) return std::nullopt;
  return value;
}

// Takes the host off the front of `text`, up to the colon before the port; false if there is none.
bool take_host(std::string_view& text, RingNode& node) {
  const bool bracketed = text.starts_with('[');
  const size_t end = text.find(bracketed ? ']' : ':');
  if (end == std::string_view::npos) return false;
  node.host = text.substr(bracketed ? 1 : 0, bracketed ? end - 1 : end);
  text.remove_prefix(bracketed ? end + 1 : end);
  if (!text.starts_with(':')) return false;
  text.remove_prefix(1);
  return true;
}

ServersResult read_file(const std::string& path) {
  ServersResult result;
  std::ifstream file(path);
  if (!file) return {{}, "cannot read the file '" + path + "'"};
  size_t number_of_line = 0;
  for (std::string line; std::getline(file, line);) {
    ++number_of_line;
    const std::string_view server = trimmed(std::string_view(line).substr(0, line.find('#')));
    if (server.empty()) continue;
    ServerResult one = parse_server(server);
    if (!one.node) {
      return {{},
              "'" + std::string(server) + "' in line " + std::to_string(number_of_line) + " of '" +
                  path + "' " + one.error};
    }
    result.nodes.push_back(std::move(*one.node));
  }
  // A folder opens, but does not read.
  if (file.bad()) return {{}, "cannot read the file '" + path + "'"};
  if (result.nodes.empty()) return {{}, "the file '" + path + "' names no server"};
  return result;
}

}  // namespace

ServerResult parse_server(std::string_view text) {
  text = trimmed(text);
  RingNode node;
  if (const size_t blank = text.find_first_of(kBlanks); blank != std::string_view::npos) {
    node.name = trimmed(text.substr(blank));
    text = text.substr(0, blank);
  }
  if (!plain(node.name, kOfNames)) {
    return {std::nullopt, "has a name with other characters than a host's and brackets"};
  }
  if (text.starts_with('/')) {
    if (!plain(text, kOfHosts))
      return {std::nullopt, "is a path with a character that is not taken here"};
    node.host = text;
    return {std::move(node), {}};
  }
  if (!take_host(text, node)) return {std::nullopt, "is not HOST:PORT[:WEIGHT]"};
  if (node.host.empty()) return {std::nullopt, "has no host"};
  if (!plain(node.host, kOfHosts))
    return {std::nullopt, "has a host with a character that hosts do not have"};
  const size_t colon = text.find(':');
  const auto port = number(text.substr(0, colon), UINT16_MAX);
  if (!port) return {std::nullopt, "has no port from 1 to 65535"};
  node.port = static_cast<uint16_t>(*port);
  if (colon != std::string_view::npos) {
    const auto weight = number(text.substr(colon + 1), client::kMaxRingWeight);
    if (!weight) {
      return {std::nullopt, "has no weight from 1 to " + std::to_string(client::kMaxRingWeight)};
    }
    node.weight = *weight;
  }
  return {std::move(node), {}};
}

ServersResult parse_servers(const std::string& text) {
  if (text.starts_with('@')) return read_file(text.substr(1));
  ServersResult result;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    const std::string server = text.substr(start, end - start);
    ServerResult one = parse_server(server);
    if (!one.node) return {{}, "'" + server + "' " + one.error};
    result.nodes.push_back(std::move(*one.node));
    start = end + 1;
  }
  return result;
}

bool is_socket(const RingNode& node) { return client::is_unix_socket(node); }

std::string address_of(const RingNode& node) {
  if (is_socket(node)) return node.host;
  const bool brackets = node.host.find(':') != std::string::npos;
  const std::string host = brackets ? "[" + node.host + "]" : node.host;
  return host + ":" + std::to_string(node.port);
}

}  // namespace larder::operate
