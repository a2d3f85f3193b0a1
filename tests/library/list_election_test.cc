// Which list is followed next.
#include "tools/client/list_election.h"

#include <catch2/catch.hpp>

using namespace larder::client;

namespace {

ClusterList list_of(uint64_t version, const std::vector<std::string>& hosts) {
  ClusterList list{version, {}};
  for (const std::string& host : hosts) list.nodes.push_back({host, "", 11211});
  return list;
}

uint64_t followed(const ListElection& election) {
  const auto winner = election.winner();
  return winner ? winner->version : 0;
}

}  // namespace

TEST_CASE("a list in which nodes join is followed at once") {
  const ClusterList before = list_of(5, {"a", "b"});
  ListElection election(before, 2);
  const ClusterList more = list_of(6, {"c", "a", "b"});
  CHECK(election.told(&more));
  CHECK(followed(election) == 6);
}

TEST_CASE("the list of another fleet is not followed while the nodes of this one tell another") {
  const ClusterList before = list_of(5, {"a", "b", "c", "d"});
  const ClusterList foreign = list_of(1000, {"a", "x", "y"});
  ListElection election(before, 4);
  CHECK_FALSE(election.told(&foreign));
  for (int i = 0; i < 3; ++i) CHECK_FALSE(election.told(&before));
  CHECK(followed(election) == 0);
}

TEST_CASE("a node that leaves is followed once most of those who tell a list tell it") {
  const ClusterList before = list_of(5, {"a", "b", "c", "d"});
  const ClusterList after = list_of(6, {"a", "b", "c"});
  ListElection election(before, 4);
  CHECK_FALSE(election.told(&after));
  CHECK_FALSE(election.told(&after));
  CHECK(election.told(&after));  // the fourth can change nothing
  CHECK(followed(election) == 6);

  ListElection few(before, 4);
  few.told(nullptr);
  few.told(&after);
  few.told(nullptr);
  few.told(nullptr);
  CHECK(followed(few) == 6);  // nobody tells another

  ListElection half(before, 4);
  for (int i = 0; i < 2; ++i) half.told(&after);
  for (int i = 0; i < 2; ++i) half.told(&before);
  CHECK(followed(half) == 0);
}

TEST_CASE("of two newer lists the one that most tell is followed, whatever its version") {
  const ClusterList before = list_of(5, {"a", "b", "c"});
  const ClusterList after = list_of(6, {"a", "b"});
  const ClusterList foreign = list_of(1000, {"c", "x"});
  ListElection election(before, 3);
  election.told(&foreign);
  election.told(&after);
  election.told(&after);
  CHECK(followed(election) == 6);
}

TEST_CASE("a server that is asked twice has the vote that it gave first") {
  const ClusterList before = list_of(5, {"a", "b"});
  const ClusterList after = list_of(6, {"a"});
  const std::vector<std::string> one = {"10.0.0.1 11211", "incarnation 7"};
  const std::vector<std::string> same = {"10.0.0.9 11211", "incarnation 7"};
  const std::vector<std::string> other = {"10.0.0.2 11211"};
  ListElection election(before, 4);
  CHECK_FALSE(election.told(&after, one));
  CHECK_FALSE(election.told(&after, same));
  CHECK_FALSE(election.told(&after, {&same[0], 1}));
  CHECK_FALSE(election.told(&before, other));
  CHECK(followed(election) == 0);

  ListElection alone(before, 2);
  CHECK_FALSE(alone.told(&after, one));
  CHECK_FALSE(alone.told(&before, one));
  CHECK(followed(alone) == 6);
}

TEST_CASE("an older list, or the same, changes nothing") {
  const ClusterList before = list_of(5, {"a", "b"});
  for (const uint64_t version : {4, 5}) {
    ListElection election(before, 1);
    const ClusterList told = list_of(version, {"a", "b", "c"});
    CHECK_FALSE(election.told(&told));
    CHECK(followed(election) == 0);
  }
}
