#include "tools/larder/cluster_list.h"

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

}  // namespace larder::operate
