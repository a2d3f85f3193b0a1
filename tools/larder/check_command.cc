#include "tools/larder/check_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/client/name_lookup.h"
#include "tools/larder/exit_status.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/health.h"
#include "tools/larder/report.h"
#include "tools/larder/servers.h"

namespace larder::operate {
namespace {

using client::ErrorKind;
using client::Result;

struct CheckOptions {
  FleetOptions fleet;
  HealthLimits limits;
};

// A server that does not know the command, or has no list, publishes none.
Result<std::optional<ClusterList>> ask_cluster_list(Fleet& fleet, size_t node) {
  static constexpr std::string_view kEnds[] = {"END"};
  const Result<std::string> said = fleet.ask(node, "config get cluster", kEnds);
  if (said) return parse_cluster_list(*said);
  if (said.error().kind == ErrorKind::Refused) return std::optional<ClusterList>();
  return said.error();
}

NodeHealth examine(Fleet& fleet, size_t node) {
  NodeHealth health;
  health.node = fleet.name_of(node);
  const Result<Stats> stats = ask_stats(fleet, node, "");
  if (!stats) {
    health.error = stats.error();
    return health;
  }
  health.stats = *stats;
  const auto list = ask_cluster_list(fleet, node);
  if (list) {
    health.cluster = *list;
  } else {
    health.error = list.error();
  }
  return health;
}

// Numeric; none where the name is not known, or not found by the deadline.
std::vector<std::string> addresses_of(const std::string& host, client::Deadline deadline) {
  const auto found = client::look_up(host, 0, {}, deadline);
  if (!found) return {};
  std::vector<std::string> addresses;
  for (const client::SocketAddress& address : found->list) addresses.push_back(address.text());
  return addresses;
}

// Names are only looked up where a list has to be compared with them.
std::vector<AskedPlace> places_of(const Fleet& fleet, client::Deadline deadline) {
  std::vector<AskedPlace> places;
  for (const client::RingNode& node : fleet.ring().nodes()) {
    AskedPlace& place = places.emplace_back();
    if (is_socket(node)) continue;
    place.port = node.port;
    place.hosts = addresses_of(node.host, deadline);
    place.hosts.push_back(node.host);
  }
  return places;
}

void find_unasked(const Fleet& fleet, std::vector<NodeHealth>& nodes) {
  const auto publishes = [](const NodeHealth& node) { return node.cluster.has_value(); };
  if (std::none_of(nodes.begin(), nodes.end(), publishes)) return;
  const client::Deadline deadline = fleet.deadline();  // of all lookups together
  const std::vector<AskedPlace> places = places_of(fleet, deadline);
  for (NodeHealth& node : nodes) {
    if (!node.cluster) continue;
    node.unasked = unasked_nodes(*node.cluster, places, [&](const std::string& host) {
      return addresses_of(host, deadline);
    });
  }
}

int do_check(const CheckOptions& options) {
  Fleet fleet = options.fleet.fleet();
  std::vector<NodeHealth> nodes(fleet.size());
  fleet.on_every_node([&](size_t node) { nodes[node] = examine(fleet, node); });
  find_unasked(fleet, nodes);
  const Verdict verdict = verdict_of(nodes, options.limits);
  if (options.fleet.json()) {
    print_json(health_json(nodes, verdict));
  } else {
    print(health_text(nodes, verdict));
  }
  int status = verdict.problems.empty() ? kFine : kUnhealthy;
  for (const NodeHealth& node : nodes) {
    if (node.error && node.error->is_local) status = kOutOfResources;
  }
  return status;
}

}  // namespace

void add_check_command(Subcommands& subcommands) {
  const auto options = std::make_shared<CheckOptions>();
  CLI::App& command = subcommands.add(
      "check", "the health of a fleet: what each node says, and what is wrong, if anything is",
      [options] { return do_check(*options); });
  command
      .add_option("--min-hits", options->limits.least_hit_percent,
                  "a lower hit ratio than this is a problem")
      ->check(CLI::Range(0.0, 100.0))
      ->type_name("PERCENT");
  command
      .add_option("--max-memory", options->limits.most_memory_percent,
                  "more of the memory in use than this is a problem")
      ->check(CLI::Range(0.0, 100.0))
      ->type_name("PERCENT");
  options->fleet.add_to(command);
}

}  // namespace larder::operate
