#include "tools/larder/top_frame.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tools/larder/shown_text.h"
#include "tools/larder/text_table.h"

namespace larder::operate {
namespace {

constexpr size_t kFigureColumns = 6;  // a blank and the five of short_figure()

struct Column {
  const char* title;  // at most five characters
  std::string (*word)(const NodeFigures&);
};

std::string rate_word(const std::optional<double>& rate) {
  if (!rate) return "-";
  return *rate > 0 && *rate < 9.95 ? fixed(*rate, 1) : short_figure(*rate);
}

std::string percent_word(const std::optional<double>& share) {
  return share ? fixed(100 * *share, 1) : "-";
}

std::optional<double> memory_of(const NodeFigures& node) {
  if (node.memory_limit_bytes == 0) return std::nullopt;
  return static_cast<double>(node.memory_bytes) / static_cast<double>(node.memory_limit_bytes);
}

std::string count_word(uint64_t count) { return short_figure(static_cast<double>(count)); }

std::string p99_word(const NodeFigures& node) {
  for (const CommandLatency& one : node.latencies) {
    if (one.command == "get") return rate_word(one.p99);
  }
  return "-";
}

constexpr Column kColumns[] = {
    {"get/s", [](const NodeFigures& node) { return rate_word(node.gets); }},
    {"set/s", [](const NodeFigures& node) { return rate_word(node.sets); }},
    {"hit%", [](const NodeFigures& node) { return percent_word(node.hits); }},
    {"mem%", [](const NodeFigures& node) { return percent_word(memory_of(node)); }},
    {"items", [](const NodeFigures& node) { return count_word(node.items); }},
    {"evt/s", [](const NodeFigures& node) { return rate_word(node.evictions); }},
    {"conns", [](const NodeFigures& node) { return count_word(node.connections); }},
    {"in/s", [](const NodeFigures& node) { return rate_word(node.bytes_in); }},
    {"out/s", [](const NodeFigures& node) { return rate_word(node.bytes_out); }},
    {"p99us", p99_word},
};
constexpr size_t kFiguresWidth = std::size(kColumns) * kFigureColumns;

// Exactly so wide; what is cut ends in '~'.
std::string fitted(std::string word, size_t width) {
  if (word.size() > width) {
    word.resize(width);
    if (width > 0) word.back() = '~';
  }
  return word + std::string(width - word.size(), ' ');
}

std::string at_right(const std::string& word, size_t width) {
  return std::string(width - std::min(width, word.size()), ' ') + word;
}

// The name's column takes what the figures leave.
size_t name_width(FrameSize size) {
  constexpr size_t kLeast = 12;
  return std::max(size.columns, kFiguresWidth + kLeast) - kFiguresWidth;
}

std::string row_of(const NodeFigures& node, FrameSize size) {
  std::string line = fitted(node.node, name_width(size));
  if (!node.error.empty()) return line + " " + shown(node.error);
  for (const Column& column : kColumns) line += at_right(column.word(node), kFigureColumns);
  return line;
}

std::string headings(FrameSize size) {
  std::string line = fitted("node", name_width(size));
  for (const Column& column : kColumns) line += at_right(column.title, kFigureColumns);
  return line;
}

std::string first_line(const std::vector<NodeFigures>& nodes, const std::string& remark,
                       FrameSize size) {
  const auto silent = std::count_if(nodes.begin(), nodes.end(),
                                    [](const NodeFigures& node) { return !node.error.empty(); });
  std::string line =
      "larder top: " + std::to_string(nodes.size()) + (nodes.size() == 1 ? " node" : " nodes");
  if (silent > 0) line += ", " + std::to_string(silent) + " not reached";
  if (line.size() + remark.size() < size.columns) {
    line += at_right(remark, size.columns - line.size());
  }
  return line;
}

std::string latency_line(const std::string& node, const std::string& command,
                         const std::vector<std::string>& words, FrameSize size) {
  constexpr size_t kWordColumns = 8;
  constexpr size_t kCommandColumns = 8;
  constexpr size_t kTaken = kCommandColumns + 6 * kWordColumns;
  std::string line = fitted(node, std::max(size.columns, kTaken + 12) - kTaken) + " " +
                     fitted(command, kCommandColumns - 1);
  for (const std::string& word : words) line += at_right(word, kWordColumns);
  return line;
}

// A line for each node and command; empty if no node has any.
std::vector<std::string> latency_lines(const std::vector<NodeFigures>& nodes, FrameSize size) {
  std::vector<std::string> lines;
  for (const NodeFigures& node : nodes) {
    bool first = true;
    for (const CommandLatency& one : node.latencies) {
      lines.push_back(latency_line(first ? node.node : "", shown(one.command),
                                   {count_word(one.count), rate_word(one.mean), rate_word(one.p50),
                                    rate_word(one.p90), rate_word(one.p99), rate_word(one.p999)},
                                   size));
      first = false;
    }
  }
  if (lines.empty()) return lines;
  lines.insert(lines.begin(), latency_line("microseconds", "command",
                                           {"timed", "mean", "p50", "p90", "p99", "p99.9"}, size));
  return lines;
}

// Per second, of a counter.
std::optional<double> rate_of(const NodeSample& before, const NodeSample& now, const char* name) {
  const auto first = before.stats.number(name);
  const auto second = now.stats.number(name);
  const double seconds = std::chrono::duration<double>(now.when - before.when).count();
  if (!first || !second || *second < *first || seconds <= 0) return std::nullopt;
  return static_cast<double>(*second - *first) / seconds;
}

double figure_of(const Stats& stats, const std::string& name) {
  const std::string* const text = stats.find(name);
  return text ? std::strtod(text->c_str(), nullptr) : 0;
}

std::vector<CommandLatency> latencies_of(const Stats& stats) {
  static constexpr std::string_view kCount = ":count";
  std::vector<CommandLatency> all;
  for (const auto& [name, value] : stats.rows()) {
    if (!name.ends_with(kCount)) continue;
    CommandLatency one;
    one.command = name.substr(0, name.size() - kCount.size());
    one.count = stats.number_or_zero(name);
    one.mean = figure_of(stats, one.command + ":mean_us");
    one.p50 = figure_of(stats, one.command + ":p50_us");
    one.p90 = figure_of(stats, one.command + ":p90_us");
    one.p99 = figure_of(stats, one.command + ":p99_us");
    one.p999 = figure_of(stats, one.command + ":p999_us");
    if (one.count > 0) all.push_back(std::move(one));
  }
  return all;
}

void add(std::optional<double>& sum, const std::optional<double>& one) {
  if (one) sum = sum.value_or(0) + *one;
}

Json json_of(const std::optional<double>& figure) { return figure ? Json(*figure) : Json(nullptr); }

}  // namespace

NodeFigures figures_of(const NodeSample& before, const NodeSample& now) {
  NodeFigures figures;
  figures.node = now.node;
  figures.error = now.error;
  if (!now.error.empty()) return figures;
  figures.gets = rate_of(before, now, "cmd_get");
  figures.sets = rate_of(before, now, "cmd_set");
  const auto hits = rate_of(before, now, "get_hits");
  const auto misses = rate_of(before, now, "get_misses");
  if (hits && misses && *hits + *misses > 0) figures.hits = *hits / (*hits + *misses);
  figures.evictions = rate_of(before, now, "evictions");
  figures.bytes_in = rate_of(before, now, "bytes_read");
  figures.bytes_out = rate_of(before, now, "bytes_written");
  figures.memory_bytes = now.stats.number_or_zero("bytes");
  figures.memory_limit_bytes = now.stats.number_or_zero("limit_maxbytes");
  figures.items = now.stats.number_or_zero("curr_items");
  figures.connections = now.stats.number_or_zero("curr_connections");
  figures.latencies = latencies_of(now.latency);
  return figures;
}

NodeFigures sum_of(const std::vector<NodeFigures>& nodes) {
  NodeFigures sum;
  sum.node = "all";
  double hits = 0;
  double gets = 0;
  for (const NodeFigures& node : nodes) {
    if (!node.error.empty()) continue;
    add(sum.gets, node.gets);
    add(sum.sets, node.sets);
    add(sum.evictions, node.evictions);
    add(sum.bytes_in, node.bytes_in);
    add(sum.bytes_out, node.bytes_out);
    sum.memory_bytes += node.memory_bytes;
    sum.memory_limit_bytes += node.memory_limit_bytes;
    sum.items += node.items;
    sum.connections += node.connections;
    if (node.hits && node.gets) {
      hits += *node.hits * *node.gets;
      gets += *node.gets;
    }
  }
  if (gets > 0) sum.hits = hits / gets;
  return sum;
}

std::vector<std::string> frame_lines(const std::vector<NodeFigures>& nodes,
                                     const std::string& remark, FrameSize size) {
  std::vector<std::string> lines{first_line(nodes, remark, size), "", headings(size)};
  for (const NodeFigures& node : nodes) lines.push_back(row_of(node, size));
  if (nodes.size() > 1) lines.push_back(row_of(sum_of(nodes), size));
  const std::vector<std::string> latencies = latency_lines(nodes, size);
  if (!latencies.empty()) {
    lines.push_back("");
    lines.insert(lines.end(), latencies.begin(), latencies.end());
  }
  if (lines.size() > size.rows && size.rows > 0) {
    const size_t left_out = lines.size() - size.rows + 1;
    lines.resize(size.rows);
    lines.back() = "... " + std::to_string(left_out) + " lines more in a taller window";
  }
  for (std::string& line : lines) {
    if (line.size() > size.columns) line.resize(size.columns);
    line.erase(line.find_last_not_of(' ') + 1);
  }
  return lines;
}

Json frame_json(const std::vector<NodeFigures>& nodes) {
  Json all = Json::array();
  for (const NodeFigures& node : nodes) {
    Json one = {{"node", node.node}};
    if (!node.error.empty()) {
      one["error"] = node.error;
      all.push_back(std::move(one));
      continue;
    }
    one["gets_per_second"] = json_of(node.gets);
    one["sets_per_second"] = json_of(node.sets);
    one["hit_ratio"] = json_of(node.hits);
    one["evictions_per_second"] = json_of(node.evictions);
    one["bytes_in_per_second"] = json_of(node.bytes_in);
    one["bytes_out_per_second"] = json_of(node.bytes_out);
    one["memory_bytes"] = node.memory_bytes;
    one["memory_limit_bytes"] = node.memory_limit_bytes;
    one["items"] = node.items;
    one["connections"] = node.connections;
    Json latencies = Json::object();
    for (const CommandLatency& latency : node.latencies) {
      latencies[latency.command] = {{"count", latency.count}, {"mean_us", latency.mean},
                                    {"p50_us", latency.p50},  {"p90_us", latency.p90},
                                    {"p99_us", latency.p99},  {"p999_us", latency.p999}};
    }
    one["latency"] = latencies;
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace larder::operate
