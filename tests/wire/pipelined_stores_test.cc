// Stores that come several in a packet: run together, answered one by one.
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::loopback_settings;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

std::string set_line(const std::string& key, const std::string& value,
                     const std::string& rest = "") {
  return "set " + key + " 7 0 " + std::to_string(value.size()) + rest + "\r\n" + value + "\r\n";
}

std::string value_reply(const std::string& key, const std::string& value) {
  return "VALUE " + key + " 7 " + std::to_string(value.size()) + "\r\n" + value + "\r\n";
}

}  // namespace

TEST_CASE("stores in a row see each other, whatever else stands between them") {
  TempServer server;
  WireClient client = server.connect();
  const std::string request =
      set_line("a", "1") + set_line("a", "22") + "get a\r\n" + "add a 0 0 1\r\nx\r\n" +
      "add b 7 0 3\r\n333\r\n" + "replace b 7 0 4\r\n4444\r\n" + "replace c 0 0 1\r\nx\r\n" +
      set_line("c", "q", " noreply") + set_line("d", "") + "append a 0 0 1\r\n!\r\n" +
      set_line("e", "5") + "mg a v\r\nincr e 3\r\n" + set_line("e", "9") + "delete e\r\n" +
      set_line("e", "6") + "get a b c d e\r\n";
  const std::string reply = "STORED\r\nSTORED\r\n" + value_reply("a", "22") + "END\r\n" +
                            "NOT_STORED\r\nSTORED\r\nSTORED\r\nNOT_STORED\r\nSTORED\r\n" +
                            "STORED\r\nSTORED\r\nVA 3\r\n22!\r\n8\r\nSTORED\r\nDELETED\r\n" +
                            "STORED\r\n" + value_reply("a", "22!") + value_reply("b", "4444") +
                            value_reply("c", "q") + value_reply("d", "") + value_reply("e", "6") +
                            "END\r\n";
  CHECK(client.answers(request, reply));
  // Cut anywhere: what has come is run, the rest goes on with the next packet.
  for (size_t cut = 1; cut < request.size(); ++cut) {
    CAPTURE(cut);
    REQUIRE(client.ask("flush_all\r\n", 4) == "OK\r\n");
    client.send(request.substr(0, cut));
    if (cut % 8 == 0) REQUIRE(server.connect().ask("mn\r\n", 4) == "MN\r\n");
    client.send(request.substr(cut));
    REQUIRE(client.receive(reply.size()) == reply);
  }
}

