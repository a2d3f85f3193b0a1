#include "tools/client/list_election.h"

#include <algorithm>

namespace larder::client {
namespace {

// Rings hash host and port; the address of a node may change.
bool is_same(const ClusterNode& a, const ClusterNode& b) {
  return a.host == b.host && a.port == b.port;
}

}  // namespace

bool ListElection::has_all_of(const ClusterList& list) const {
  return std::all_of(followed_.nodes.begin(), followed_.nodes.end(), [&](const ClusterNode& node) {
    return std::any_of(list.nodes.begin(), list.nodes.end(),
                       [&](const ClusterNode& other) { return is_same(node, other); });
  });
}

bool ListElection::told(const ClusterList* list, std::span<const std::string> marks) {
  --left_;
  if (list == nullptr) return false;
  const bool is_known = std::any_of(marks.begin(), marks.end(),
                                    [&](const std::string& mark) { return marks_.contains(mark); });
  marks_.insert(marks.begin(), marks.end());
  if (is_known) return false;
  ++told_;
  if (list->version <= followed_.version) return false;
  if (has_all_of(*list)) {
    at_once_ = *list;
    return true;
  }
  auto candidate = std::find_if(candidates_.begin(), candidates_.end(), [&](const Candidate& c) {
    return c.list.version == list->version && c.list.nodes == list->nodes;
  });
  if (candidate == candidates_.end()) {
    candidates_.push_back({*list});
    candidate = candidates_.end() - 1;
  }
  ++candidate->votes;
  return 2 * candidate->votes > told_ + left_;
}

std::optional<ClusterList> ListElection::winner() const {
  if (at_once_) return at_once_;
  for (const Candidate& candidate : candidates_) {
    if (2 * candidate.votes > told_) return candidate.list;
  }
  return {};
}

}  // namespace larder::client
