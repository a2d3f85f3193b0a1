#include "tools/client/fleet.h"

#include <array>
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

// What a list calls a server, wherever it is connected to.
std::string name_of(const Server& server) {
  return Endpoint{server.host, server.port, server.path}.text();
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
  std::map<std::string, std::shared_ptr<Node>> listed;
  for (const Server& server : servers) {
    const Endpoint endpoint = endpoint_of(server);
    std::shared_ptr<Node>& node = listed[endpoint.text()];  // two names may lead to one address
    if (!node) node = std::make_shared<Node>(endpoint, options);
    fleet->nodes_.push_back(node);
    fleet->led_to_[name_of(server)] = node;
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
  Changes& changes = fleet->changes_;
  std::map<std::string, std::shared_ptr<Node>> listed;
  for (const Server& server : servers) {
    const Endpoint endpoint = endpoint_of(server);
    const std::string name = endpoint.text();
    std::shared_ptr<Node>& node = listed[name];  // two names may lead to one address
    const auto known = fleet->departed_.extract(name);
    if (known) {
      node = known.mapped();
      (departed_.contains(name) ? changes.rejoining : changes.staying).push_back(node);
    } else if (!node) {
      node = std::make_shared<Node>(endpoint, options);
      if (too_many_departed_) node->owe_everything();
    }
    fleet->nodes_.push_back(node);
  }
  for (const std::shared_ptr<Node>& node : nodes_) {
    if (!listed.contains(node->name())) changes.leaving.push_back(node);
  }

  fleet->led_to_ = led_to_;
  std::map<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>> moves;  // by where they lead
  const std::set<std::shared_ptr<Node>> staying(changes.staying.begin(), changes.staying.end());
  std::map<std::string, std::vector<std::shared_ptr<Node>>> left;  // by hosts
  std::map<std::shared_ptr<Node>, Node::Former> ports;
  for (size_t i = 0; i < servers.size(); ++i) {
    const std::shared_ptr<Node>& to = fleet->nodes_[i];
    const std::string name = name_of(servers[i]);
    const std::string host = name.substr(0, name.rfind(':') + 1);
    const bool is_new = !led_to_.contains(name);
    if (!host.empty() && (is_new || !staying.contains(to))) {
      const auto [at, is_first] = left.try_emplace(host);
      const std::vector<std::shared_ptr<Node>>& those = at->second;
      if (is_first) at->second = left_from(host, listed);
      if (is_new && !those.empty()) moves[to].push_back(those.front());
      ports[to].insert(ports[to].end(), those.begin(), those.end());
    }
    std::shared_ptr<Node>& from = fleet->led_to_[name];
    if (from && from != to) moves[to].push_back(from);
    from = to;
  }
  for (auto& [to, from] : moves) {
    changes.moves.push_back({to, Node::former_of(to, from)});
  }
  for (auto& [to, those] : ports) changes.ports.push_back({to, std::move(those)});
  changes.successions = successions_of(listed, changes.moves);

  if (fleet->departed_.size() > kDepartedRemembered ||
      fleet->led_to_.size() > kDepartedRemembered + servers.size()) {
    fleet->departed_.clear();
    fleet->led_to_.clear();
    for (size_t i = 0; i < servers.size(); ++i) {
      fleet->led_to_[name_of(servers[i])] = fleet->nodes_[i];
    }
    fleet->too_many_departed_ = true;
  }

  fleet->past_.push_back({std::make_shared<const Ring>(ring_), nodes_});
  fleet->past_.insert(fleet->past_.end(), past_.begin(), past_.end());
  for (Past& past : fleet->past_) {
    for (std::shared_ptr<Node>& node : past.nodes) {
      if (node && !listed.contains(node->name())) node = nullptr;
    }
  }
  std::erase_if(fleet->past_, [&](const Past& past) { return fleet->has_places_of(past); });
  if (fleet->past_.size() > kRingsRemembered) {
    changes.forgotten = std::move(fleet->past_.back().nodes);
    fleet->past_.pop_back();
  }
  std::vector<std::shared_ptr<const Ring>> rings;
  for (const Past& past : fleet->past_) rings.push_back(past.ring);
  fleet->past_rings_ = PastRings(std::move(rings));
  return fleet;
}

std::vector<std::shared_ptr<Node>> Fleet::left_from(
    const std::string& host, const std::map<std::string, std::shared_ptr<Node>>& listed) const {
  std::vector<std::shared_ptr<Node>> left;
  for (const bool is_earlier : {false, true}) {
    for (auto it = led_to_.lower_bound(host); it != led_to_.end(); ++it) {
      const auto& [name, node] = *it;
      if (!name.starts_with(host) || left.size() == Node::kMostFormer) break;
      if (listed.contains(node->name())) continue;
      if (departed_.contains(node->name()) == is_earlier) left.push_back(node);
    }
  }
  return left;
}

std::vector<Fleet::Changes::Succession> Fleet::successions_of(
    const std::map<std::string, std::shared_ptr<Node>>& listed,
    const std::vector<Changes::Move>& moves) {
  std::map<std::shared_ptr<Node>, Node::Former> former;
  for (const auto& [name, node] : listed) former[node] = node->former();
  for (const Changes::Move& move : moves) former[move.to] = move.former;
  std::map<std::shared_ptr<Node>, std::shared_ptr<Node::Successors>> successors;
  for (const auto& [to, nodes] : former) {
    for (const std::weak_ptr<Node>& node : nodes) {
      const std::shared_ptr<Node> from = node.lock();
      if (!from || former.contains(from)) continue;
      std::shared_ptr<Node::Successors>& those = successors[from];
      if (!those) those = std::make_shared<Node::Successors>();
      those->push_back(to);
    }
  }
  std::vector<Changes::Succession> successions;
  for (auto& [from, those] : successors) successions.push_back({from, std::move(those)});
  return successions;
}

bool Fleet::has_places_of(const Past& past) const {
  if (past.ring->nodes() != ring_.nodes()) return false;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (past.nodes[i] && past.nodes[i] != nodes_[i]) return false;
  }
  return true;
}

