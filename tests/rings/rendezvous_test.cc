#include "tools/client/rendezvous.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

using namespace larder::client;

TEST_CASE("the order of nodes does not matter to rendezvous") {
  const std::vector<std::string> forth = {"a:1", "b:1", "c:1", "d:1"};
  const std::vector<std::string> back(forth.rbegin(), forth.rend());
  const Rendezvous one(forth);
  const Rendezvous other(back);
  for (uint32_t i = 0; i < 1000; ++i) {
    const std::string key = "key" + std::to_string(i);
    CHECK(forth[one.node_of(key)] == back[other.node_of(key)]);
  }
}

TEST_CASE("a node that goes leaves the keys of all others where they are") {
  const std::vector<std::string> labels = {"a:1", "b:1", "c:1", "d:1"};
  const Rendezvous before(labels);
  const Rendezvous after({"a:1", "c:1", "d:1"});
  uint32_t kept = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    const std::string key = "key" + std::to_string(i);
    const uint32_t node = before.node_of(key);
    if (node == 1) continue;
    ++kept;
    CHECK(after.node_of(key) == (node == 0 ? 0 : node - 1));
  }
  CHECK(kept > 600);
}
