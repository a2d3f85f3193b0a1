// Clients that do not read, or slowly, and values too long for one send.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

std::string pattern(size_t bytes, size_t seed) {
  std::string text(bytes, 0);
  for (size_t i = 0; i < bytes; ++i)
    text[i] = static_cast<char>('a' + (i * 31 + seed + i / 977) % 26);
  return text;
}

void store(WireClient& client, const std::string& key, const std::string& value) {
  client.send("set " + key + " 0 0 " + std::to_string(value.size()) + "\r\n");
  client.send(value);
  client.send("\r\n");
  REQUIRE(client.receive_line() == "STORED\r\n");
}

std::string value_line(const std::string& key, const std::string& value) {
  return "VALUE " + key + " 0 " + std::to_string(value.size()) + "\r\n";
}

// For how long, in seconds, the server has seen nothing of a client; "gone" once it has closed it.
std::string idle_seconds(TempServer& server, const WireClient& client) {
  const std::string address = larder::daemon::local_address(client.fd());
  larder::proto::StatList rows;
  server.server().stats_conns(rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].second != address || !rows[i].first.ends_with(":addr")) continue;
    while (!rows[i].first.ends_with(":secs_since_last_cmd")) ++i;
    return rows[i].second;
  }
  return "gone";
}

}  // namespace

