// Many commands at once, one byte at a time, and whatever lies between.
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::test::eventually;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

std::string key_of(size_t i) { return "key" + std::to_string(i); }

std::string binary_get(char opcode, const std::string& key) {
  std::string frame(24, '\0');
  frame[0] = '\x80';
  frame[1] = opcode;
  frame[3] = static_cast<char>(key.size());
  frame[11] = static_cast<char>(key.size());
  return frame + key;
}

}  // namespace

TEST_CASE("10,000 commands in one write are answered in order") {
  TempServer server;
  WireClient client = server.connect();
  std::string request, reply;
  for (size_t i = 0; i < 2'500; ++i) {
    const std::string n = std::to_string(i);
    request += "set " + key_of(i % 100) + " 0 0 " + std::to_string(n.size()) + "\r\n" + n + "\r\n";
    reply += "STORED\r\n";
    request += "get " + key_of(i % 100) + " none\r\n";
    reply +=
        "VALUE " + key_of(i % 100) + " 0 " + std::to_string(n.size()) + "\r\n" + n + "\r\nEND\r\n";
    request += "mg " + key_of(i % 100) + " v O" + n + "\r\n";
    reply += "VA " + std::to_string(n.size()) + " O" + n + "\r\n" + n + "\r\n";
    request += "delete none\r\n";
    reply += "NOT_FOUND\r\n";
  }
  CHECK(client.answers(request, reply));
}

