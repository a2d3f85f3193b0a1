#include "tools/client/cluster_list.h"

#include <charconv>

#include "tools/client/ring_node.h"

namespace larder::client {
namespace {

Error wrong(std::string_view what) {
  return {ErrorKind::Protocol, "the answer to config get cluster " + std::string(what)};
}

// Cuts up to the first `end` off the text; all of it if there is none.
std::string_view cut(std::string_view& text, char end) {
  const size_t at = text.find(end);
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return head;
}

std::string_view cut_line(std::string_view& text) {
  std::string_view line = cut(text, '\n');
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

template <typename Number>
std::optional<Number> number(std::string_view text) {
  Number value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc{} || read.ptr != text.data() + text.size()) return {};
  return value;
}

bool is_host(std::string_view text) {
  constexpr size_t kMostBytes = 255;
  for (const char c : text) {
    if (c <= ' ' || c == 0x7f) return false;
  }
  return text.size() <= kMostBytes;
}

std::optional<ClusterNode> parse_node(std::string_view word) {
  const std::string_view host = cut(word, '|');
  const std::string_view ip = cut(word, '|');
  const auto port = number<uint16_t>(word);
  if (host.empty() || !is_host(host) || !is_host(ip) || !port || *port == 0) return {};
  return ClusterNode{std::string(host), std::string(ip), *port};
}

}  // namespace

Result<std::optional<ClusterList>> parse_cluster_reply(std::string_view reply) {
  std::string_view header = cut_line(reply);
  if (header == "END") return std::optional<ClusterList>{};
  constexpr std::string_view kStart = "CONFIG cluster ";
  if (!header.starts_with(kStart)) return wrong("does not begin with CONFIG cluster");
  header.remove_prefix(kStart.size());
  cut(header, ' ');  // flags
  const auto bytes = number<size_t>(header);
  const std::string_view version_line = cut_line(reply);
  std::string_view line = cut_line(reply);
  if (!cut_line(reply).empty() || cut_line(reply) != "END") {
    return wrong("is not a version, a line of nodes, an empty line and END");
  }
  // Lines end in \n or in \r\n there, and Connection::ask() makes them alike.
  const size_t least = version_line.size() + line.size() + 2;
  if (!bytes || *bytes < least || *bytes > least + 2) {
    return wrong("has another length than it says");
  }

  ClusterList list;
  const auto version = number<uint64_t>(version_line);
  if (!version || *version == 0) return wrong("has no version");
  list.version = *version;
  while (!line.empty()) {
    const std::string_view word = cut(line, ' ');
    if (word.empty()) continue;
    std::optional<ClusterNode> node = parse_node(word);
    if (!node) return wrong("has the node '" + std::string(word) + "', which is not host|ip|port");
    if (list.nodes.size() == kMaxRingNodes) return wrong("has too many nodes");
    list.nodes.push_back(std::move(*node));
  }
  if (list.nodes.empty()) return wrong("has no nodes");
  return std::optional<ClusterList>(std::move(list));
}

}  // namespace larder::client
