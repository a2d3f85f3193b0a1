// Stores when memory is full.
#include <atomic>
#include <catch2/catch.hpp>
#include <random>
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

// Stores `total_bytes` of values of up to `longest` bytes in pipelines of `depth`; how many replies
// were not STORED.
int count_failures(TempServer& server, unsigned seed, size_t total_bytes, size_t longest,
                   int depth) {
  WireClient client = server.connect();
  std::mt19937 random(seed);
  const std::string text(longest, 'v');
  int failures = 0;
  for (size_t sent = 0; sent < total_bytes;) {
    std::string request;
    for (int i = 0; i < depth; ++i) {
      const size_t bytes = random() % longest;
      request += "set key" + std::to_string(random()) + " 0 0 " + std::to_string(bytes) + "\r\n";
      request.append(text, 0, bytes);
      request += "\r\n";
      sent += bytes;
    }
    client.send(request);
    for (int i = 0; i < depth; ++i) {
      if (client.receive_line() != "STORED\r\n") ++failures;
    }
  }
  return failures;
}

int count_refusals(const std::string& replies) {
  int refused = 0;
  for (size_t at = 0; (at = replies.find("SERVER_ERROR", at)) != std::string::npos; ++at) {
    ++refused;
  }
  return refused;
}

int count_failures_of_four(TempServer& server, size_t bytes_each, size_t longest, int depth) {
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back(
        [&, t] { failures += count_failures(server, t + 1, bytes_each, longest, depth); });
  }
  for (std::thread& thread : threads) thread.join();
  return failures;
}