TEST_CASE("a pipeline longer than the budget of one pass makes way for others") {
  TempServer server;
  WireClient busy = server.connect();
  std::string request;
  for (size_t i = 0; i < 5'000; ++i) request += "touch none 0\r\n";
  busy.send(request);
  CHECK(busy.receive(5'000 * 11).substr(0, 11) == "NOT_FOUND\r\n");
  CHECK(std::stoul(server.stat("conn_yields")) > 0);
  CHECK(busy.answers("get none\r\n", "END\r\n"));
}

TEST_CASE("a pipeline as clients send it is answered in one go") {
  TempServer server;
  WireClient client = server.connect();
  std::string request;
  for (size_t i = 0; i < 100; ++i) request += "set " + key_of(i) + " 0 0 1\r\n1\r\n";
  client.send(request);
  client.receive(100 * 8);
  CHECK(server.stat("conn_yields") == "0");
}

TEST_CASE("with -R a connection does so many requests at a time, a get line being one") {
  larder::daemon::Settings settings = larder::test::loopback_settings();
  settings.requests_per_event = 1;
  settings.requests_per_event_given = true;
  TempServer server(settings);
  WireClient client = server.connect();
  client.send("get a b c d e f\r\n");
  CHECK(client.receive(5) == "END\r\n");
  CHECK(server.stat("conn_yields") == "0");
  std::string request;
  for (int i = 0; i < 6; ++i) request += "touch none 0\r\n";
  client.send(request);
  client.receive(6 * 11);
  CHECK(std::stoul(server.stat("conn_yields")) == 5);
}

TEST_CASE("a get of 100,000 keys is answered as one") {
  TempServer server;
  WireClient client = server.connect();
  std::string stores, request = "get", reply;
  for (size_t i = 0; i < 100'000; ++i) {
    if (i % 3 == 0) {
      stores += "set " + key_of(i) + " 0 0 1 noreply\r\nx\r\n";
      reply += "VALUE " + key_of(i) + " 0 1\r\nx\r\n";
    }
    request += " " + key_of(i);
  }
  client.send(stores);
  CHECK(client.ask_line("mn") == "MN");
  CHECK(client.answers(request + "\r\n", reply + "END\r\n"));
}

TEST_CASE("a conversation means the same wherever it is cut") {
  TempServer server;
  const std::string request =
      "set a 1 0 5\r\nhello\r\nget a b a\r\nms m 3 T0 F2\r\nabc\r\nmg m v f\r\n"
      "mg bWV0YQ== b v\r\nappend a 0 0 2\r\n!!\r\ngets nokey\r\nincr a 1\r\nset big 0 0 9\r\n"
      "too long for it\r\nget a\r\nset q 0 0 1 noreply\r\n1\r\nget q\r\ndelete a\r\n";
  const std::string reply =
      "STORED\r\nVALUE a 1 5\r\nhello\r\nVALUE a 1 5\r\nhello\r\nEND\r\nHD\r\nVA 3 f2\r\nabc\r\n"
      "EN\r\nSTORED\r\nEND\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
      "CLIENT_ERROR bad data chunk\r\nERROR\r\nVALUE a 1 7\r\nhello!!\r\nEND\r\n"
      "VALUE q 0 1\r\n1\r\nEND\r\nDELETED\r\n";
  SECTION("at every point, in two") {
    WireClient client = server.connect();
    for (size_t cut = 1; cut < request.size(); ++cut) {
      CAPTURE(cut);
      client.send(request.substr(0, cut));
      // What can be answered before the cut must come without the rest; then the rest is sent.
      client.send(request.substr(cut));
      REQUIRE(client.receive(reply.size()) == reply);
    }
  }
  SECTION("byte by byte") {
    WireClient client = server.connect();
    for (const char c : request) client.send(std::string_view(&c, 1));
    CHECK(client.receive(reply.size()) == reply);
  }
  SECTION("at random") {
    std::mt19937 random(7);
    WireClient client = server.connect();
    for (int round = 0; round < 200; ++round) {
      for (size_t at = 0; at < request.size();) {
        const size_t bytes = std::min<size_t>(1 + random() % 40, request.size() - at);
        client.send(request.substr(at, bytes));
        at += bytes;
      }
      REQUIRE(client.receive(reply.size()) == reply);
    }
  }
}

TEST_CASE("replies before an unfinished value do not wait for it") {
  TempServer server;
  WireClient client = server.connect();
  client.send("get none\r\nset a 0 0 5\r\nab");
  CHECK(client.receive_line() == "END\r\n");
  client.send("cde\r");
  client.send("\n");
  CHECK(client.receive_line() == "STORED\r\n");
}

TEST_CASE("an error in a get takes back what the line has found, not what came before it") {
  TempServer server;
  WireClient client = server.connect();
  const std::string too_long(251, 'k');
  CHECK(client.answers("set a 0 0 1\r\n1\r\nget a\r\nget a a " + too_long + " a\r\nget a\r\n",
                       "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"
                       "CLIENT_ERROR bad command line format\r\nVALUE a 0 1\r\n1\r\nEND\r\n"));
}

TEST_CASE("binary gets in a row are one batch, answered in order") {
  TempServer server;
  WireClient text = server.connect();
  for (const char* key : {"k1", "k3"}) {
    text.ask_line(std::string("set ") + key + " 0 0 2\r\nvv");
  }
  WireClient client = server.connect();
  std::string request;
  for (int i = 0; i < 500; ++i) {
    for (const char* key : {"k1", "k2", "k3"}) request += binary_get('\x0d', key);
  }
  request += binary_get('\x0a', "");
  client.send(request);
  for (int i = 0; i < 500; ++i) {
    for (const char* key : {"k1", "k3"}) {
      const std::string frame = client.receive(24 + 4 + 2 + 2);
      REQUIRE(frame.substr(28, 4) == std::string(key) + "vv");
    }
  }
  CHECK(client.receive(24)[1] == '\x0a');
}

TEST_CASE("both protocols are spoken on one port, told apart by the first byte") {
  TempServer server;
  WireClient text = server.connect();
  WireClient binary = server.connect();
  CHECK(text.ask_line("version") == "VERSION 1.6.45");
  CHECK(binary.ask(binary_get('\x0b', ""), 30).substr(24) == "1.6.45");
}

TEST_CASE("-B ascii takes a binary request for a line, -B binary refuses text") {
  auto settings = larder::test::loopback_settings();
  settings.protocol = larder::daemon::Settings::Protocol::Ascii;
  TempServer ascii(settings);
  WireClient a = ascii.connect();
  CHECK(a.ask_line(binary_get('\x0b', "")) == "ERROR");
  settings.protocol = larder::daemon::Settings::Protocol::Binary;
  TempServer binary(settings);
  WireClient b = binary.connect();
  b.send("get aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
  b.receive_until_closed();
  WireClient c = binary.connect();
  CHECK(c.ask(binary_get('\x0b', ""), 30).substr(24) == "1.6.45");
}