TEST_CASE("a refused store among others is answered in its place") {
  Settings settings = loopback_settings();
  settings.item_size_max = 1 << 20;
  TempServer server(settings);
  WireClient client = server.connect();
  const std::string long_key(251, 'k');
  const std::string large(2 << 20, 'v');
  const std::string medium(100'000, 'm');
  CHECK(client.answers(
      set_line("a", "1") + set_line(long_key, "2") + set_line("b", "3") +
          "set c 0 0 2\r\nabcd\r\n" + set_line("d", "4") + "set e 0 0 x\r\n" + set_line("f", "5"),
      "STORED\r\nCLIENT_ERROR bad command line format\r\nSTORED\r\n"
      "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\nSTORED\r\n"
      "CLIENT_ERROR bad command line format\r\nSTORED\r\n"));
  CHECK(client.answers(
      set_line("a", "1") + set_line("b", large) + set_line("c", medium) + set_line("d", "2"),
      "STORED\r\nSERVER_ERROR object too large for cache\r\nSTORED\r\nSTORED\r\n"));
  CHECK(client.answers("get a b c d\r\n", value_reply("a", "1") + value_reply("c", medium) +
                                              value_reply("d", "2") + "END\r\n"));
}

TEST_CASE("a command behind a store behind a refused line is answered as it was asked") {
  TempServer server;
  WireClient client = server.connect();
  const std::string refused = "CLIENT_ERROR invalid exptime argument\r\n";
  const std::string key = value_reply("k", "K");
  REQUIRE(client.answers(set_line("k", "K"), "STORED\r\n"));
  // The refused key begins like the command behind the store.
  CHECK(client.answers("gat x ge\r\n" + set_line("a", "1") + "get k\r\n",
                       refused + "STORED\r\n" + key + "END\r\n"));
  CHECK(client.answers("gat x ga\r\n" + set_line("a", "1") + "gat 0 k a k\r\n",
                       refused + "STORED\r\n" + key + value_reply("a", "1") + key + "END\r\n"));
  CHECK(client.answers("get ge" + std::string(250, 'l') + "\r\n" + set_line("a", "1") + "get k\r\n",
                       "CLIENT_ERROR bad command line format\r\nSTORED\r\n" + key + "END\r\n"));
  CHECK(client.answers("gat x mg\r\n" + set_line("a", "1", " noreply") + "mg k v\r\nmg a v\r\n",
                       refused + "VA 1\r\nK\r\nVA 1\r\n1\r\n"));
  CHECK(client.answers("gat x mn\r\n" + set_line("a", "1") + "mn\r\nversion\r\nmn\r\n",
                       refused + "STORED\r\nMN\r\nVERSION 1.6.45\r\nMN\r\n"));
}

TEST_CASE("more stores in a packet than are run together") {
  TempServer server;
  WireClient client = server.connect();
  std::string request;
  std::string reply;
  for (int i = 0; i < 500; ++i) {
    request += set_line("k" + std::to_string(i % 10), std::to_string(i));
    reply += "STORED\r\n";
  }
  CHECK(client.answers(request, reply));
  for (int i = 0; i < 10; ++i) {
    const std::string key = "k" + std::to_string(i);
    CHECK(client.answers("get " + key + "\r\n",
                         value_reply(key, std::to_string(490 + i)) + "END\r\n"));
  }
}

TEST_CASE("binary stores in a row") {
  TempServer server;
  WireClient client = server.connect();
  const auto store = [](char opcode, const std::string& key, const std::string& value) {
    std::string request("\x80", 1);
    request += opcode;
    request += {'\0', static_cast<char>(key.size()),
                8,    0,
                0,    0,
                0,    0,
                0,    static_cast<char>(8 + key.size() + value.size())};
    request += std::string(12 + 8, '\0') + key + value;
    return request;
  };
  const std::string noop = std::string("\x80\x0a", 2) + std::string(22, '\0');
  // Quiet sets of keys of several lengths, an add that fails, and a noop that ends it.
  client.send(store(0x11, "a", "1") + store(0x11, "bb", "22") + store(0x12, "a", "no") +
              store(0x11, "a", "333") + noop);
  const std::string failed = client.receive(24 + 20);  // Data exists for key.
  CHECK(failed.substr(0, 2) == "\x81\x12");
  CHECK(failed.substr(6, 2) == std::string("\0\x02", 2));
  CHECK(client.receive(24).substr(0, 2) == "\x81\x0a");
  WireClient text = server.connect();
  CHECK(text.answers("get a bb\r\n", "VALUE a 0 3\r\n333\r\nVALUE bb 0 2\r\n22\r\nEND\r\n"));
}

TEST_CASE(
    "a value that a reply refers to is whole whatever the stores behind it in the packet do") {
  Settings settings = loopback_settings();
  settings.threads = 1;
  TempServer server(settings);
  WireClient client = server.connect();
  // Above this a reply refers to the value. Stores behind it take its chunk as soon as the turn
  // ends.
  constexpr size_t kBytes = 1100;
  const auto store = [](const std::string& key, char fill) {
    return "set " + key + " 7 0 1100 noreply\r\n" + std::string(kBytes, fill) + "\r\n";
  };
  int wrong = 0;
  for (int round = 0; round < 120; ++round) {
    const std::string value(kBytes, static_cast<char>('a' + round % 26));
    std::string request = store("k", value[0]);
    // Rounds differ in how many chunks are retired already.
    for (int i = 0; i < round % 30; ++i) {
      request += store("f" + std::to_string(round) + "-" + std::to_string(i), 'F');
    }
    REQUIRE(client.answers(request + "mn\r\n", "MN\r\n"));
    request = "get k\r\n";
    for (int i = 0; i < 55; ++i) request += store("k", static_cast<char>('0' + i % 10));
    client.send(request + "mn\r\n");
    const std::string reply = value_reply("k", value) + "END\r\nMN\r\n";
    if (client.receive(reply.size()) != reply) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("increments of one counter by several clients all count") {
  TempServer server;
  WireClient client = server.connect();
  REQUIRE(client.ask_line("set n 0 0 20\r\n0                   ") == "STORED");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      WireClient own = server.connect();
      for (int round = 0; round < 100; ++round) {
        std::string request;
        for (int i = 0; i < 100; ++i) request += "incr n 1 noreply\r\n";
        (void)own.ask_line(request + "mn");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(client.ask_line("incr n 0") == "40000");
}
