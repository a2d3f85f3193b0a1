// ElastiCache's auto discovery over connections: config get, set and delete, in text and binary.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "proto/limits.h"
#include "tests/proto/binary_request.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/udp_client.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::proto::kMaxConfigBytes;
using larder::test::big_endian;
using larder::test::BinaryRequest;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::UdpClient;
using larder::test::WireClient;

namespace {

constexpr uint8_t kGet = 0x60;
constexpr uint8_t kSet = 0x64;
constexpr uint8_t kDelete = 0x66;

const std::string kTwo = "12\na|10.0.0.1|11211 b||11212\n";
const std::string kAskCluster = "config get cluster\r\n";

Settings settable() {
  Settings settings = loopback_settings();
  settings.allow_cluster_set = true;
  return settings;
}

std::string set_line(const std::string& block, const std::string& flags = "0") {
  return "config set cluster " + flags + " " + std::to_string(block.size()) + "\r\n" + block;
}

std::string config(const std::string& block, const std::string& flags = "0") {
  return "CONFIG cluster " + flags + " " + std::to_string(block.size()) + "\r\n" + block +
         "\r\nEND\r\n";
}

std::string binary_reply(uint8_t opcode, int status, const std::string& extras,
                         const std::string& value) {
  return "\x81" + big_endian(opcode, 1) + big_endian(0, 2) + big_endian(extras.size(), 1) +
         big_endian(0, 1) + big_endian(static_cast<uint64_t>(status), 2) +
         big_endian(extras.size() + value.size(), 4) + "\x01\x02\x03\x04" + big_endian(0, 8) +
         extras + value;
}

std::string binary_set(const std::string& block, const std::string& key = "cluster") {
  return BinaryRequest{.opcode = kSet, .key = key, .extras = big_endian(0, 4), .value = block}
      .bytes();
}

bool binary_answers(const TempServer& server, const std::string& request,
                    const std::string& reply) {
  WireClient client = server.connect();
  const std::string noop = BinaryRequest{.opcode = 0x0a}.bytes();
  const std::string noop_reply = binary_reply(0x0a, 0, "", "");
  const std::string all = reply + noop_reply;
  return client.ask(request + noop, all.size()) == all;
}

}  // namespace

TEST_CASE("without discovery config is as unknown as it is to memcached") {
  TempServer server;
  WireClient client = server.connect();
  CHECK(client.answers(kAskCluster, "ERROR\r\n"));
  CHECK(client.answers("config delete cluster\r\n", "ERROR\r\n"));
  CHECK(client.answers("config\r\n", "ERROR\r\n"));
  CHECK(client.answers(set_line(kTwo) + "\r\n", "ERROR\r\n"));
  for (const uint8_t opcode : {kGet, kDelete}) {
    CHECK(binary_answers(server, BinaryRequest{.opcode = opcode, .key = "cluster"}.bytes(),
                         binary_reply(opcode, 0x81, "", "Unknown command")));
  }
  CHECK(binary_answers(server, binary_set(kTwo), binary_reply(kSet, 0x81, "", "Unknown command")));
}

TEST_CASE("a list is set, told and deleted, in text") {
  TempServer server(settable());
  WireClient client = server.connect();
  CHECK(client.answers(kAskCluster, "END\r\n"));
  CHECK(client.answers("config delete cluster\r\n", "NOT_FOUND\r\n"));
  CHECK(client.answers(set_line(kTwo) + "\r\n", "STORED\r\n"));
  CHECK(client.answers(kAskCluster, config(kTwo)));
  CHECK(server.connect().answers(kAskCluster, config(kTwo)));  // of another worker, maybe
  CHECK(client.answers(set_line("13\nc||1\n", "7") + "\r\n", "STORED\r\n"));
  CHECK(client.answers(kAskCluster, config("13\nc||1\n", "7")));
  CHECK(client.answers("config delete cluster\r\n", "DELETED\r\n"));
  CHECK(client.answers(kAskCluster, "END\r\n"));
  CHECK(client.ask_line(set_line(kTwo)) ==
        "CLIENT_ERROR bad configuration: version 12 is not larger than the latest, 13");
  CHECK(client.answers(kAskCluster, "END\r\n"));
  // It is no item.
  CHECK(client.answers("get cluster AmazonElastiCache:cluster\r\n", "END\r\n"));
  CHECK(server.stat("curr_items") == "0");
}

