#include "daemon/cluster_list.h"

#include <catch2/catch.hpp>
#include <string>

namespace larder::daemon {
namespace {

const std::string kThree = "cache1|10.0.0.1|11211 cache2|10.0.0.2|11212 cache3||11213";

std::string error_of(const std::string& text) {
  const ParsedClusterList parsed = parse_cluster_list(text);
  CHECK(parsed.error.empty() != parsed.list.nodes.empty());
  return parsed.error;
}

std::string long_host(size_t bytes) {
  std::string node = "||1";
  node.insert(0, bytes, 'h');
  return node;
}

TEST_CASE("a list is a version and a line of nodes") {
  const ParsedClusterList parsed = parse_cluster_list("12\n" + kThree + "\n");
  CHECK(parsed.error.empty());
  CHECK(parsed.list.version == 12);
  REQUIRE(parsed.list.nodes.size() == 3);
  CHECK(parsed.list.nodes[0] == ClusterNode{"cache1", "10.0.0.1", 11211});
  CHECK(parsed.list.nodes[1] == ClusterNode{"cache2", "10.0.0.2", 11212});
  CHECK(parsed.list.nodes[2] == ClusterNode{"cache3", "", 11213});
  CHECK(format_cluster_list(parsed.list) == "12\n" + kThree + "\n");
}

TEST_CASE("a list may go without a version, with empty lines and remarks") {
  for (const std::string& text :
       {kThree, kThree + "\n", "\n# the fleet\n\n  " + kThree + " \t\r\n# end\n\n",
        std::string("cache1|10.0.0.1|11211\t cache2|10.0.0.2|11212  cache3||11213\n\r\n")}) {
    INFO(text);
    const ParsedClusterList parsed = parse_cluster_list(text);
    CHECK(parsed.error.empty());
    CHECK(parsed.list.version == 0);
    CHECK(parsed.list.nodes.size() == 3);
  }
  CHECK(parse_cluster_list("# of\n7\r\n# the\n" + kThree).list.version == 7);
}

TEST_CASE("hosts are names or addresses, of both families") {
  for (const char* node :
       {"a|10.0.0.1|1", "cache-1.example.com|::1|65535", "my_host||11211", "10.0.0.1||11211",
        "::1||11211", "fe80::1|fe80::1|11211", "A.b.C.|1.2.3.4|011211"}) {
    INFO(node);
    CHECK(error_of(node) == "");
  }
  CHECK(error_of(long_host(253)) == "");
}

TEST_CASE("what is wrong with a list is said in one sentence") {
  CHECK(error_of("") == "there is no node in it");
  CHECK(error_of("12\n") == "there is no node in it");
  CHECK(error_of("\n# a||1\n") == "there is no node in it");
  const std::string versions = " is not a version from 1 to 9007199254740991";
  CHECK(error_of("0\na||1\n") == "'0'" + versions);
  CHECK(error_of("-1\na||1\n") == "'-1'" + versions);
  CHECK(error_of("+1\na||1\n") == "'+1'" + versions);
  CHECK(error_of("1.5\na||1\n") == "'1.5'" + versions);
  CHECK(error_of("9007199254740992\na||1\n") == "'9007199254740992'" + versions);
  CHECK(error_of("99999999999999999999999\na||1\n") == "'99999999999999999999999'" + versions);
  CHECK(error_of("9007199254740991\na||1\n") == "");
  CHECK(error_of("cache1\n") == "'cache1'" + versions);
  CHECK(error_of("1\ncache1:11211\n") == "'cache1:11211' is not host|ip|port");
  CHECK(error_of("1\n2\na||1\n") == "'2' is not host|ip|port");
  CHECK(error_of("a||1\n1\n") == "'1' follows the line of the nodes");
  CHECK(error_of("a||1\nb||1\n") == "'b||1' follows the line of the nodes");
  CHECK(error_of("a|b") == "'a|b' is not host|ip|port");
  CHECK(error_of("a||1|2") == "'a||1|2' is not host|ip|port");
  CHECK(error_of("a||1,b||1") == "'a||1,b||1' is not host|ip|port");
  CHECK(error_of("|10.0.0.1|1") == "'|10.0.0.1|1' has no valid host name or address in front");
  CHECK(error_of("a:1||1") == "'a:1||1' has no valid host name or address in front");
  CHECK(error_of("a/b||1") == "'a/b||1' has no valid host name or address in front");
  const std::string shown(80, 'h');
  CHECK(error_of(long_host(254)) ==
        "'" + shown + "...' has no valid host name or address in front");
  CHECK(error_of("a|10.0.0|1") == "'a|10.0.0|1' has no IP address in the middle");
  CHECK(error_of("a|b|1") == "'a|b|1' has no IP address in the middle");
  for (const char* port : {"", "0", "65536", "-1", "+1", "1x", "http", "99999999999"}) {
    const std::string node = std::string("a||") + port;
    CHECK(error_of(node) == "'" + node + "' has no port from 1 to 65535 at its end");
  }
  CHECK(error_of("a||1 b||1 a|10.0.0.1|1") == "'a|10.0.0.1|1' is in it twice");
  CHECK(error_of("a||1 a||2") == "");
  CHECK(error_of(std::string("a\0b||1", 6)) ==
        "'a?b||1' has no valid host name or address in front");
}

TEST_CASE("a list has so many nodes and no more") {
  std::string text;
  for (size_t i = 1; i <= kMaxClusterNodes; ++i) text += "h||" + std::to_string(i) + ' ';
  CHECK(parse_cluster_list(text).list.nodes.size() == kMaxClusterNodes);
  CHECK(error_of(text + "i||1") == "there are more than 1024 nodes in it");
}

TEST_CASE("a server is told what it is announced as") {
  const auto node = [](const char* text) {
    const ParsedClusterNode parsed = parse_announced(text);
    return parsed.error.empty() ? format_cluster_node(parsed.node) : parsed.error;
  };
  CHECK(node("cache1:11211") == "cache1||11211");
  CHECK(node("cache1|10.0.0.1:11211") == "cache1|10.0.0.1|11211");
  CHECK(node("10.0.0.1:1") == "10.0.0.1||1");
  CHECK(node("[::1]:65535") == "::1||65535");
  CHECK(node("cache1|::1:2") == "cache1|::1|2");
  CHECK(node("::1:2") == "'::1:2' needs brackets around its IPv6 address");
  for (const char* text : {"", "cache1", ":1", "cache1:", "cache1:0", "cache1:65536", "cache1:x",
                           "cache1|x:1", "cache1|10.0.0.1|1:1", "a b:1", "[]:1", "|10.0.0.1:1"}) {
    INFO(text);
    CHECK_FALSE(parse_announced(text).error.empty());
  }
}

}  // namespace
}  // namespace larder::daemon
