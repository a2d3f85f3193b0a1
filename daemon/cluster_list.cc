#include "daemon/cluster_list.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

namespace larder::daemon {
namespace {

constexpr size_t kMaxShownBytes = 80;  // of what a sentence quotes

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_address(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

bool is_host(const std::string& text) {
  if (text.empty() || text.size() > kMaxHostBytes) return false;
  const auto fits = [](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
  };
  return std::all_of(text.begin(), text.end(), fits) || is_address(text);
}

// It goes to logs and clients.
std::string quoted(std::string_view text) {
  std::string shown = "'";
  for (const char c : text.substr(0, kMaxShownBytes)) shown += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kMaxShownBytes) shown += "...";
  return shown += "'";
}

template <class Number>
bool read_number(std::string_view text, Number least, Number most, Number& number) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return false;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && number >= least && number <= most;
}

// Empty if `text` is a node, which is then in `node`.
std::string read_node(std::string_view text, ClusterNode& node) {
  const size_t first = text.find('|');
  const size_t second = first == text.npos ? text.npos : text.find('|', first + 1);
  if (second == text.npos || text.find('|', second + 1) != text.npos) {
    return quoted(text) + " is not host|ip|port";
  }
  node.host = text.substr(0, first);
  node.ip = text.substr(first + 1, second - first - 1);
  if (!is_host(node.host)) return quoted(text) + " has no valid host name or address in front";
  if (!node.ip.empty() && !is_address(node.ip)) {
    return quoted(text) + " has no IP address in the middle";
  }
  if (!read_number<uint16_t>(text.substr(second + 1), 1, 65535, node.port)) {
    return quoted(text) + " has no port from 1 to 65535 at its end";
  }
  return {};
}

std::string read_nodes(std::string_view line, std::vector<ClusterNode>& nodes) {
  std::set<std::pair<std::string, uint16_t>> seen;
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty()) return {};
    const std::string_view word = line.substr(0, line.find_first_of(" \t"));
    line.remove_prefix(word.size());
    if (nodes.size() == kMaxClusterNodes) {
      return "there are more than " + std::to_string(kMaxClusterNodes) + " nodes in it";
    }
    ClusterNode node;
    if (std::string error = read_node(word, node); !error.empty()) return error;
    if (!seen.emplace(node.host, node.port).second) return quoted(word) + " is in it twice";
    nodes.push_back(std::move(node));
  }
}

std::string_view trimmed(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
  const size_t last = line.find_last_not_of(" \t\r");
  return line.substr(0, last == line.npos ? 0 : last + 1);
}

ParsedClusterList refused(std::string error) { return {{}, std::move(error)}; }

}  // namespace

ParsedClusterList parse_cluster_list(std::string_view text) {
  ParsedClusterList parsed;
  ClusterList& list = parsed.list;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    if (!list.nodes.empty()) return refused(quoted(line) + " follows the line of the nodes");
    if (list.version == 0 && line.find('|') == line.npos) {
      if (!read_number<uint64_t>(line, 1, kMaxClusterVersion, list.version)) {
        return refused(quoted(line) + " is not a version from 1 to " +
                       std::to_string(kMaxClusterVersion));
      }
      continue;
    }
    std::string error = read_nodes(line, list.nodes);
    if (!error.empty()) return refused(std::move(error));
  }
  if (list.nodes.empty()) return refused("there is no node in it");
  return parsed;
}

ParsedClusterNode parse_announced(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return {{}, quoted(text) + " is not HOST:PORT or HOST|IP:PORT"};
  const std::string_view names = text.substr(0, colon);
  const size_t bar = std::min(names.find('|'), names.size());
  std::string_view host = names.substr(0, bar);
  const std::string_view ip = names.substr(std::min(bar + 1, names.size()));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return {{}, quoted(text) + " needs brackets around its IPv6 address"};
  }
  ParsedClusterNode parsed;
  parsed.error = read_node(
      std::string(host) + '|' + std::string(ip) + '|' + std::string(text.substr(colon + 1)),
      parsed.node);
  return parsed;
}

std::string format_cluster_node(const ClusterNode& node) {
  return node.host + '|' + node.ip + '|' + std::to_string(node.port);
}

std::string format_cluster_list(const ClusterList& list) {
  std::string text = std::to_string(list.version) + '\n';
  for (const ClusterNode& node : list.nodes) {
    if (&node != &list.nodes.front()) text += ' ';
    text += format_cluster_node(node);
  }
  return text += '\n';
}

}  // namespace larder::daemon
