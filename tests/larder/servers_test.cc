#include "tools/larder/servers.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

using namespace larder::operate;

namespace {

// A file that is gone with the test.
struct TemporaryFile {
  std::string path = std::filesystem::temp_directory_path() / "larder-servers-test";
  explicit TemporaryFile(const std::string& text) { std::ofstream(path) << text; }
  ~TemporaryFile() { std::remove(path.c_str()); }
};

}  // namespace

TEST_CASE("a server is a host, a port, a weight and a name") {
  const auto plain = parse_server("10.0.0.1:11211").node;
  REQUIRE(plain);
  CHECK(plain->host == "10.0.0.1");
  CHECK(plain->port == 11211);
  CHECK(plain->weight == 1);
  CHECK(plain->name.empty());
  const auto all = parse_server(" cache-3:65535:1000000 \t three/x:1 ").node;
  REQUIRE(all);
  CHECK(all->host == "cache-3");
  CHECK(all->port == 65535);
  CHECK(all->weight == 1'000'000);
  CHECK(all->name == "three/x:1");
}

TEST_CASE("an IPv6 address stands in brackets, and comes out so") {
  const auto node = parse_server("[fd00::1]:11211:2").node;
  REQUIRE(node);
  CHECK(node->host == "fd00::1");
  CHECK(node->weight == 2);
  CHECK(address_of(*node) == "[fd00::1]:11211");
  CHECK(address_of({"a", 1}) == "a:1");
  CHECK_FALSE(parse_server("fd00::1").node);
}

TEST_CASE("a name may have brackets, as spymemcached writes an IPv6 address") {
  const auto node = parse_server("[fd00::1]:11211 cache/[fd00:0:0:0:0:0:0:1]:11211").node;
  REQUIRE(node);
  CHECK(node->host == "fd00::1");
  CHECK(node->name == "cache/[fd00:0:0:0:0:0:0:1]:11211");
}

TEST_CASE("what begins with a slash is the path of a Unix socket, and comes out so") {
  const auto node = parse_server("/run/larder/a:b.sock").node;
  REQUIRE(node);
  CHECK(node->host == "/run/larder/a:b.sock");
  CHECK(node->port == 0);
  CHECK(is_socket(*node));
  CHECK(address_of(*node) == "/run/larder/a:b.sock");
  CHECK_FALSE(is_socket({"a", 1}));
  CHECK(parse_server("/run/a'b").error == "is a path with a character that is not taken here");
}

TEST_CASE("what is no server is refused with its fault") {
  for (const auto& [text, error] :
       {std::pair{"", "is not HOST:PORT[:WEIGHT]"},
        {"a", "is not HOST:PORT[:WEIGHT]"},
        {"[::1]", "is not HOST:PORT[:WEIGHT]"},
        {"[::1", "is not HOST:PORT[:WEIGHT]"},
        {":1", "has no host"},
        {"a'b:1", "has a host with a character that hosts do not have"},
        {"a:", "has no port from 1 to 65535"},
        {"a:0", "has no port from 1 to 65535"},
        {"a:65536", "has no port from 1 to 65535"},
        {"a:+1", "has no port from 1 to 65535"},
        {"a:1x", "has no port from 1 to 65535"},
        {"a:1:", "has no weight from 1 to 1000000"},
        {"a:1:0", "has no weight from 1 to 1000000"},
        {"a:1:1000001", "has no weight from 1 to 1000000"},
        {"a:1:1:1", "has no weight from 1 to 1000000"},
        {"a:1 b c", "has a name with other characters than a host's and brackets"},
        {"a[b]:1", "has a host with a character that hosts do not have"}}) {
    CAPTURE(text);
    const ServerResult result = parse_server(text);
    CHECK_FALSE(result.node);
    CHECK(result.error == error);
  }
}

TEST_CASE("a list has commas, and its order stays") {
  const ServersResult two = parse_servers("b:2, a:1:3 x");
  CHECK(two.error.empty());
  REQUIRE(two.nodes.size() == 2);
  CHECK(two.nodes[0].host == "b");
  CHECK(two.nodes[1].host == "a");
  CHECK(two.nodes[1].name == "x");
  CHECK(parse_servers("a:1,,b:1").error == "'' is not HOST:PORT[:WEIGHT]");
  CHECK(parse_servers("a:1,").error == "'' is not HOST:PORT[:WEIGHT]");
}

TEST_CASE("a file has a server a line, and comments") {
  const TemporaryFile file("# ours\n\na:1 # first\r\n  b:2:2 two\n#c:3\n");
  const ServersResult two = parse_servers("@" + file.path);
  CHECK(two.error.empty());
  REQUIRE(two.nodes.size() == 2);
  CHECK(two.nodes[0].host == "a");
  CHECK(two.nodes[0].name.empty());
  CHECK(two.nodes[1].weight == 2);
  CHECK(two.nodes[1].name == "two");
}

TEST_CASE("a file that cannot be used is named, with the line") {
  CHECK(parse_servers("@/nowhere").error == "cannot read the file '/nowhere'");
  CHECK_FALSE(parse_servers("@/").error.empty());  // a folder
  const TemporaryFile wrong("a:1\nb:x\n");
  CHECK(parse_servers("@" + wrong.path).error ==
        "'b:x' in line 2 of '" + wrong.path + "' has no port from 1 to 65535");
  const TemporaryFile empty("# nothing\n");
  CHECK(parse_servers("@" + empty.path).error == "the file '" + empty.path + "' names no server");
}
