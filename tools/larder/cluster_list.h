// ClusterList: the nodes that a server publishes by `config get cluster` (ElastiCache's discovery).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace larder::operate {

struct ClusterList {
  uint64_t version = 0;
  std::string nodes;  // "host|address|port host|address|port"

  bool operator==(const ClusterList&) const = default;
};

// One of ClusterList::nodes.
struct ClusterNode {
  std::string host;     // a name or an address
  std::string address;  // empty: not told
  uint16_t port = 0;

  std::string text() const;  // "host:port"
};

// Those of ClusterList::nodes, in their order; words that are none are left out.
std::vector<ClusterNode> cluster_nodes(const ClusterList& list);

// reply  to `config get cluster`: a line "CONFIG cluster 0 BYTES", one with the version, one with
//        the nodes; null: it publishes none
std::optional<ClusterList> parse_cluster_list(std::string_view reply);

}  // namespace larder::operate
