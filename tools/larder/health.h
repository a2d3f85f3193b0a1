// `larder check`: what is known of each node of a fleet, and what is wrong with it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/client/result.h"
#include "tools/larder/cluster_list.h"
#include "tools/larder/report.h"
#include "tools/larder/stats.h"

namespace larder::operate {

struct NodeHealth {
  std::string node;
  std::optional<client::Error> error;  // and then nothing but the node
  Stats stats;
  std::optional<ClusterList> cluster;
  std::vector<ClusterNode> unasked;  // of `cluster`

  std::optional<double> hits() const;    // 0 to 1, of all reads since the start
  std::optional<double> memory() const;  // 0 to 1, of the limit
};

// Where the nodes that were asked are, to be compared with the lists that they publish.
struct AskedPlace {
  std::vector<std::string> hosts;  // as it was named, and its addresses
  uint16_t port = 0;               // 0: a Unix socket
};

// The nodes of a list that nobody asked: none of whose hosts and addresses is asked at its port. A
// Unix socket may be any of them.
//
// addresses_of  those of a host by its name; asked for where a list does not tell an address
std::vector<ClusterNode> unasked_nodes(
    const ClusterList& list, const std::vector<AskedPlace>& asked,
    const std::function<std::vector<std::string>(const std::string& host)>& addresses_of);

struct HealthLimits {
  std::optional<double> least_hit_percent;
  std::optional<double> most_memory_percent;
};

struct Verdict {
  std::vector<std::string> problems;  // sentences without their full stops
  std::vector<std::string> notes;     // likewise; worth knowing, but nothing has to be done
};

// A node is a problem if it did not answer, takes no connections or hardly any more, refused some,
// or is beyond a limit; the fleet is if its nodes do not publish the same list, or publish nodes
// that were not asked.
Verdict verdict_of(const std::vector<NodeHealth>& nodes, const HealthLimits& limits);

std::string health_text(const std::vector<NodeHealth>& nodes, const Verdict& verdict);
// {"healthy", "problems", "notes", "nodes": [{"node", "reachable", ...}]}
Json health_json(const std::vector<NodeHealth>& nodes, const Verdict& verdict);

}  // namespace larder::operate
