#include "daemon/discovery.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>

namespace larder::daemon {
namespace {

ClusterList list(uint64_t version, const std::string& nodes) {
  ClusterList made = parse_cluster_list(nodes).list;
  made.version = version;
  return made;
}

std::string told(const Discovery& discovery) {
  const auto published = discovery.published();
  return published == nullptr ? "" : published->text;
}

bool offer(Discovery& discovery, ClusterList offered) { return discovery.offer(offered); }
bool set(Discovery& discovery, ClusterList given) { return discovery.set(given, 0); }

TEST_CASE("at first there is no list") {
  Discovery discovery;
  CHECK(discovery.published() == nullptr);
  CHECK_FALSE(discovery.remove());
}

TEST_CASE("a list that is offered has its own version, if that is larger") {
  Discovery discovery;
  ClusterList first = list(12, "a||1");
  CHECK(discovery.offer(first));
  CHECK(first.version == 12);
  CHECK(told(discovery) == "12\na||1\n");
  CHECK(offer(discovery, list(20, "a||1 b||1")));
  CHECK(told(discovery) == "20\na||1 b||1\n");
}

TEST_CASE("a change without a larger version gets the next one") {
  Discovery discovery;
  CHECK(offer(discovery, list(12, "a||1")));
  ClusterList changed = list(12, "b||1");
  CHECK(discovery.offer(changed));
  CHECK(changed.version == 13);
  CHECK(told(discovery) == "13\nb||1\n");
  CHECK(offer(discovery, list(3, "a||1")));
  CHECK(told(discovery) == "14\na||1\n");
}

TEST_CASE("the same nodes are a change only with a larger version") {
  Discovery discovery;
  CHECK(offer(discovery, list(12, "a||1 b||1")));
  CHECK_FALSE(offer(discovery, list(12, "a||1 b||1")));
  CHECK_FALSE(offer(discovery, list(0, "a||1 b||1")));
  CHECK(told(discovery) == "12\na||1 b||1\n");
  CHECK(offer(discovery, list(13, "a||1 b||1")));
  CHECK(told(discovery) == "13\na||1 b||1\n");
  CHECK(offer(discovery, list(0, "b||1 a||1")));  // the order is the clients' ring
  CHECK(told(discovery) == "14\nb||1 a||1\n");
}

TEST_CASE("the version grows over a removal") {
  Discovery discovery;
  CHECK(offer(discovery, list(12, "a||1")));
  CHECK(discovery.remove());
  CHECK(discovery.published() == nullptr);
  CHECK_FALSE(discovery.remove());
  CHECK_FALSE(set(discovery, list(12, "a||1")));
  CHECK(offer(discovery, list(12, "a||1")));
  CHECK(told(discovery) == "13\na||1\n");
}

TEST_CASE("a version that leaves no room for a larger one is forgotten with its list") {
  Discovery discovery;
  CHECK(set(discovery, list(kMaxClusterVersion, "a||1")));
  CHECK_FALSE(set(discovery, list(13, "b||1")));
  CHECK(offer(discovery, list(13, "b||1")));  // a file's nodes are told all the same
  CHECK(told(discovery) == std::to_string(kMaxClusterVersion) + "\nb||1\n");
  CHECK(discovery.remove());
  CHECK(set(discovery, list(13, "b||1")));
  CHECK(told(discovery) == "13\nb||1\n");
  // What an operator may have counted up to is kept.
  CHECK(set(discovery, list(Discovery::kMostOrdinaryVersion, "a||1")));
  CHECK(discovery.remove());
  CHECK_FALSE(set(discovery, list(13, "b||1")));
}

TEST_CASE("a list that is set has a larger version, or is the same") {
  Discovery discovery;
  CHECK(set(discovery, list(5, "a||1")));
  CHECK(set(discovery, list(5, "a||1")));
  ClusterList other = list(5, "b||1");
  CHECK_FALSE(discovery.set(other, 0));
  CHECK(other.version == 5);
  ClusterList older = list(4, "a||1");
  CHECK_FALSE(discovery.set(older, 0));
  CHECK(older.version == 5);
  ClusterList flags = list(5, "a||1");
  CHECK_FALSE(discovery.set(flags, 1));
  CHECK(told(discovery) == "5\na||1\n");
  ClusterList larger = list(6, "b||1");
  CHECK(discovery.set(larger, 7));
  CHECK(discovery.published()->client_flags == 7);
}

TEST_CASE("who reads sees whole lists, and versions that only grow") {
  constexpr uint64_t kChanges = 2000;
  Discovery discovery;
  std::atomic<bool> ended{false};
  std::thread writer([&] {
    for (uint64_t i = 1; i <= kChanges; ++i) {
      offer(discovery, list(0, i % 2 == 0 ? "even||2" : "odd||1"));
    }
    ended = true;
  });
  uint64_t seen = 0;
  bool grows = true;
  bool whole = true;
  while (!ended) {
    const auto published = discovery.published();
    if (published == nullptr) continue;
    grows &= published->list.version >= seen;
    seen = published->list.version;
    whole &= published->text == format_cluster_list(published->list) &&
             published->list.nodes.front().port == (seen % 2 == 0 ? 2 : 1);
  }
  writer.join();
  CHECK(grows);
  CHECK(whole);
  CHECK(discovery.published()->list.version == kChanges);
}

}  // namespace
}  // namespace larder::daemon
