#include "tools/larder/where.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace larder;
using namespace larder::operate;

namespace {

client::Ring three_nodes() {
  auto made = client::Ring::make(client::RingKind::LibmemcachedKetama,
                                 {{"10.0.0.1", 11211}, {"::1", 11212}, {"cache-3", 11211}});
  REQUIRE(made.ring);
  return std::move(*made.ring);
}

}  // namespace

TEST_CASE("keys that no server would take have a fault") {
  CHECK(fault_of_key("user:42").empty());
  CHECK(fault_of_key("\xc3\xa9").empty());
  CHECK(fault_of_key(std::string(250, 'k')).empty());
  CHECK(fault_of_key(std::string(251, 'k')) == "is longer than 250 bytes");
  CHECK(fault_of_key("") == "is empty");
  for (const char* const key : {"a b", "a\n", "\x7f"}) {
    CHECK(fault_of_key(key) == "has a blank or a control character");
  }
}

TEST_CASE("where has a line for each key, in their order, with the ring's node") {
  const client::Ring ring = three_nodes();
  const std::string addresses[] = {"10.0.0.1:11211", "[::1]:11212", "cache-3:11211"};
  std::vector<std::string> keys;
  std::string expected;
  for (int i = 20; i > 0; --i) {
    keys.push_back("k" + std::to_string(i));
    expected += keys.back() + " " + addresses[ring.node_of(keys.back())] + "\n";
  }
  CHECK(where_text(ring, keys) == expected);
}

TEST_CASE("where as JSON has key, node and the node's place, whatever the bytes of a key") {
  const client::Ring ring = three_nodes();
  const auto json = nlohmann::json::parse(where_json(ring, {"a", "\xff"}));
  CHECK(json["ring"] == "libmemcached-ketama");
  REQUIRE(json["keys"].size() == 2);
  CHECK(json["keys"][0]["key"] == "a");
  CHECK(json["keys"][0]["index"] == ring.node_of("a"));
  CHECK(json["keys"][1]["index"] == ring.node_of("\xff"));
  CHECK(json["keys"][1]["key"] == "\xef\xbf\xbd");
}
