// lru_crawler metadump and mgdump over real sockets: while others work, grow and replace, with
// clients that do not read or leave.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Dump;
using larder::daemon::Settings;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

// Stores `count` keys of this prefix, a few packets at a time.
void fill(WireClient& client, const std::string& prefix, int count, size_t value_bytes = 10) {
  const std::string value(value_bytes, 'v');
  std::string request;
  for (int i = 0; i < count; ++i) {
    request += "set " + prefix + std::to_string(i) + " 0 0 " + std::to_string(value_bytes) +
               " noreply\r\n" + value + "\r\n";
    if (request.size() > 50'000) {
      client.send(request);
      request.clear();
    }
  }
  client.send(request);
  REQUIRE(client.ask_line("mn") == "MN");
}

// The keys of an mgdump, which must be well formed; none may stand there twice.
std::set<std::string> keys_of(const std::string& dump) {
  REQUIRE(dump.starts_with("OK\r\n"));
  REQUIRE(dump.ends_with("\r\nEN\r\n"));
  std::set<std::string> keys;
  size_t twice = 0;
  size_t strange = 0;
  for (size_t at = 4; at < dump.size() - 4;) {
    const size_t end = dump.find("\r\n", at);
    strange += dump.compare(at, 3, "mg ") != 0;
    twice += !keys.insert(dump.substr(at + 3, end - at - 3)).second;
    at = end + 2;
  }
  CHECK(strange == 0);
  CHECK(twice == 0);
  return keys;
}

size_t missing(const std::set<std::string>& keys, const std::string& prefix, int count) {
  size_t missed = 0;
  for (int i = 0; i < count; ++i) missed += !keys.contains(prefix + std::to_string(i));
  return missed;
}

}  // namespace

TEST_CASE("a dump is whole and each key is in it once, while the table grows and keys change") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 256u << 20;
  TempServer server(settings);
  WireClient client = server.connect();
  constexpr int kKept = 50'000;
  fill(client, "kept", kKept);

  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w) {
    writers.emplace_back([&, w] {
      WireClient writer = server.connect();
      const std::string prefix = "new" + std::to_string(w) + "-";
      for (int round = 0; !stop && round < 200; ++round) {
        std::string request;
        for (int i = 0; i < 400; ++i) {
          request += "set " + prefix + std::to_string(round * 400 + i) + " 0 0 1 noreply\r\nx\r\n";
          const int again = (round * 401 + i * 97) % kKept;
          request += "set kept" + std::to_string(again) + " 0 0 " + std::to_string(i % 90) +
                     " noreply\r\n" + std::string(static_cast<size_t>(i % 90), 'y') + "\r\n";
        }
        writer.send(request);
        writer.ask_line("mn");
      }
    });
  }
  // Two at a time, on both workers.
  WireClient other = server.connect();
  for (int i = 0; i < 2; ++i) {
    client.send("lru_crawler mgdump all\r\n");
    other.send("lru_crawler mgdump hash\r\n");
    CHECK(missing(keys_of(client.receive_until("\r\nEN\r\n")), "kept", kKept) == 0);
    CHECK(missing(keys_of(other.receive_until("\r\nEN\r\n")), "kept", kKept) == 0);
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  CHECK(server.stat("lru_crawler_starts") == "4");
  CHECK(server.stat("lru_crawler_running") == "0");
  CHECK(client.ask_line("mn") == "MN");
}