void Fleet::supersede(Fleet& before) noexcept {
  before.superseded_ = true;
  for (const std::shared_ptr<Node>& node : changes_.forgotten) {
    if (node) node->remember_everything_moved();
  }
  for (const std::shared_ptr<Node>& node : changes_.staying) {
    node->moved_are_owed();
    node->announced();
  }
  for (const std::shared_ptr<Node>& node : changes_.leaving) node->leave();
  for (const std::shared_ptr<Node>& node : changes_.rejoining) {
    node->rejoin();
    node->announced();
  }
  for (Changes::Succession& succession : changes_.successions) {
    succession.departed->is_succeeded_by(std::move(succession.successors));
  }
  for (Changes::Move& move : changes_.moves) move.to->names_lead_here(std::move(move.former));
  for (Changes::Move& ports : changes_.ports) ports.to->has_other_ports(std::move(ports.former));
  changes_ = {};
}

void Fleet::remember_where_it_was(std::string_view key) const noexcept {
  if (superseded_) node_of(key).owe_where_it_leads(key);
  if (past_.empty()) return;
  const Node* here = &node_of(key);
  const Node* last = nullptr;  // at which the key is remembered; lists in a row have most in common
  std::array<uint32_t, kRingsRemembered> places;
  past_rings_.nodes_of(key, {places.data(), past_.size()});
  for (size_t i = 0; i < past_.size(); ++i) {
    Node* there = past_[i].nodes[places[i]].get();
    if (there == nullptr || there == here || there == last) continue;
    last = there;
    there->remember_moved(key);
    if (superseded_) there->moved_are_owed();
  }
}

void Fleet::close_ended() const noexcept {
  for (const std::shared_ptr<Node>& node : nodes_) node->close_ended();
  for (const auto& [name, node] : departed_) node->close_ended();
}

}  // namespace larder::client