TEST_CASE("after config delete a list can be set again, whatever version a client had set") {
  TempServer server(settable());
  WireClient client = server.connect();
  REQUIRE(client.answers(set_line("9007199254740991\na||1\n") + "\r\n", "STORED\r\n"));
  CHECK(client.ask_line(set_line(kTwo)).starts_with("CLIENT_ERROR bad configuration: version 12 "));
  REQUIRE(client.answers("config delete cluster\r\n", "DELETED\r\n"));
  CHECK(client.answers(set_line(kTwo) + "\r\n", "STORED\r\n"));
  CHECK(client.answers(kAskCluster, config(kTwo)));
}

TEST_CASE("a list is set, told and deleted, in binary") {
  TempServer server(settable());
  const std::string get = BinaryRequest{.opcode = kGet, .key = "cluster"}.bytes();
  const std::string remove = BinaryRequest{.opcode = kDelete, .key = "cluster"}.bytes();
  CHECK(binary_answers(server, get, binary_reply(kGet, 1, "", "Not found")));
  CHECK(binary_answers(server, remove, binary_reply(kDelete, 1, "", "Not found")));
  CHECK(binary_answers(server, binary_set(kTwo), binary_reply(kSet, 0, "", "")));
  CHECK(binary_answers(server, get, binary_reply(kGet, 0, big_endian(0, 4), kTwo)));
  CHECK(server.connect().answers(kAskCluster, config(kTwo)));
  CHECK(binary_answers(server, binary_set("12\nc||1\n"),
                       binary_reply(kSet, 4, "", "version 12 is not larger than the latest, 12")));
  CHECK(binary_answers(server, binary_set("c||1\n"),
                       binary_reply(kSet, 4, "", "there is no version before the nodes")));
  CHECK(binary_answers(server, binary_set(kTwo, "other"),
                       binary_reply(kSet, 4, "", "Invalid arguments")));
  CHECK(binary_answers(server, remove, binary_reply(kDelete, 0, "", "")));
  CHECK(binary_answers(server, get, binary_reply(kGet, 1, "", "Not found")));
  CHECK(binary_answers(server, BinaryRequest{.opcode = kGet, .key = "other"}.bytes(),
                       binary_reply(kGet, 1, "", "Not found")));
}

TEST_CASE("config set is refused for what it says, and what comes behind it is not") {
  TempServer server(settable());
  WireClient client = server.connect();
  REQUIRE(client.answers(set_line(kTwo) + "\r\n", "STORED\r\n"));
  const auto refused = [&](const std::string& request, const std::string& reply) {
    INFO(request.substr(0, 60));
    CHECK(client.answers(request + "\r\n", reply + "\r\n"));
    CHECK(client.answers(kAskCluster, config(kTwo)));
  };
  const std::string bad = "CLIENT_ERROR bad configuration: ";
  const std::string bad_line = "CLIENT_ERROR bad command line format";
  refused(set_line(""), bad + "there is no node in it");
  refused(set_line("13\n"), bad + "there is no node in it");
  refused(set_line("a||1"), bad + "there is no version before the nodes");
  refused(set_line("12\na||1\n"), bad + "version 12 is not larger than the latest, 12");
  refused(set_line("13\na|b|1"), bad + "'a|b|1' has no IP address in the middle");
  refused("config set other 0 5\r\nhello", "CLIENT_ERROR there is no configuration of this name");
  refused("config set cluster 0 5 noreply\r\nhello", bad_line);
  refused("config set cluster x 5\r\nhello", bad_line);
  refused("config set cluster 0 4\r\nhello", "CLIENT_ERROR bad data chunk\r\n" + bad_line);
  refused("config set cluster 0 x", bad_line);
  refused("config set cluster", bad_line);
  refused("config get", bad_line);
  refused("config get cluster noreply", bad_line);
  refused("config get " + std::string(251, 'k'), bad_line);
  refused("config get other", "END");
  refused("config delete other", "NOT_FOUND");
  refused("config delete cluster 0", bad_line);
  refused("config show cluster", "ERROR");
  CHECK(client.answers(set_line(kTwo) + "\r\n", "STORED\r\n"));  // once more the same
}

