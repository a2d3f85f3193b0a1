#include "tools/larder/stats.h"

#include <algorithm>
#include <charconv>

namespace larder::operate {

Stats Stats::parse(std::string_view text) {
  Stats stats;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const size_t name = line.find(' ');
    if (name == std::string_view::npos) continue;
    const size_t value = std::min(line.find(' ', name + 1), line.size());
    const std::string_view word = line.substr(name + 1, value - name - 1);
    if (stats.places_.find(word) != stats.places_.end()) continue;
    if (stats.rows_.size() == kMostRows) {
      stats.cut_ = true;
      break;
    }
    stats.places_.emplace(word, stats.rows_.size());
    stats.rows_.emplace_back(word, line.substr(std::min(value + 1, line.size())));
  }
  return stats;
}

const std::string* Stats::find(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : &rows_[found->second].second;
}

std::optional<uint64_t> Stats::number(std::string_view name) const {
  const std::string* const value = find(name);
  return value ? whole_number(*value) : std::nullopt;
}

std::optional<uint64_t> whole_number(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

client::Result<Stats> ask_stats(Fleet& fleet, size_t node, const std::string& group) {
  static constexpr std::string_view kEnds[] = {"END", "RESET", "OK"};
  client::Result<std::string> said =
      fleet.ask(node, group.empty() ? "stats" : "stats " + group, kEnds);
  if (!said) return said.error();
  Stats stats = Stats::parse(*said);
  if (!stats.is_cut()) return stats;
  return client::Error{client::ErrorKind::Protocol, fleet.name_of(node) +
                                                        " answers with more than " +
                                                        std::to_string(Stats::kMostRows) + " rows"};
}

std::optional<double> hit_ratio(uint64_t hits, uint64_t misses) {
  if (hits + misses == 0) return std::nullopt;
  return static_cast<double>(hits) / static_cast<double>(hits + misses);
}

}  // namespace larder::operate
