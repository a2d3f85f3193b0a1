#include "tools/client/fleet.h"

#include <map>
#include <set>
#include <utility>

namespace larder::client {
namespace {

Result<Ring> ring_of(const std::vector<Server>& servers, RingKind kind) {
  std::vector<RingNode> nodes;
  for (const Server& server : servers) {
    const bool by_path = server.host.empty() && !server.path.empty();
    nodes.push_back({by_path ? server.path : server.host, by_path ? uint16_t{0} : server.port,
                     server.weight, server.ring_name});
  }
  RingResult made = Ring::make(kind, std::move(nodes));
  if (!made.ring) return Error{ErrorKind::BadRequest, std::move(made.error)};
  return std::move(*made.ring);
}

}  // namespace

Endpoint endpoint_of(const Server& server) {
  if (!server.path.empty()) return {"", 0, server.path};
  return {server.address.empty() ? server.host : server.address, server.port, ""};
}

Result<std::shared_ptr<Fleet>> Fleet::make(const std::vector<Server>& servers,
                                           const ClientOptions& options) {
  Result<Ring> ring = ring_of(servers, options.ring);
  if (!ring) return ring.error();
  std::shared_ptr<Fleet> fleet(new Fleet(std::move(*ring)));
  for (const Server& server : servers) {
    fleet->nodes_.push_back(std::make_shared<Node>(endpoint_of(server), options));
  }
  return fleet;
}

Result<std::shared_ptr<Fleet>> Fleet::next(const std::vector<Server>& servers,
                                           const ClientOptions& options) const {
  Result<Ring> ring = ring_of(servers, options.ring);
  if (!ring) return ring.error();
  std::shared_ptr<Fleet> fleet(new Fleet(std::move(*ring)));

  fleet->departed_ = departed_;
  fleet->too_many_departed_ = too_many_departed_;
  for (const std::shared_ptr<Node>& node : nodes_) fleet->departed_[node->name()] = node;
  std::map<std::string, std::shared_ptr<Node>> staying;
  for (const Server& server : servers) {
    const Endpoint endpoint = endpoint_of(server);
    const std::string name = endpoint.text();
    std::shared_ptr<Node>& node = staying[name];  // two names may lead to one address
    const auto known = fleet->departed_.extract(name);
    if (known) {
      node = known.mapped();
      if (departed_.contains(name)) node->rejoin();
      node->announced();
    } else if (!node) {
      node = std::make_shared<Node>(endpoint, options);
      if (too_many_departed_) node->owe_everything();
    }
    fleet->nodes_.push_back(node);
  }

  if (fleet->departed_.size() > kDepartedRemembered) {
    fleet->departed_.clear();
    fleet->too_many_departed_ = true;
  }

  fleet->past_.push_back({std::make_shared<const Ring>(ring_), nodes_});
  for (const Past& past : past_) {
    if (past.ring->nodes() != ring_.nodes()) fleet->past_.push_back(past);
  }
  std::erase_if(fleet->past_,
                [&](const Past& past) { return past.ring->nodes() == fleet->ring_.nodes(); });
  while (fleet->past_.size() > kRingsRemembered) {
    for (const std::shared_ptr<Node>& node : fleet->past_.back().nodes) {
      if (node) node->remember_everything_moved();
    }
    fleet->past_.pop_back();
  }
  for (Past& past : fleet->past_) {
    for (std::shared_ptr<Node>& node : past.nodes) {
      if (node && !staying.contains(node->name())) node = nullptr;
    }
  }
  return fleet;
}

void Fleet::supersede(Fleet& before) const {
  before.superseded_ = true;
  const std::set<std::shared_ptr<Node>> staying(nodes_.begin(), nodes_.end());
  for (const std::shared_ptr<Node>& node : before.nodes_) {
    staying.contains(node) ? node->moved_are_owed() : node->leave();
  }
}

void Fleet::remember_where_it_was(std::string_view key) const {
  if (past_.empty()) return;
  const Node* here = &node_of(key);
  for (const Past& past : past_) {
    Node* there = past.nodes[past.ring->node_of(key)].get();
    if (there == nullptr || there == here) continue;
    there->remember_moved(key);
    if (superseded_) there->moved_are_owed();
  }
}

void Fleet::close_ended() const noexcept {
  for (const std::shared_ptr<Node>& node : nodes_) node->close_ended();
  for (const auto& [name, node] : departed_) node->close_ended();
}

}  // namespace larder::client
