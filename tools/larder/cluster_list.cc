#include "tools/larder/cluster_list.h"

#include <algorithm>

#include "tools/larder/stats.h"

namespace larder::operate {
namespace {

// Takes a line off the front of `text`.
std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

std::optional<ClusterList> parse_cluster_list(std::string_view reply) {
  if (!take_line(reply).starts_with("CONFIG cluster ")) return std::nullopt;
  const auto version = whole_number(take_line(reply));
  if (!version) return std::nullopt;
  return ClusterList{*version, std::string(take_line(reply))};
}

std::string ClusterNode::text() const { return host + ":" + std::to_string(port); }

std::vector<ClusterNode> cluster_nodes(const ClusterList& list) {
  std::vector<ClusterNode> nodes;
  std::string_view text = list.nodes;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t first = word.find('|');
    const size_t second = word.rfind('|');
    if (first == std::string_view::npos || first == second) continue;
    const auto port = whole_number(word.substr(second + 1));
    if (!port || *port == 0 || *port > UINT16_MAX) continue;
    nodes.push_back({std::string(word.substr(0, first)),
                     std::string(word.substr(first + 1, second - first - 1)),
                     static_cast<uint16_t>(*port)});
  }
  return nodes;
}

}  // namespace larder::operate
