#include "tools/larder/ring_option.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "tools/larder/servers.h"

namespace larder::operate {

using client::Ring;

Ring ring_of(const std::string& option, const std::string& name,
             std::vector<client::RingNode> nodes) {
  const auto kind = client::parse_ring_kind(name);
  if (!kind) {
    throw CLI::ValidationError("--ring",
                               "'" + name + "' is none of the rings " + client::ring_kind_names());
  }
  client::RingResult made = Ring::make(*kind, std::move(nodes));
  if (!made.ring) throw CLI::ValidationError(option, made.error);
  return std::move(*made.ring);
}

Ring ring_of_list(const std::string& option, const std::string& name, const std::string& servers) {
  ServersResult parsed = parse_servers(servers);
  if (!parsed.error.empty()) throw CLI::ValidationError(option, parsed.error);
  return ring_of(option, name, std::move(parsed.nodes));
}

}  // namespace larder::operate
