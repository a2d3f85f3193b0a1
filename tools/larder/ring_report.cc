#include "tools/larder/ring_report.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/client/ring_quality.h"
#include "tools/larder/report.h"
#include "tools/larder/servers.h"

namespace larder::operate {
namespace {

constexpr size_t kColumns = 80;
constexpr int kNodeColumns = 39;  // the other columns of the table take 41

std::string formatted(const char* format, auto... values) {
  char line[256];
  std::snprintf(line, sizeof(line), format, values...);
  return line;
}

// `text` in lines of at most kColumns, each behind `indent`. Longer words have a line of their own.
std::string wrapped(std::string_view text, const std::string& indent) {
  std::string out;
  std::string line = indent;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start), text.size());
    const std::string word(text.substr(start, end - start));
    if (line != indent && line.size() + 1 + word.size() > kColumns) {
      out += line + "\n";
      line = indent;
    }
    if (line != indent) line += ' ';
    line += word;
    start = end + 1;
  }
  return out + line + "\n";
}

std::string_view name_of(client::RingWeights weights) {
  switch (weights) {
    case client::RingWeights::Followed:
      return "followed";
    case client::RingWeights::Ignored:
      return "ignored";
    case client::RingWeights::Refused:
      return "refused";
  }
  return {};
}

// A node whose address is too long for its column has its figures on the next line.
std::string row_of(const NodeReport& report) {
  std::string address = address_of(report.node);
  std::string before;
  if (address.size() > kNodeColumns) {
    before = address + "\n";
    address.clear();
  }
  return before + formatted("%-*s %8u %10.3f%% %8.3f%% %9.3f\n", kNodeColumns, address.c_str(),
                            report.node.weight, 100 * report.share_by_weight, 100 * report.share,
                            report.share / report.share_by_weight);
}

}  // namespace

RingReport report_of(const client::Ring& before, const client::Ring& after, std::string change,
                     uint32_t keys) {
  const std::vector<uint32_t> loads = client::loads_of(before, keys);
  RingReport report{before.kind(),
                    keys,
                    {},
                    client::max_over_mean_load(before, loads),
                    std::move(change),
                    client::share_of_keys_moved(before, after, keys),
                    client::least_share_moved(before, after)};
  double weights = 0;
  for (const client::RingNode& node : before.nodes()) weights += node.weight;
  for (size_t i = 0; i < loads.size(); ++i) {
    const client::RingNode& node = before.nodes()[i];
    report.nodes.push_back({node, node.weight / weights, static_cast<double>(loads[i]) / keys});
  }
  return report;
}

std::string report_text(const RingReport& report) {
  std::string text = formatted(
      "%s, %zu node%s, %u keys counted\n\n", std::string(client::name_of(report.kind)).c_str(),
      report.nodes.size(), report.nodes.size() == 1 ? "" : "s", report.keys);
  text += formatted("%-*s %8s %11s %9s %9s\n", kNodeColumns, "node", "weight", "by weight", "keys",
                    "ratio");
  for (const NodeReport& node : report.nodes) text += row_of(node);
  text += formatted("\nThe node that is worst off has %.3f times what its weight would give it.\n",
                    report.max_over_mean);
  text += wrapped(formatted("%.1f%% of the keys would move ", 100 * report.moved) + report.change +
                      formatted("; the least there is: %.1f%%.", 100 * report.least_moved),
                  "");
  return text;
}

std::string report_json(const RingReport& report) {
  nlohmann::ordered_json nodes = nlohmann::ordered_json::array();
  for (const NodeReport& one : report.nodes) {
    nodes.push_back({{"node", address_of(one.node)},
                     {"weight", one.node.weight},
                     {"share_by_weight", one.share_by_weight},
                     {"share", one.share}});
  }
  const nlohmann::ordered_json all = {
      {"ring", client::name_of(report.kind)},
      {"keys", report.keys},
      {"nodes", nodes},
      {"max_over_mean", report.max_over_mean},
      {"change",
       {{"text", report.change}, {"moved", report.moved}, {"least_moved", report.least_moved}}}};
  return json_text(all, 2) + "\n";
}

std::string list_text() {
  std::string text;
  for (const client::RingKindRow& row : client::ring_kinds()) {
    text += std::string(row.name) + "\n" + wrapped(row.users, "    ") + "    weights " +
            std::string(name_of(row.weights)) +
            (row.kind == client::kDefaultRing ? "; the default\n" : "\n");
  }
  return text;
}

std::string list_json() {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const client::RingKindRow& row : client::ring_kinds()) {
    all.push_back({{"ring", row.name}, {"users", row.users}, {"weights", name_of(row.weights)}});
  }
  return json_text(all, 2) + "\n";
}

}  // namespace larder::operate
