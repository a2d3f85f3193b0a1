// ClusterList: the nodes of a fleet, as ElastiCache's auto discovery writes them.
//
//   12                                                          version; larger than the one before
//   cache1|10.0.0.1|11211 cache2|10.0.0.2|11211 cache3||11211   host|ip|port; ip may be missing
//
// Clients cut this at white space and bars and look at little else, so what is published is checked
// here. (Amazon's cluster client for Java wants exactly these two lines, npm's elasticache-client
// an IPv4 address in each node.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace larder::daemon {

constexpr size_t kMaxClusterNodes = 1024;
constexpr size_t kMaxHostBytes = 253;  // RFC 1035, without the last dot
// Clients keep it as a signed 64-bit number, or as a double, which counts up to here.
constexpr uint64_t kMaxClusterVersion = (uint64_t{1} << 53) - 1;

struct ClusterNode {
  std::string host;  // a name, or an address
  std::string ip;    // may be empty: clients look up the host
  uint16_t port = 0;

  bool operator==(const ClusterNode&) const = default;
};

struct ClusterList {
  uint64_t version = 0;  // 0: the text did not say
  std::vector<ClusterNode> nodes;
};

// `error` is empty, or a sentence without its full stop that says what is wrong; then there are no
// nodes.
struct ParsedClusterList {
  ClusterList list;
  std::string error;
};

// One line of nodes with blanks between them, a line with the version before it or not. Lines end
// in \n or \r\n, the last one perhaps in nothing; empty ones, and such that begin with #, do not
// count.
ParsedClusterList parse_cluster_list(std::string_view text);

struct ParsedClusterNode {
  ClusterNode node;
  std::string error;  // as above
};

// HOST:PORT or HOST|IP:PORT, as a server is told what it is (--cluster-announce). An IPv6 address
// for a host stands in brackets.
ParsedClusterNode parse_announced(std::string_view text);

// host|ip|port
std::string format_cluster_node(const ClusterNode& node);

// The two lines, each with its \n.
std::string format_cluster_list(const ClusterList& list);

}  // namespace larder::daemon