TEST_CASE("a block of config set has a size limit") {
  TempServer server(settable());
  WireClient client = server.connect();
  const std::string version = "1\n";
  const std::string nodes = "a||1\n";
  const std::string most =
      version + "#" + std::string(kMaxConfigBytes - 4 - nodes.size(), '-') + "\n" + nodes;
  REQUIRE(most.size() == kMaxConfigBytes);
  CHECK(client.answers(set_line(most) + "\r\n", "STORED\r\n"));
  CHECK(client.answers(kAskCluster, config("1\na||1\n")));
  CHECK(client.answers(set_line(most + "\n") + "\r\n",
                       "SERVER_ERROR object too large for cache\r\n"));
  CHECK(client.answers("config set cluster 0 10000000\r\n" + std::string(10'000'000, 'x') + "\r\n",
                       "SERVER_ERROR object too large for cache\r\n"));
  CHECK(binary_answers(server, binary_set(most + "\n"), binary_reply(kSet, 3, "", "Too large.")));
}

TEST_CASE("config goes in any company, however it is cut") {
  TempServer server(settable());
  std::string stream;
  std::string replies;
  for (int i = 1; i <= 3; ++i) {
    const std::string list = std::to_string(i) + "\na|10.0.0.1|" + std::to_string(i) + "\n";
    stream += "set k 0 0 1\r\nx\r\nget k\r\n" + set_line(list) + "\r\nget k n\r\n" + kAskCluster +
              "mg k v\r\nconfig set cluster 0 1\r\nx\r\nget k\r\n";
    replies += "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\nSTORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n" +
               config(list) +
               "VA 1\r\nx\r\nCLIENT_ERROR bad configuration: 'x' is not a version from 1 to "
               "9007199254740991\r\nVALUE k 0 1\r\nx\r\nEND\r\n";
  }
  stream += "config delete cluster\r\n" + kAskCluster;
  replies += "DELETED\r\nEND\r\n";
  // The versions have been used, and grow no more.
  WireClient first = server.connect();
  REQUIRE(first.ask(stream, replies.size()) == replies);
  for (size_t split = 1; split < stream.size(); split += 17) {
    INFO(split);
    TempServer fresh(settable());
    WireClient client = fresh.connect();
    client.send(stream.substr(0, split));
    client.send(stream.substr(split));
    REQUIRE(client.receive(replies.size()) == replies);
  }
  TempServer fresh(settable());
  WireClient client = fresh.connect();
  for (const char byte : stream) client.send({&byte, 1});
  CHECK(client.receive(replies.size()) == replies);
}

TEST_CASE("a long list is told whole, also to a client that takes its time") {
  TempServer server(settable());
  constexpr int kTimes = 200;
  std::string list = "1\n";
  for (int i = 1; i <= 500; ++i) {
    list += (i == 1 ? "" : " ") + std::string("cache-") + std::to_string(i) +
            ".example.com|10.0.0.1|11211";
  }
  list += '\n';
  REQUIRE(server.connect().ask_line(set_line(list)) == "STORED");
  WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  std::string asked;
  for (int i = 0; i < kTimes; ++i) asked += kAskCluster;
  slow.send(asked + "quit\r\n");
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  const std::string next = "2\na||1\n";
  REQUIRE(server.connect().ask_line(set_line(next)) == "STORED");
  const std::string received = slow.receive_until_closed();
  std::string_view got = received;
  int told = 0;
  for (const std::string& reply : {config(list), config(next)}) {
    for (; got.starts_with(reply); ++told) got.remove_prefix(reply.size());
  }
  CHECK(told == kTimes);
  CHECK(got.empty());
}

