// Rings that a client remembers: where a key was, and what it costs to know that.
#include "tools/client/past_rings.h"

#include <time.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/client/fleet.h"

using namespace larder::client;

namespace {

std::shared_ptr<const Ring> ring_of(RingKind kind, int first, int count) {
  std::vector<RingNode> nodes;
  for (int i = first; i < first + count; ++i) {
    nodes.push_back({"10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250), 11211});
  }
  // Another order, another index.
  std::rotate(nodes.begin(), nodes.begin() + first % count, nodes.end());
  RingResult made = Ring::make(kind, std::move(nodes));
  REQUIRE(made.ring);
  return std::make_shared<const Ring>(std::move(*made.ring));
}

// So many servers, of which one is missing.
std::vector<Server> servers_without(int missing, int count) {
  std::vector<Server> servers;
  for (int i = 0; i < count; ++i) {
    if (i != missing) servers.push_back({.host = "10.0.0." + std::to_string(i)});
  }
  return servers;
}

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// The least of several trials.
double cost_of(const std::function<void()>& work) {
  double least = 1e9;
  for (int trial = 0; trial < 5; ++trial) {
    const double begin = cpu_seconds();
    work();
    least = std::min(least, cpu_seconds() - begin);
  }
  return least;
}

}  // namespace

TEST_CASE("rings that are asked together say what each says alone") {
  for (const RingKindRow& row : ring_kinds()) {
    CAPTURE(row.name);
    std::vector<std::shared_ptr<const Ring>> rings;
    for (int i = 0; i < 64; ++i) rings.push_back(ring_of(row.kind, i / 2, 1 + i % 20));
    const PastRings together(rings);
    std::vector<uint32_t> nodes(rings.size());
    size_t wrong = 0;
    for (int i = 0; i < 300; ++i) {
      const std::string key = "key" + std::to_string(i);
      together.nodes_of(key, nodes);
      for (size_t r = 0; r < rings.size(); ++r) wrong += nodes[r] != rings[r]->node_of(key);
    }
    CHECK(wrong == 0);
  }
  PastRings().nodes_of("key", {});
}

TEST_CASE("64 lists that are remembered cost a write a few times what one list costs") {
  constexpr int kNodes = 80;
  auto made = Fleet::make(servers_without(0, kNodes), {});
  REQUIRE(made.ok());
  std::vector<std::shared_ptr<Fleet>> fleets = {*made};
  for (int i = 1; i <= static_cast<int>(kRingsRemembered); ++i) {
    made = fleets.back()->next(servers_without(i, kNodes), {});
    REQUIRE(made.ok());
    (*made)->supersede(*fleets.back());
    fleets.push_back(*made);
  }
  const Fleet& fleet = *fleets.back();
  std::vector<std::string> keys;
  for (int i = 0; i < 2'000; ++i) keys.push_back("user:" + std::to_string(i));
  for (const std::string& key : keys) fleet.remember_where_it_was(key);  // each node knows it now
  uint32_t sum = 0;
  const double one = cost_of([&] {
    for (const std::string& key : keys) sum += fleet.ring().node_of(key);
  });
  const double all = cost_of([&] {
    for (const std::string& key : keys) fleet.remember_where_it_was(key);
  });
  CAPTURE(one, all, sum);
  CHECK(all < 20 * one);
}
