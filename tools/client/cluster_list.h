// ClusterList: what a server answers to `config get cluster`: the nodes of its fleet, as
// ElastiCache's auto discovery writes them.
//
//   CONFIG cluster 0 38                  bytes of the next two lines, their ends included
//   12                                   version; larger than the one before
//   cache1|10.0.0.1|11211 cache2||11211  host|ip|port; ip may be missing
//                                        (empty line)
//   END
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/client/result.h"

namespace larder::client {

struct ClusterNode {
  std::string host;  // what rings hash
  std::string ip;    // where to connect to; empty: the host is to be looked up
  uint16_t port = 0;

  bool operator==(const ClusterNode&) const = default;
};

struct ClusterList {
  uint64_t version = 0;
  std::vector<ClusterNode> nodes;  // 1 to kMaxRingNodes, in the order of the list
};

// reply  all of it, from CONFIG to END, as Connection::ask() returns it
//
// Empty if the server has no list ("END" alone). Protocol, with what is wrong, if it is anything
// but a list in this form: then nothing of it is to be used.
Result<std::optional<ClusterList>> parse_cluster_reply(std::string_view reply);

}  // namespace larder::client
