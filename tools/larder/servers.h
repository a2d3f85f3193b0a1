// Lists of servers as operators write them: on the command line with commas between them, or in a
// file, one a line. What is made of them are the nodes of a ring.
//
//   10.0.0.1:11211          host and port
//   10.0.0.2:11211:3        and a weight
//   [fd00::1]:11211         an IPv6 address
//   /run/larder/socket      a Unix socket: what begins with '/'; its port is 0
//   cache-3:11211:1 three   and a name (RingNode::name), as twemproxy takes it
//   c4:11211 c4/[fd00:0:0:0:0:0:0:1]:11211   as spymemcached makes it
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/client/ring_node.h"

namespace larder::operate {

// Either a node or, as the rest of a sentence behind the text, what is wrong with it.
struct ServerResult {
  std::optional<client::RingNode> node;
  std::string error;
};

// One server. Hosts and names are of letters, digits, '.', '-', '_', ':', '/' and '%', names of '['
// and ']' too; these need no quotes in any configuration that is written of them.
[[nodiscard]] ServerResult parse_server(std::string_view text);

// Either at least one server, in the order of the text, or a sentence.
struct ServersResult {
  std::vector<client::RingNode> nodes;
  std::string error;
};

// text  servers with commas between them, or "@FILE": one server a line there, '#' begins a
//       comment, and lines without a server are passed over
[[nodiscard]] ServersResult parse_servers(const std::string& text);

bool is_socket(const client::RingNode& node);

// "host:port", "[host]:port" for an IPv6 address, "/path": the form that parse_server() takes.
std::string address_of(const client::RingNode& node);

}  // namespace larder::operate
