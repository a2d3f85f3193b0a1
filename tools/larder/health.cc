#include "tools/larder/health.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/larder/shown_text.h"
#include "tools/larder/text_table.h"

namespace larder::operate {
namespace {

// Of max_connections; beyond, the next clients are refused soon.
constexpr double kManyConnections = 0.9;

std::string percent_text(const std::optional<double>& share) {
  return share ? fixed(100 * *share, 1) + "%" : "-";
}

// What is said of a single node.
void judge(const NodeHealth& node, const HealthLimits& limits, Verdict& verdict) {
  const auto problem = [&](const std::string& text) { verdict.problems.push_back(text); };
  if (node.error) {
    problem(node.error->text);
    return;
  }
  const Stats& stats = node.stats;
  if (stats.number("accepting_conns") == uint64_t{0}) {
    problem(node.node + " takes no new connections");
  }
  const uint64_t connections = stats.number_or_zero("curr_connections");
  const uint64_t most = stats.number_or_zero("max_connections");
  if (most > 0 &&
      static_cast<double>(connections) >= kManyConnections * static_cast<double>(most)) {
    problem(node.node + " has " + std::to_string(connections) + " of at most " +
            std::to_string(most) + " connections");
  }
  if (const uint64_t rejected = stats.number_or_zero("rejected_connections"); rejected > 0) {
    problem(node.node + " has rejected " + std::to_string(rejected) +
            " connections since its start");
  }
  const auto hits = node.hits();
  if (limits.least_hit_percent && hits && 100 * *hits < *limits.least_hit_percent) {
    problem(node.node + " has a hit ratio of only " + percent_text(hits));
  }
  const auto memory = node.memory();
  if (limits.most_memory_percent && memory && 100 * *memory > *limits.most_memory_percent) {
    problem(node.node + " uses " + percent_text(memory) + " of its memory");
  }
  if (const uint64_t evicted = stats.number_or_zero("evictions"); evicted > 0) {
    verdict.notes.push_back(node.node + " has evicted " + std::to_string(evicted) +
                            " items since its start");
  }
}

// The nodes that publish a list must agree, and all must publish one if any does.
void judge_lists(const std::vector<const NodeHealth*>& nodes, Verdict& verdict) {
  const auto with_list = std::find_if(nodes.begin(), nodes.end(),
                                      [](const NodeHealth* node) { return node->cluster; });
  if (with_list == nodes.end()) return;
  const NodeHealth& first = **with_list;
  for (const NodeHealth* node : nodes) {
    if (!node->cluster) {
      verdict.problems.push_back(node->node + " publishes no list of nodes, and " + first.node +
                                 " does");
    } else if (*node->cluster != *first.cluster) {
      verdict.problems.push_back(node->node + " publishes another list of nodes than " +
                                 first.node + ": version " +
                                 std::to_string(node->cluster->version) + ", not " +
                                 std::to_string(first.cluster->version));
    }
  }
}

// Each node once, however many servers publish it.
void judge_unasked(const std::vector<const NodeHealth*>& nodes, Verdict& verdict) {
  std::set<std::string> named;
  for (const NodeHealth* node : nodes) {
    for (const ClusterNode& unasked : node->unasked) {
      if (!named.insert(unasked.text()).second) continue;
      verdict.problems.push_back(node->node + " publishes the node " + unasked.text() +
                                 ", which --servers does not have, so that it was not checked");
    }
  }
}

bool has_any(const std::vector<std::string>& hosts, const std::vector<std::string>& others) {
  return std::find_first_of(hosts.begin(), hosts.end(), others.begin(), others.end()) !=
         hosts.end();
}

void judge_versions(const std::vector<const NodeHealth*>& nodes, Verdict& verdict) {
  const auto version_of = [](const NodeHealth& node) {
    const std::string* const version = node.stats.find("version");
    return version ? *version : std::string();
  };
  for (const NodeHealth* node : nodes) {
    if (version_of(*node) == version_of(*nodes[0])) continue;
    verdict.notes.push_back(node->node + " is of version " + version_of(*node) + ", " +
                            nodes[0]->node + " of " + version_of(*nodes[0]));
  }
}

std::string list_text(const NodeHealth& node) {
  return node.cluster ? std::to_string(node.cluster->version) : "-";
}

Json json_of_share(const std::optional<double>& share) {
  return share ? Json(*share) : Json(nullptr);
}

}  // namespace

std::vector<ClusterNode> unasked_nodes(
    const ClusterList& list, const std::vector<AskedPlace>& asked,
    const std::function<std::vector<std::string>(const std::string& host)>& addresses_of) {
  std::vector<ClusterNode> unasked;
  for (const ClusterNode& node : cluster_nodes(list)) {
    std::vector<std::string> hosts{node.host};
    if (!node.address.empty()) hosts.push_back(node.address);
    const auto is_node = [&](const AskedPlace& place) {
      return place.port == node.port && has_any(place.hosts, hosts);
    };
    if (std::any_of(asked.begin(), asked.end(), is_node)) continue;
    if (node.address.empty()) {
      hosts = addresses_of(node.host);
      if (std::any_of(asked.begin(), asked.end(), is_node)) continue;
    }
    unasked.push_back(node);
  }
  const auto sockets = std::count_if(asked.begin(), asked.end(),
                                     [](const AskedPlace& place) { return place.port == 0; });
  if (unasked.size() <= static_cast<size_t>(sockets)) return {};
  return unasked;
}

std::optional<double> NodeHealth::hits() const {
  return hit_ratio(stats.number_or_zero("get_hits"), stats.number_or_zero("get_misses"));
}

std::optional<double> NodeHealth::memory() const {
  const uint64_t limit = stats.number_or_zero("limit_maxbytes");
  if (limit == 0) return std::nullopt;
  return static_cast<double>(stats.number_or_zero("bytes")) / static_cast<double>(limit);
}

Verdict verdict_of(const std::vector<NodeHealth>& nodes, const HealthLimits& limits) {
  Verdict verdict;
  std::vector<const NodeHealth*> reached;
  for (const NodeHealth& node : nodes) {
    judge(node, limits, verdict);
    if (!node.error) reached.push_back(&node);
  }
  if (!reached.empty()) {
    judge_lists(reached, verdict);
    judge_unasked(reached, verdict);
    judge_versions(reached, verdict);
  }
  return verdict;
}

std::string health_text(const std::vector<NodeHealth>& nodes, const Verdict& verdict) {
  TextTable table;
  table.columns = {{"node", true}, {"version"}, {"up"},       {"hits"}, {"memory"},
                   {"evicted"},    {"conns"},   {"rejected"}, {"list"}};
  for (const NodeHealth& node : nodes) {
    if (node.error) {
      table.rows.push_back({node.node, "-", "-", "-", "-", "-", "-", "-", "-"});
      continue;
    }
    const Stats& stats = node.stats;
    const std::string* const version = stats.find("version");
    table.rows.push_back(
        {node.node, version ? *version : "-", age_text(stats.number_or_zero("uptime")),
         percent_text(node.hits()), percent_text(node.memory()),
         short_figure(static_cast<double>(stats.number_or_zero("evictions"))),
         std::to_string(stats.number_or_zero("curr_connections")),
         short_figure(static_cast<double>(stats.number_or_zero("rejected_connections"))),
         list_text(node)});
  }
  std::string text = table.text() + "\n";
  for (const std::string& problem : verdict.problems) text += "problem: " + shown(problem) + "\n";
  for (const std::string& note : verdict.notes) text += "note: " + shown(note) + "\n";
  if (verdict.problems.empty()) text += "All is well.\n";
  return text;
}

Json health_json(const std::vector<NodeHealth>& nodes, const Verdict& verdict) {
  Json all = {{"healthy", verdict.problems.empty()},
              {"problems", verdict.problems},
              {"notes", verdict.notes},
              {"nodes", Json::array()}};
  for (const NodeHealth& node : nodes) {
    Json one = {{"node", node.node}, {"reachable", !node.error}};
    if (node.error) {
      one["error"] = json_of(*node.error);
      all["nodes"].push_back(std::move(one));
      continue;
    }
    const Stats& stats = node.stats;
    if (const std::string* const version = stats.find("version")) one["version"] = *version;
    one["uptime_seconds"] = stats.number_or_zero("uptime");
    one["hit_ratio"] = json_of_share(node.hits());
    one["memory_bytes"] = stats.number_or_zero("bytes");
    one["memory_limit_bytes"] = stats.number_or_zero("limit_maxbytes");
    one["items"] = stats.number_or_zero("curr_items");
    one["evictions"] = stats.number_or_zero("evictions");
    one["connections"] = stats.number_or_zero("curr_connections");
    one["max_connections"] = stats.number_or_zero("max_connections");
    one["rejected_connections"] = stats.number_or_zero("rejected_connections");
    one["cluster"] = node.cluster
                         ? Json{{"version", node.cluster->version}, {"nodes", node.cluster->nodes}}
                         : Json(nullptr);
    all["nodes"].push_back(std::move(one));
  }
  return all;
}

}  // namespace larder::operate