TEST_CASE("who has not authenticated is told no list") {
  TempFolder folder;
  std::ofstream(folder.file("users")) << "foo:bar\n";
  Settings settings = settable();
  settings.auth_file = folder.file("users");
  settings.protocol = Settings::Protocol::Ascii;
  TempServer server(settings);
  WireClient client = server.connect();
  CHECK(client.ask_line("config get cluster") == "CLIENT_ERROR unauthenticated");
  CHECK(client.ask_line("config delete cluster") == "CLIENT_ERROR unauthenticated");
  CHECK(client.ask_line("config set cluster 0 7") == "CLIENT_ERROR unauthenticated");
  CHECK(client.ask_line("set k 0 0 7\r\nfoo bar") == "STORED");
  CHECK(client.answers(set_line(kTwo) + "\r\n", "STORED\r\n"));
  CHECK(client.answers(kAskCluster, config(kTwo)));
}

TEST_CASE("discovery is for connections, not for datagrams") {
  Settings settings = settable();
  settings.udp_port = -1;
  TempServer server(settings);
  REQUIRE(server.connect().ask_line(set_line(kTwo)) == "STORED");
  UdpClient client(server.server().udp_port());
  CHECK(client.ask("config get cluster\r\n") == "ERROR\r\n");
  CHECK(client.ask("config delete cluster\r\nversion\r\n") == "ERROR\r\nVERSION 1.6.45\r\n");
  CHECK(server.connect().answers(kAskCluster, config(kTwo)));
}

TEST_CASE("a server tells the list in its file and follows it") {
  TempFolder folder;
  const std::string path = folder.file("nodes");
  const auto write = [&](const std::string& text) {
    std::ofstream(folder.file("draft")) << text;
    std::filesystem::rename(folder.file("draft"), path);
  };
  Settings settings = loopback_settings();
  settings.cluster_file = path;
  write(kTwo);
  TempServer server(settings);
  WireClient client = server.connect();
  const auto comes_to = [&](const std::string& block) {
    return eventually([&] {
      client.send(kAskCluster);
      return client.receive_until("END\r\n") == config(block);
    });
  };
  CHECK(client.answers(kAskCluster, config(kTwo)));
  CHECK(client.answers(set_line("20\nc||1\n") + "\r\n",
                       "CLIENT_ERROR config set and delete not allowed\r\n"));
  CHECK(client.answers("config delete cluster\r\n",
                       "CLIENT_ERROR config set and delete not allowed\r\n"));
  CHECK(binary_answers(server, binary_set("20\nc||1\n"),
                       binary_reply(kSet, 0x20, "", "Auth failure.")));
  CHECK(client.answers(kAskCluster, config(kTwo)));
  write("12\nc||1\n");
  CHECK(comes_to("13\nc||1\n"));
  write("30\na||1\n");
  CHECK(comes_to("30\na||1\n"));
  write("31\na|1\n");  // refused
  write("32\nb||1\n");
  CHECK(comes_to("32\nb||1\n"));
  SECTION("and reads it again on SIGHUP") {
    server.server().reload();
    CHECK(client.answers(kAskCluster, config("32\nb||1\n")));
    write("33\nc||1\n");
    server.server().reload();
    CHECK(client.answers(kAskCluster, config("33\nc||1\n")));
  }
}

TEST_CASE("of a file and config set the latest counts, and versions go on") {
  TempFolder folder;
  std::ofstream(folder.file("nodes")) << kTwo;
  Settings settings = settable();
  settings.cluster_file = folder.file("nodes");
  TempServer server(settings);
  WireClient client = server.connect();
  CHECK(client.answers(kAskCluster, config(kTwo)));
  CHECK(client.answers(set_line("20\nc||1\n") + "\r\n", "STORED\r\n"));
  CHECK(client.answers(kAskCluster, config("20\nc||1\n")));
  server.server().reload();
  CHECK(client.answers(kAskCluster, config("21\na|10.0.0.1|11211 b||11212\n")));
}