// How many of the gets that take memory are refused while a lowered limit is reached.
int refused_while_limit_falls(bool meta) {
  Settings settings = loopback_settings();
  settings.memory_bytes = 200ull << 20;
  settings.threads = 2;
  TempServer server(settings);
  WireClient client = server.connect();
  WireClient operator_client = server.connect();
  REQUIRE(count_failures(server, 1, 240ull << 20, 8'000, 64) == 0);
  constexpr int kKeys = 20'000;
  std::string sets;
  for (int n = 0; n < kKeys; ++n) {
    sets += "set new-" + std::to_string(n) + " 0 0 10 noreply\r\n0123456789\r\n";
  }
  client.send(sets + "mn\r\n");
  REQUIRE(client.receive_line() == "MN\r\n");
  REQUIRE(operator_client.answers("cache_memlimit 64\r\n", "OK\r\n"));
  int refused = 0;
  for (int n = 0; n < kKeys;) {
    std::string gets;
    for (const int end = n + 500; n < end; ++n) {
      const std::string key = "new-" + std::to_string(n);
      gets += meta ? "mg " + key + " T1000\r\n" : "gat 1000 " + key + "\r\n";
    }
    client.send(gets + "mn\r\n");
    refused += count_refusals(client.receive_until("MN\r\n"));
  }
  return refused;
}

}  // namespace

TEST_CASE("no set fails while memory fills up and turns over, whatever the values' lengths") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 64ull << 20;
  settings.threads = 4;
  TempServer server(settings);
  CHECK(count_failures_of_four(server, 20 << 20, 300, 200) == 0);
  CHECK(count_failures_of_four(server, 32 << 20, 20'000, 50) == 0);
  CHECK(count_failures_of_four(server, 48 << 20, 900'000, 4) == 0);
  CHECK(count_failures_of_four(server, 8 << 20, 300, 200) == 0);
  CHECK(std::stoull(server.stat("evictions")) > 0);
  CHECK(std::stoull(server.stat("bytes")) <= 64u << 20);
}

TEST_CASE("one worker alone turns memory over within its own pipeline") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 64ull << 20;
  settings.threads = 1;
  TempServer server(settings);
  CHECK(count_failures(server, 1, 256 << 20, 200'000, 1'000) == 0);
}

TEST_CASE("with -M a full cache refuses, and goes on serving") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 64ull << 20;
  settings.evict = false;
  TempServer server(settings);
  WireClient client = server.connect();
  const std::string value(100'000, 'v');
  std::string last;
  for (int i = 0; i < 1'000 && last != "SERVER_ERROR out of memory storing object"; ++i) {
    last = client.ask_line("set k" + std::to_string(i) + " 0 0 100000\r\n" + value);
  }
  CHECK(last == "SERVER_ERROR out of memory storing object");
  CHECK(client.answers("mg k0\r\n", "HD\r\n"));
  CHECK(client.answers("delete k0\r\nset k0 0 0 1\r\n1\r\n", "DELETED\r\nSTORED\r\n"));
}

TEST_CASE("a gat that finds no memory is answered by one error and nothing else") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 8ull << 20;
  settings.evict = false;
  TempServer server(settings);
  WireClient client = server.connect();
  constexpr int kKeys = 300;
  const auto key = [](int n) { return "key-" + std::to_string(n); };
  const auto set = [](const std::string& name, size_t bytes) {
    return "set " + name + " 0 0 " + std::to_string(bytes) + "\r\n" + std::string(bytes, 'v') +
           "\r\n";
  };
  for (int n = 0; n < kKeys; ++n) {
    REQUIRE(client.answers(set(key(n), static_cast<size_t>(n)), "STORED\r\n"));
  }
  // No chunk of any class is free then.
  for (size_t bytes = 5'000; bytes > 0; bytes = bytes * 9 / 10) {
    for (int i = 0;; ++i) {
      const std::string name = "of-" + std::to_string(bytes) + "-" + std::to_string(i);
      client.send(set(name, bytes));
      if (client.receive_line() != "STORED\r\n") break;
    }
  }
  const auto ask = [&](const std::string& line) {
    client.send(line + "\r\nmn\r\n");
    return client.receive_until("MN\r\n");
  };
  const std::string refused = "SERVER_ERROR out of memory\r\nMN\r\n";
  std::string good;  // has room for an expiry from its first touch on
  std::string bad;   // needs a copy in a larger chunk for it
  for (int round = 0; round < 2; ++round) {
    for (int n = 0; n < kKeys; ++n) {
      const std::string reply = ask("gat 100 " + key(n));
      if (reply == refused) {
        bad = key(n);
      } else {
        REQUIRE(reply == "VALUE " + key(n) + " 0 " + std::to_string(n) + "\r\n" +
                             std::string(static_cast<size_t>(n), 'v') + "\r\nEND\r\nMN\r\n");
        good = key(n);
      }
    }
  }
  REQUIRE(!good.empty());
  REQUIRE(!bad.empty());
  const std::string too_long(251, 'k');
  for (const std::string& keys : {good + ' ' + bad, bad + ' ' + good, good + ' ' + bad + ' ' + good,
                                  bad + ' ' + bad, bad + ' ', bad + ' ' + good + "  ",
                                  bad + ' ' + too_long, bad + " no-key " + too_long + ' ' + bad}) {
    CAPTURE(keys);
    CHECK(ask("gat 100 " + keys) == refused);
    CHECK(ask("gats 100 " + keys) == refused);
  }
  // Of a line that takes several passes, what was sent before stays so.
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += ' ' + good;
  CHECK(ask("gat 100 " + bad + many) == refused);
  const std::string reply = ask("gat 100" + many + ' ' + bad + many);
  CHECK(reply.find("END") == std::string::npos);
  REQUIRE(reply.size() >= refused.size());
  CHECK(reply.substr(reply.size() - refused.size()) == refused);
  CHECK(ask("get no-key") == "END\r\nMN\r\n");
}

TEST_CASE("while a lowered limit is reached, gets that take memory are refused as rarely as sets") {
  const bool meta = GENERATE(false, true);
  // A get waits for memory for a second or two: too short where the machine has no time for the
  // server.
  int refused = refused_while_limit_falls(meta);
  for (int again = 0; refused > 0 && again < 2; ++again) refused = refused_while_limit_falls(meta);
  CHECK(refused == 0);
}

TEST_CASE(
    "in a full cache no get that takes memory is refused because many workers share few CPUs") {
  const bool meta = GENERATE(false, true);
  Settings settings = loopback_settings();
  settings.memory_bytes = 64ull << 20;
  settings.threads = 16;
  TempServer server(settings);
  REQUIRE(count_failures(server, 1, 90ull << 20, 8'000, 64) == 0);
  constexpr int kClients = 16;
  constexpr int kRounds = 4;
  constexpr int kKeys = 200;
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kClients; ++t) {
    threads.emplace_back([&, t] {
      WireClient client = server.connect();
      const std::string value(7'000, 'v');
      std::string sets;
      std::string gats;
      for (int n = 0; n < kKeys; ++n) {
        const std::string key = std::to_string(t) + '-' + std::to_string(n);
        sets += "set " + key + " 0 0 7000 noreply\r\n" + value + "\r\n";
        gats += meta ? "mg " + key + " T1000\r\n" : "gat 1000 " + key + "\r\n";
      }
      for (int round = 0; round < kRounds; ++round) {
        (void)client.ask(sets + "mn\r\n", 4);
        client.send(gats + "mn\r\n");
        refused += count_refusals(client.receive_until("MN\r\n"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(refused == 0);
}

TEST_CASE("in a full cache a value up to an eighth of the memory can be changed by a copy") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 64ull << 20;
  settings.item_size_max = 32u << 20;
  settings.threads = 1;
  TempServer server(settings);
  REQUIRE(count_failures(server, 1, 120'000'000, 2'000, 100) == 0);
  WireClient client = server.connect();
  const std::string value(8'000'000, 'v');
  REQUIRE(client.ask_line("set k 0 0 8000000\r\n" + value) == "STORED");
  CHECK(client.answers("touch k 100\r\n", "TOUCHED\r\n"));
  CHECK(client.answers("append k 0 0 4\r\ntail\r\n", "STORED\r\n"));
  CHECK(client.answers("md k I\r\n", "HD\r\n"));
}

TEST_CASE("a copy behind a reply that the client does not take yet waits until it does") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 64ull << 20;
  settings.item_size_max = 32u << 20;
  settings.threads = 1;
  TempServer server(settings);
  REQUIRE(count_failures(server, 1, 120'000'000, 2'000, 100) == 0);
  WireClient client = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  const std::string value(8'000'000, 'v');
  const auto change = GENERATE(std::make_pair("prepend k 0 0 4\r\nhead\r\n", "STORED\r\n"),
                               std::make_pair("md k I\r\n", "HD\r\n"));
  REQUIRE(client.ask_line("set k 0 0 8000000\r\n" + value) == "STORED");
  client.send("get k\r\n" + std::string(change.first) + "mn\r\n");
  WireClient other = server.connect();
  REQUIRE(eventually([&] { return server.stat("response_obj_count") == "1"; }));
  for (int i = 0; i < 20; ++i) REQUIRE(other.answers("get none\r\n", "END\r\n"));
  const std::string reply =
      "VALUE k 0 8000000\r\n" + value + "\r\nEND\r\n" + change.second + "MN\r\n";
  const std::string received = client.receive(reply.size());
  CHECK(received.substr(8'000'019) == reply.substr(8'000'019));
  CHECK((received == reply));
}

TEST_CASE("a copy of more than an eighth of the memory is refused at once, and the value stays") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 64ull << 20;
  settings.item_size_max = 32u << 20;
  settings.threads = 1;
  TempServer server(settings);
  REQUIRE(count_failures(server, 1, 120'000'000, 2'000, 100) == 0);
  WireClient client = server.connect();
  REQUIRE(client.ask_line("set k 0 0 9000000\r\n" + std::string(9'000'000, 'v')) == "STORED");
  const std::string refused = "SERVER_ERROR out of memory storing object\r\n";
  CHECK(client.answers("append k 0 0 1\r\nx\r\n", refused));
  CHECK(client.answers("prepend k 0 0 1\r\nx\r\n", refused));
  CHECK(client.answers("md k I\r\n", refused));
  CHECK(client.answers("touch k 100\r\n", "TOUCHED\r\n"));
  CHECK(client.answers("mg k s\r\n", "HD s9000000\r\n"));
}
