// The answer to `config get cluster`, good and bad.
#include "tools/client/cluster_list.h"

#include <catch2/catch.hpp>

#include "tools/client/ring_node.h"

using larder::client::ClusterList;
using larder::client::ClusterNode;
using larder::client::ErrorKind;
using larder::client::parse_cluster_reply;

namespace {

std::string reply_with(const std::string& payload) {
  return "CONFIG cluster 0 " + std::to_string(payload.size()) + "\r\n" + payload + "\r\nEND\r\n";
}

bool refused(const std::string& reply) {
  const auto parsed = parse_cluster_reply(reply);
  return !parsed.ok() && parsed.error().kind == ErrorKind::Protocol;
}

}  // namespace

TEST_CASE("a list has a version and nodes") {
  const auto parsed = parse_cluster_reply(
      reply_with("9007199254740993\ncache1|10.0.0.1|11211 cache2||11212 ::1|::1|1\n"));
  REQUIRE(parsed.ok());
  REQUIRE(parsed->has_value());
  const ClusterList& list = **parsed;
  CHECK(list.version == 9007199254740993);
  CHECK(list.nodes == std::vector<ClusterNode>{
                          {"cache1", "10.0.0.1", 11211}, {"cache2", "", 11212}, {"::1", "::1", 1}});
}

TEST_CASE("lines of a list may end as those of the protocol") {
  // The length is that of lines as the server has them; these are as ask() returns them.
  for (const char* length : {"14", "15", "16"}) {
    const auto parsed = parse_cluster_reply("CONFIG cluster 0 " + std::string(length) +
                                            "\r\n3\r\na||1  b||2 \r\n\r\nEND\r\n");
    REQUIRE(parsed.ok());
    REQUIRE(parsed->has_value());
    CHECK((*parsed)->nodes.size() == 2);
  }
}

TEST_CASE("a server without a list says so") {
  const auto parsed = parse_cluster_reply("END\r\n");
  REQUIRE(parsed.ok());
  CHECK_FALSE(parsed->has_value());
}

TEST_CASE("nothing of a list is taken if something is wrong with it") {
  const std::string good = reply_with("12\na|10.0.0.1|11211\n");
  REQUIRE(parse_cluster_reply(good).ok());
  // Cut off anywhere; the last two bytes are the end of the last line, which may be missing.
  for (size_t bytes = 0; bytes < good.size() - 2; ++bytes) CHECK(refused(good.substr(0, bytes)));

  for (const char* payload :
       {"", "\n", "12\n", "12\n\n", "0\na||1\n", "-1\na||1\n", "x\na||1\n", "1.5\na||1\n",
        "18446744073709551616\na||1\n", "1\na\n", "1\na|b\n", "1\na||\n", "1\na||0\n",
        "1\na||65536\n", "1\na||x\n", "1\n||1\n", "1\na||1|2\n", "1\na||1 b\n", "1\na\x01||1\n"}) {
    INFO(payload);
    CHECK(refused(reply_with(payload)));
  }
  CHECK(refused("CONFIG cluster 0 99999999999\r\n1\na||1\n\r\nEND\r\n"));
  CHECK(refused("CONFIG cluster 0 6\r\n1\na||1\n\r\nEND\r\n"));
  CHECK(refused("CONFIG cluster 0 10\r\n1\na||1\n\r\nEND\r\n"));
  CHECK(refused("CONFIG other 0 7\r\n1\na||1\n\r\nEND\r\n"));
  CHECK(refused("VALUE cluster 0 7\r\n1\na||1\n\r\nEND\r\n"));
  CHECK(refused(reply_with("1\n" + std::string(256, 'h') + "||1\n")));
}

TEST_CASE("a list has a bound") {
  std::string payload = "1\n";
  for (uint32_t i = 0; i < larder::client::kMaxRingNodes; ++i) {
    payload += "h" + std::to_string(i) + "||1 ";
  }
  REQUIRE(parse_cluster_reply(reply_with(payload + "\n")).ok());
  CHECK(refused(reply_with(payload + "one-more||1\n")));
}
