// Many clients whose requests are served in one pass of the worker.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

constexpr size_t kClients = 60;

Settings one_worker() {
  Settings settings = loopback_settings();
  settings.threads = 1;
  return settings;
}

// Keeps the worker busy for a moment, so that what the others ask meanwhile waits for one pass.
void keep_busy(WireClient& client) {
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "get nothing-of-this-name\r\n";
  client.send(lines);
}
void take_answers(WireClient& client) {
  const std::string answers = client.receive(1000 * 5);
  REQUIRE(answers.substr(answers.size() - 5) == "END\r\n");
}

}  // namespace

TEST_CASE("each of many clients gets its own replies") {
  TempServer server(one_worker());
  WireClient busy = server.connect();
  std::vector<WireClient> clients;
  for (size_t i = 0; i < kClients; ++i) clients.push_back(server.connect());
  for (size_t round = 0; round < 50; ++round) {
    keep_busy(busy);
    std::vector<std::string> values;
    for (size_t i = 0; i < kClients; ++i) {
      values.push_back(std::to_string(round) + "-" + std::to_string(i) + std::string(i * 7, 'v'));
      const std::string& value = values.back();
      const std::string key = "k" + std::to_string(i);
      clients[i].send("set " + key + " 0 0 " + std::to_string(value.size()) + "\r\n" + value +
                      "\r\nget " + key + "\r\n");
    }
    for (size_t i = 0; i < kClients; ++i) {
      const std::string expected = "STORED\r\nVALUE k" + std::to_string(i) + " 0 " +
                                   std::to_string(values[i].size()) + "\r\n" + values[i] +
                                   "\r\nEND\r\n";
      REQUIRE(clients[i].receive(expected.size()) == expected);
    }
    take_answers(busy);
  }
}

TEST_CASE("clients that go in the pass in which they are answered disturb nobody") {
  TempServer server(one_worker());
  WireClient busy = server.connect();
  for (size_t round = 0; round < 20; ++round) {
    std::vector<WireClient> clients;
    for (size_t i = 0; i < kClients; ++i) clients.push_back(server.connect());
    REQUIRE(clients.back().ask("mn\r\n", 4) == "MN\r\n");  // all of them are served by now
    keep_busy(busy);
    for (size_t i = 0; i < kClients; ++i) {
      clients[i].send(i % 3 == 0 ? "mn\r\nquit\r\n" : "mn\r\n");
    }
    std::vector<WireClient> left;
    for (size_t i = 0; i < kClients; ++i) {
      if (i % 3 != 1) left.push_back(std::move(clients[i]));
    }
    clients.clear();  // a third is gone before its answer comes
    for (WireClient& client : left) REQUIRE(client.receive(4) == "MN\r\n");
    take_answers(busy);
  }
}

TEST_CASE("short replies that nobody reads are kept whole and in order") {
  constexpr size_t kKeys = 16;
  TempServer server(one_worker());
  WireClient other = server.connect();
  std::vector<std::string> answers;
  for (size_t i = 0; i < kKeys; ++i) {
    const std::string key = "k" + std::to_string(i);
    const std::string value(900 + i, static_cast<char>('a' + i));
    const std::string head = " 0 " + std::to_string(value.size()) + "\r\n";
    other.send("set " + key + " 0" + head + value + "\r\n");
    REQUIRE(other.receive_line() == "STORED\r\n");
    answers.push_back("VALUE " + key + head + value + "\r\nEND\r\n");
  }
  WireClient silent = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  size_t asked = 0;
  REQUIRE(eventually([&] {
    for (int i = 0; i < 100; ++i, ++asked) {
      silent.send("get k" + std::to_string(asked % kKeys) + "\r\n");
      REQUIRE(other.ask("mn\r\n", 4) == "MN\r\n");  // so each is served by itself
    }
    return server.server().buffered_bytes() > 0;
  }));
  for (size_t i = 0; i < asked; ++i) {
    REQUIRE(silent.receive(answers[i % kKeys].size()) == answers[i % kKeys]);
  }
  CHECK(eventually([&] { return server.server().buffered_bytes() == 0; }));
}