TEST_CASE("a client that never reads is bounded, and disturbs nobody") {
  Settings settings = loopback_settings();
  settings.buffer_limit_bytes = 8 << 20;
  settings.threads = 1;
  TempServer server(settings);
  WireClient writer = server.connect();
  const std::string value = pattern(1'000, 1);
  store(writer, "k", value);

  // Asks for 100 MB and takes nothing.
  WireClient silent = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  std::string request;
  for (int i = 0; i < 100'000; ++i) request += "get k\r\n";
  size_t sent = 0;
  REQUIRE(eventually([&] {
    sent += silent.send_some(std::string_view(request).substr(sent));
    return server.server().buffered_bytes() > 0;
  }));
  for (int i = 0; i < 1'000; ++i) {
    REQUIRE(
        writer.ask("get k\r\n", value_line("k", value).size() + value.size() + 7).substr(0, 5) ==
        "VALUE");
  }
  sent += silent.send_some(std::string_view(request).substr(sent));
  CHECK(server.server().buffered_bytes() < 4u << 20);

  // Now it reads after all: everything comes, in order.
  size_t replies = 0;
  while (replies < 100'000) {
    sent += silent.send_some(std::string_view(request).substr(sent));
    REQUIRE(silent.receive_line() == value_line("k", value));
    REQUIRE((silent.receive(value.size() + 7) == value + "\r\nEND\r\n"));
    ++replies;
  }
  CHECK(eventually([&] { return server.server().buffered_bytes() == 0; }));
}

TEST_CASE("clients that never read are turned off when the budget is used up") {
  Settings settings = loopback_settings();
  settings.buffer_limit_bytes = 4 << 20;
  TempServer server(settings);
  WireClient writer = server.connect();
  const std::string value = pattern(1'000'000, 2);
  store(writer, "k", value);
  std::vector<WireClient> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(WireClient::over_tcp_with_small_buffer(server.port(), 4096));
    silent.back().send("get k k k k\r\n");
  }
  REQUIRE(eventually([&] { return server.stat("response_obj_oom") != "0"; }));
  // A quarter of the cache may be pinned, and one reply more.
  CHECK(server.server().buffered_bytes() < settings.memory_bytes / 4 + 4'100'000);
  CHECK(writer.ask("get k\r\n", value_line("k", value).size() + value.size() + 7)
            .substr(value_line("k", value).size(), value.size()) == value);
  silent.clear();
  CHECK(eventually([&] { return server.server().buffered_bytes() == 0; }));
  CHECK(eventually([&] { return server.server().cache().totals().held_items == 0; }));
}

TEST_CASE("a long value goes out whole to a slow reader while its item is replaced") {
  TempServer server;
  WireClient writer = server.connect();
  const std::string value = pattern(1'000'000, 3);
  store(writer, "k", value);
  WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  slow.send("get k k k\r\n");
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  const std::string other = pattern(1'000'000, 99);
  for (int i = 0; i < 150; ++i) store(writer, "k" + std::to_string(i), other);
  store(writer, "k", other);
  CHECK(writer.ask_line("delete k") == "DELETED");
  for (int i = 0; i < 3; ++i) {
    REQUIRE(slow.receive_line() == value_line("k", value));
    REQUIRE((slow.receive(value.size() + 2) == value + "\r\n"));
  }
  CHECK(slow.receive_line() == "END\r\n");
  CHECK(eventually([&] { return server.server().cache().totals().held_items == 0; }));
}

TEST_CASE("replies that wait for their reader stay whole while a copy behind them needs memory") {
  Settings settings = loopback_settings();
  settings.threads = 2;
  settings.item_size_max = 32u << 20;
  settings.memory_bytes = 64ull << 20;
  TempServer server(settings);
  std::vector<std::string> versions;
  for (size_t n = 0; n < 8; ++n) versions.push_back(pattern(1'000'000, n));
  WireClient writer = server.connect();
  WireClient filler = server.connect();
  store(writer, "k", versions[0]);
  std::jthread others([&](const std::stop_token& stop) {
    for (size_t n = 0; !stop.stop_requested(); ++n) {
      writer.send("set k 0 0 1000000\r\n" + versions[n % versions.size()] + "\r\n");
      writer.receive_line();
    }
  });
  constexpr int kGets = 7;  // more than a socket takes, and fewer than a new client's first batch
  const std::string other(100'000, 'o');
  int torn = 0;
  int refused = 0;
  for (int round = 0; round < 20; ++round) {
    store(filler, "long", std::string(8'000'000, 'l'));
    // Memory is full again.
    for (int i = 0; i < 60; ++i) store(filler, "other" + std::to_string(round * 60 + i), other);
    WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 65'536);
    std::string request = "get";
    for (int i = 0; i < kGets; ++i) request += " k";
    slow.send(request + "\r\nappend long 0 0 4\r\ntail\r\n");
    for (int i = 0; i < kGets; ++i) {
      REQUIRE(slow.receive_line() == value_line("k", versions[0]));
      const std::string value = slow.receive(1'000'000);
      torn += std::find(versions.begin(), versions.end(), value) == versions.end();
      REQUIRE(slow.receive(2) == "\r\n");
    }
    REQUIRE(slow.receive_line() == "END\r\n");
    refused += slow.receive_line().starts_with("SERVER_ERROR out of memory");
  }
  CHECK(torn == 0);
  // Where no copy found memory missing, the case was not met: that depends on the machine.
  if (refused == 0) WARN("each copy found its memory at once");
}

TEST_CASE("a value of 100 MB is stored and sent to a slow reader, replaced meanwhile") {
  Settings settings = loopback_settings();
  settings.item_size_max = 128u << 20;
  settings.memory_bytes = 512ull << 20;
  TempServer server(settings);
  WireClient writer = server.connect();
  const std::string value = pattern(100'000'000, 4);
  store(writer, "k", value);
  WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 65536);
  slow.send("get k\r\n");
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  const std::string other = pattern(100'000'000, 5);
  store(writer, "k", other);
  REQUIRE(slow.receive_line() == value_line("k", value));
  for (size_t at = 0; at < value.size(); at += 1'000'000) {
    REQUIRE((slow.receive(1'000'000) == value.substr(at, 1'000'000)));
  }
  CHECK(slow.receive(7) == "\r\nEND\r\n");
  slow.send("get k\r\n");
  REQUIRE(slow.receive_line() == value_line("k", other));
  for (size_t at = 0; at < other.size(); at += 1'000'000) {
    REQUIRE((slow.receive(1'000'000) == other.substr(at, 1'000'000)));
  }
  CHECK(slow.receive(7) == "\r\nEND\r\n");
}

TEST_CASE("values of every length around the borders come back as they went in") {
  TempServer server;
  WireClient client = server.connect();
  for (const size_t bytes : {0, 1, 100, 1023, 1024, 4095, 16'383, 65'400, 65'535, 65'536, 65'537,
                             131'072, 262'143, 500'000, 524'288, 1'000'000, 1'048'000}) {
    CAPTURE(bytes);
    const std::string value = pattern(bytes, bytes);
    store(client, "k", value);
    REQUIRE(client.answers("get k\r\n", value_line("k", value) + value + "\r\nEND\r\n"));
  }
}

TEST_CASE("a value in pieces of every size arrives whole") {
  TempServer server;
  WireClient client = server.connect();
  const std::string value = pattern(200'000, 6);
  for (const size_t piece : {1'000, 4'096, 65'536, 70'000, 199'999}) {
    CAPTURE(piece);
    client.send("set k 0 0 200000\r\n");
    const std::string body = value + "\r\nget k\r\n";
    for (size_t at = 0; at < body.size(); at += piece) client.send(body.substr(at, piece));
    REQUIRE(client.receive_line() == "STORED\r\n");
    REQUIRE(client.receive(value_line("k", value).size() + value.size() + 7) ==
            value_line("k", value) + value + "\r\nEND\r\n");
  }
}

TEST_CASE("a large multiget to a slow reader is answered in order") {
  TempServer server;
  WireClient writer = server.connect();
  std::string request = "get";
  for (size_t i = 0; i < 40; ++i) {
    store(writer, "k" + std::to_string(i), pattern(300'000, i));
    request += " k" + std::to_string(i);
  }
  WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 16384);
  slow.send(request + "\r\nversion\r\n");
  for (size_t i = 0; i < 40; ++i) {
    const std::string value = pattern(300'000, i);
    REQUIRE(slow.receive_line() == value_line("k" + std::to_string(i), value));
    REQUIRE((slow.receive(value.size() + 2) == value + "\r\n"));
  }
  CHECK(slow.receive_line() == "END\r\n");
  CHECK(slow.receive_line() == "VERSION 1.6.45\r\n");
}

TEST_CASE("a client that leaves while replies wait for it leaves nothing behind") {
  TempServer server;
  WireClient writer = server.connect();
  store(writer, "k", pattern(1'000'000, 8));
  for (int i = 0; i < 20; ++i) {
    WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
    slow.send("get k k k k\r\nget k k");
    REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
    if (i % 2 == 0) slow.reset();
    slow.close();
    REQUIRE(eventually([&] { return server.server().buffered_bytes() == 0; }));
  }
  CHECK(server.server().cache().totals().held_items == 0);
}

TEST_CASE("the rest of a refused line is no command, also where replies before it are not taken") {
  TempServer server(loopback_settings());
  WireClient observer = server.connect();
  const std::string big(100'000, 'b');
  REQUIRE(observer.ask_line("set big 0 0 100000\r\n" + big) == "STORED");
  REQUIRE(observer.ask_line("set kept 0 0 1\r\n1") == "STORED");
  // With some number of replies the socket is full just before `stats`, which then has to wait.
  std::string gets;
  for (int n = 0; n < 60; ++n) {
    gets += "get big\r\n";
    WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 2048);
    slow.send(gets + "gat x flush_all\r\nstats\r\ngat 1 " + std::string(251, 'k') +
              " flush_all\r\nverbosity 1\r\nstats\r\nmn\r\n");
    REQUIRE(observer.answers("get none\r\n", "END\r\n"));
    (void)slow.receive_until("MN\r\n");
    REQUIRE(observer.answers("get kept\r\n", "VALUE kept 0 1\r\n1\r\nEND\r\n"));
  }
}

TEST_CASE("quit is obeyed after the replies before it have been taken") {
  TempServer server;
  WireClient writer = server.connect();
  const std::string value = pattern(1'000'000, 9);
  store(writer, "k", value);
  WireClient slow = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  slow.send("get k k k\r\nquit\r\n");
  const std::string one = value_line("k", value) + value + "\r\n";
  CHECK((slow.receive_until_closed() == one + one + one + "END\r\n"));
}

TEST_CASE("clients that never read do not cost a healthy one its answer") {
  Settings settings = loopback_settings();
  settings.threads = 1;
  settings.memory_bytes = 64u << 20;
  TempServer server(settings);
  WireClient writer = server.connect();
  std::string request = "get";
  size_t reply_bytes = 5;
  for (size_t i = 0; i < 8; ++i) {
    const std::string key = "k" + std::to_string(i);
    const std::string value = pattern(1'000'000, i);
    store(writer, key, value);
    request += " " + key;
    reply_bytes += value_line(key, value).size() + value.size() + 2;
  }
  std::vector<WireClient> silent;
  for (int i = 0; i < 70; ++i) {
    silent.push_back(WireClient::over_tcp_with_small_buffer(server.port(), 4096));
    silent.back().send(request + "\r\n");
  }
  REQUIRE(eventually([&] { return server.stat("response_obj_oom") != "0"; }));
  for (int i = 0; i < 20; ++i) {
    WireClient healthy = server.connect();
    const std::string reply = healthy.ask(request + "\r\n", reply_bytes);
    CHECK(reply.substr(reply.size() - 5) == "END\r\n");
  }
  // What they pin is bounded by a share of the cache, and one reply more.
  CHECK(server.server().buffered_bytes() <= (16u << 20) + reply_bytes);
}

TEST_CASE("with stalled_timeout a client is closed that takes nothing, and no other") {
  Settings settings = loopback_settings();
  settings.threads = 1;
  settings.stalled_timeout_seconds = 30;
  TempServer server(settings);
  server.server().clock().freeze();
  WireClient writer = server.connect();
  const std::string value = pattern(1'000'000, 1);
  store(writer, "k", value);
  WireClient silent = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  silent.send("get k k k k\r\n");
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  WireClient idle = server.connect();
  REQUIRE(idle.ask_line("mn") == "MN");
  server.advance(1);
  REQUIRE(eventually([&] { return idle_seconds(server, silent) == "0"; }));  // looked at once
  server.advance(40);
  REQUIRE(eventually([&] { return server.server().buffered_bytes() == 0; }));
  CHECK(idle.ask_line("mn") == "MN");
  CHECK(server.stat("curr_connections") == "3");  // writer, idle, and the one that asks
}

TEST_CASE("stalled_timeout leaves a client alone that reads less than its socket waits for") {
  Settings settings = loopback_settings();
  settings.threads = 1;
  settings.stalled_timeout_seconds = 30;
  TempServer server(settings);
  server.server().clock().freeze();
  WireClient writer = server.connect();
  const std::string value = pattern(1'000'000, 1);
  for (int i = 0; i < 8; ++i) store(writer, "k" + std::to_string(i), value);
  const auto ask_for_all = [&] {
    WireClient client = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
    client.send("get k0 k1 k2 k3 k4 k5 k6 k7\r\n");
    return client;
  };
  WireClient steady = ask_for_all();
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  const uint64_t waits = server.server().buffered_bytes();
  WireClient silent = ask_for_all();
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > waits; }));
  const uint64_t both_wait = server.server().buffered_bytes();
  server.advance(1);
  REQUIRE(eventually(
      [&] { return idle_seconds(server, steady) == "0" && idle_seconds(server, silent) == "0"; }));

  const std::string first = value_line("k0", value) + value;
  size_t read = 0;
  for (int i = 0; i < 5; ++i) {
    constexpr size_t kRead = 20'000;
    REQUIRE((steady.receive(kRead) == first.substr(read, kRead)));
    read += kRead;
    server.advance(20);
    REQUIRE(eventually([&] { return idle_seconds(server, steady) == "0"; }));
  }
  // The other one took nothing for 30 seconds, and the socket of this one no byte all the time.
  CHECK(eventually([&] { return idle_seconds(server, silent) == "gone"; }));
  CHECK(server.server().buffered_bytes() == both_wait - waits);
  writer.send("stats larder\r\n");
  CHECK(writer.receive_until("END\r\n").find("STAT stalled_kicks 1\r\n") != std::string::npos);
  REQUIRE((steady.receive(first.size() - read) == first.substr(read)));
}

TEST_CASE("half-sent sets of what fits a chunk cost the others no item") {
  const auto items_beside = [](size_t half_sent) {
    Settings settings = loopback_settings();
    settings.threads = 1;
    settings.memory_bytes = 8u << 20;
    TempServer server(settings);
    std::vector<WireClient> clients;
    for (size_t i = 0; i < half_sent; ++i) {
      clients.push_back(server.connect());
      const std::string bytes = std::to_string(10 + i * 7);  // of many size classes
      clients.back().send("set half" + std::to_string(i) + " 0 0 " + bytes + "\r\nx");
    }
    REQUIRE(eventually(
        [&] { return half_sent == 0 || server.server().buffered_bytes() > half_sent * 10; }));
    WireClient writer = server.connect();
    const std::string value = pattern(1'000, 5);
    for (int i = 0; i < 15'000; ++i) {
      writer.send("set key" + std::to_string(i) + " 0 0 1000 noreply\r\n" + value + "\r\n");
    }
    REQUIRE(writer.ask_line("mn") == "MN");
    CHECK(server.server().cache().draft_bytes() == 0);
    const uint64_t items = server.server().cache().totals().items;
    // They go on where they were.
    for (size_t i = 0; i < clients.size(); i += 50) {
      clients[i].send(std::string(10 + i * 7 - 1, 'x') + "\r\n");
      CHECK(clients[i].receive_line() == "STORED\r\n");
    }
    clients.clear();
    CHECK(eventually([&] { return server.server().buffered_bytes() == 0; }));
    return items;
  };
  const uint64_t alone = items_beside(0);
  const uint64_t beside = items_beside(700);
  CHECK(beside * 100 >= alone * 99);
}