TEST_CASE("a client that does not read its dump is bounded, and nobody waits for it") {
  Settings settings = loopback_settings();
  settings.threads = 1;
  TempServer server(settings);
  WireClient client = server.connect();
  fill(client, "some-rather-long-key-", 100'000);
  std::vector<WireClient> silent;
  for (int i = 0; i < 3; ++i) {
    silent.push_back(WireClient::over_tcp_with_small_buffer(server.port(), 4096));
    silent.back().send("lru_crawler metadump all\r\n");
  }
  REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  CHECK(server.stat("lru_crawler_running") == "1");
  for (int i = 0; i < 1'000; ++i) REQUIRE(client.ask_line("mn") == "MN");
  // What one has: a slice and the step that went beyond it.
  CHECK(server.server().buffered_bytes() < 3 * 4 * Dump::kSliceBytes);
  // Another dump passes them by.
  client.send("lru_crawler mgdump all\r\n");
  CHECK(keys_of(client.receive_until("\r\nEN\r\n")).size() == 100'000);
  // One reads after all, one leaves in the middle, one breaks off.
  const std::string late = silent[0].receive_until("END\r\n");
  CHECK(std::count(late.begin(), late.end(), '\n') == 100'000 + 2);
  silent[1].close();
  silent[2].reset();
  CHECK(eventually([&] { return server.stat("lru_crawler_running") == "0"; }));
  CHECK(eventually([&] { return server.server().buffered_bytes() == 0; }));
  CHECK(silent[0].ask_line("mn") == "MN");
}

TEST_CASE("requests of others are answered between the slices of a dump") {
  Settings settings = loopback_settings();
  settings.threads = 1;
  settings.memory_bytes = 256u << 20;
  TempServer server(settings);
  WireClient client = server.connect();
  fill(client, "key", 400'000);
  WireClient dumper = server.connect();
  std::string dump;
  std::thread reader([&] {
    dumper.send("lru_crawler metadump all\r\n");
    dump = dumper.receive_until("END\r\n");
  });
  REQUIRE(eventually([&] { return server.server().tuning().dumps_running > 0; }));
  int answered = 0;
  while (server.server().tuning().dumps_running > 0) {
    REQUIRE(client.ask_line("mn") == "MN");
    ++answered;
  }
  reader.join();
  CHECK(answered > 50);
  CHECK(std::count(dump.begin(), dump.end(), '\n') == 400'000 + 2);
}

TEST_CASE("commands behind a dump wait for its end, also when they come in pieces") {
  TempServer server;
  WireClient client = server.connect();
  fill(client, "key", 20'000);
  client.send("lru_crawler mgdump all\r\nset after 0 0 5\r\nhe");
  client.send("llo\r\nget aft");
  CHECK(keys_of(client.receive_until("\r\nEN\r\n")).size() == 20'000);
  CHECK(client.receive_line() == "STORED\r\n");
  client.send("er\r\n");
  CHECK(client.receive_until("END\r\n") == "VALUE after 0 5\r\nhello\r\nEND\r\n");
}

TEST_CASE("a client that has finished sending still gets its dump") {
  TempServer server;
  WireClient client = server.connect();
  fill(client, "key", 20'000);
  WireClient piped = server.connect();
  piped.send("lru_crawler mgdump all\r\n");
  piped.finish_sending();
  CHECK(keys_of(piped.receive_until_closed()).size() == 20'000);
}

TEST_CASE("a server stops in the middle of dumps") {
  std::vector<WireClient> clients;
  {
    TempServer server;
    WireClient client = server.connect();
    fill(client, "key", 100'000);
    for (int i = 0; i < 4; ++i) {
      clients.push_back(WireClient::over_tcp_with_small_buffer(server.port(), 4096));
      clients.back().send("lru_crawler metadump all\r\n");
    }
    REQUIRE(eventually([&] { return server.server().buffered_bytes() > 0; }));
  }
  for (WireClient& client : clients) client.receive_until_closed();
}

TEST_CASE("a crawl lets go what has expired, whatever ticks are due") {
  TempServer server;
  WireClient client = server.connect();
  client.send("set a 0 5 1 noreply\r\nx\r\nset b 0 0 1\r\nx\r\n");
  CHECK(client.receive_line() == "STORED\r\n");
  server.advance(10);
  CHECK(client.ask_line("lru_crawler crawl all") == "OK");
  CHECK(eventually([&] { return server.stat("crawler_reclaimed") == "1"; }));
  CHECK(server.stat("curr_items") == "1");
  CHECK(server.stat("lru_crawler_starts") == "1");
  CHECK(std::stoi(server.stat("crawler_items_checked")) >= 1);
}

TEST_CASE("a lowered memory limit is kept to, and a raised one used") {
  TempServer server;
  WireClient client = server.connect();
  fill(client, "key", 100'000, 400);
  const auto bytes = [&] { return std::stoull(server.stat("bytes")); };
  REQUIRE(bytes() > 30u << 20);
  CHECK(client.ask_line("cache_memlimit 16") == "OK");
  CHECK(server.stat("limit_maxbytes") == std::to_string(16u << 20));
  CHECK(eventually([&] { return bytes() < 16u << 20; }));
  CHECK(client.ask_line("cache_memlimit 128") == "OK");
  fill(client, "more", 200'000, 400);
  CHECK(bytes() > 80u << 20);
}
