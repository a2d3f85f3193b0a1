// ListElection: which of the lists that servers tell a client follows next.
//
// Addresses are used again: a server at the address of one that has left may belong to another
// fleet, and tell a list of that with a larger version. So:
// 1. A newer list that has all nodes of the one before is followed at once: nodes have joined.
// 2. One that leaves a node out is followed if more than half of those who tell any list tell it.
// 3. A server has one vote, its first, under however many names and addresses it is asked.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tools/client/cluster_list.h"

namespace larder::client {

// One thread at a time.
class ListElection {
 public:
  // followed  the list that is followed now
  // voters    how many will be asked at most
  ListElection(const ClusterList& followed, size_t voters) : followed_(followed), left_(voters) {}

  // Of the voters one has told this list, or none. True: nobody else need be asked.
  //
  // marks  its server's alone: the address it was reached at, and its incarnation. A server of
  //        which one mark is known has voted before.
  bool told(const ClusterList* list, std::span<const std::string> marks = {});
  // The list to follow; empty: the one that is followed.
  std::optional<ClusterList> winner() const;

 private:
  struct Candidate {
    ClusterList list;
    size_t votes = 0;
  };
  bool has_all_of(const ClusterList& list) const;

  const ClusterList& followed_;
  size_t left_;
  size_t told_ = 0;
  std::set<std::string> marks_;         // of those who have voted
  std::vector<Candidate> candidates_;   // newer ones
  std::optional<ClusterList> at_once_;  // by the first rule
};

}  // namespace larder::client
