// Datagrams: what is answered, with how many, and what is dropped without a trace.
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "tests/support/temp_server.h"
#include "tests/support/udp_client.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::daemon::UdpMessage;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempServer;
using larder::test::UdpClient;
using larder::test::WireClient;

namespace {

Settings with_udp() {
  Settings settings = loopback_settings();
  settings.udp_port = -1;
  return settings;
}

struct UdpServer : TempServer {
  explicit UdpServer(const Settings& settings = with_udp()) : TempServer(settings) {}
  UdpClient udp() { return UdpClient(server().udp_port()); }
};

std::string binary_get(const std::string& key, unsigned char opcode = 0x00) {
  std::string request(24, '\0');
  request[0] = '\x80';
  request[1] = static_cast<char>(opcode);
  request[3] = request[11] = static_cast<char>(key.size());
  return request.append(key);
}

}  // namespace

TEST_CASE("a datagram is a request, of any dialect, and has one reply") {
  UdpServer server;
  UdpClient client = server.udp();
  CHECK(client.ask("set a 5 0 3\r\nabc\r\n") == "STORED\r\n");
  CHECK(client.ask("get a\r\n") == "VALUE a 5 3\r\nabc\r\nEND\r\n");
  CHECK(client.ask("mg a v f\r\n") == "VA 3 f5\r\nabc\r\n");
  CHECK(client.ask("append a 0 0 1\r\nd\r\nincr n 1\r\nget a b a\r\n") ==
        "STORED\r\nNOT_FOUND\r\nVALUE a 5 4\r\nabcd\r\nVALUE a 5 4\r\nabcd\r\nEND\r\n");
  CHECK(client.ask("set b 0 0 1 noreply\r\nx\r\nget b\r\n") == "VALUE b 0 1\r\nx\r\nEND\r\n");
  const std::string binary = client.ask(binary_get("b"));
  REQUIRE(binary.size() == 29);
  CHECK(binary[0] == '\x81');
  CHECK(binary.back() == 'x');
  // Any client sees what another has stored, over TCP, too.
  CHECK(server.connect().answers("get b\r\n", "VALUE b 0 1\r\nx\r\nEND\r\n"));
  CHECK(server.udp().ask("get b\r\n") == "VALUE b 0 1\r\nx\r\nEND\r\n");
}

TEST_CASE("a long reply comes in numbered datagrams of 1400 bytes") {
  UdpServer server;
  WireClient writer = server.connect();
  UdpClient client = server.udp();
  for (const size_t bytes : {1'300, 20'000, 65'000, 100'000}) {
    std::string value(bytes, '\0');
    std::mt19937 random(1);
    for (char& c : value) c = static_cast<char>(random());
    const std::string length = std::to_string(bytes);
    REQUIRE(writer.ask_line("set k 0 0 " + length + "\r\n" + value) == "STORED");
    const std::string reply = "VALUE k 0 " + length + "\r\n" + value + "\r\nEND\r\n";
    CHECK(client.ask("get k\r\n") == reply);
    CHECK(client.datagrams() ==
          (reply.size() + UdpMessage::kDataBytes - 1) / UdpMessage::kDataBytes);
  }
  CHECK(client.ask("stats\r\n").ends_with("END\r\n"));
  CHECK(client.datagrams() > 1);
}

TEST_CASE("a value that fills a datagram can be stored with it") {
  UdpServer server;
  UdpClient client = server.udp();
  const std::string value(65'000, 'v');
  CHECK(client.ask("set k 0 0 65000\r\n" + value + "\r\n") == "STORED\r\n");
  CHECK(client.ask("get k\r\n") == "VALUE k 0 65000\r\n" + value + "\r\nEND\r\n");
}

TEST_CASE("datagrams that are no whole request are dropped") {
  UdpServer server;
  UdpClient client = server.udp();
  CHECK(client.ask("set k 0 0 3\r\nold\r\n") == "STORED\r\n");
  SECTION("without a whole header, or with nothing behind it") {
    for (size_t bytes = 0; bytes <= 8; ++bytes) {
      client.send_raw(std::string_view("\0\1\0\0\0\1\0\0", 8).substr(0, bytes));
    }
  }
  SECTION("one of several") {
    client.send("get k\r\n", {1, 0, 0});
    client.send("get k\r\n", {1, 0, 2});
    client.send("get k\r\n", {1, 1, 2});
    client.send("get k\r\n", {1, 0, 0x0101});
  }
  SECTION("a line without its end") {
    client.send("get k", {1, 0, 1});
    client.send(std::string(60'000, 'x'), {1, 0, 1});
  }
  SECTION("a value that is not all there") {
    client.send("set k 0 0 3\r\n", {1, 0, 1});
    client.send("set k 0 0 3\r\nne", {1, 0, 1});
    client.send("set k 0 0 3\r\nnew\r", {1, 0, 1});
    client.send("set k 0 0 99999999\r\nnew\r\n", {1, 0, 1});
    client.send("ms k 100\r\nnew\r\nget k\r\n", {1, 0, 1});
  }
  SECTION("a binary request that is not all there") {
    const std::string whole = binary_get("k");
    for (size_t bytes = 1; bytes < whole.size(); ++bytes) {
      client.send(whole.substr(0, bytes), {1, 0, 1});
    }
  }
  SECTION("what answers nothing") {
    client.send("quit\r\n", {1, 0, 1});
    client.send("set other 0 0 3 noreply\r\nnew\r\n", {1, 0, 1});
    client.send(binary_get("nothing", 0x09), {1, 0, 1});  // getq
  }
  CHECK(client.nothing_comes());
  CHECK(client.ask("get k\r\n") == "VALUE k 0 3\r\nold\r\nEND\r\n");
}

TEST_CASE("of a datagram that ends too early what is whole is answered") {
  UdpServer server;
  UdpClient client = server.udp();
  CHECK(client.ask("set k 0 0 1\r\nx\r\nset k 0 0 1\r\n") == "STORED\r\n");
  CHECK(client.ask("get k\r\nget k") == "VALUE k 0 1\r\nx\r\nEND\r\n");
  CHECK(client.ask("get k\r\nquit\r\nget k\r\n") == "VALUE k 0 1\r\nx\r\nEND\r\n");
  CHECK(client.ask(binary_get("k") + binary_get("k").substr(0, 20)).size() == 29);
}

TEST_CASE("the sequence number and what is reserved are not looked at") {
  UdpServer server;
  UdpClient client = server.udp();
  constexpr std::string_view kDatagram("\xff\xff\0\7\0\1\1\2version\r\n", 17);
  client.send_raw(kDatagram);
  CHECK_THROWS_WITH(client.ask("mn\r\n"), "a reply to something else came");
}

TEST_CASE("errors are answered, and the datagram goes on behind them") {
  UdpServer server;
  UdpClient client = server.udp();
  CHECK(client.ask("watch\r\nmn\r\n") == "ERROR\r\nMN\r\n");  // there is nobody to show anything
  CHECK(client.ask("get a " + std::string(251, 'k') + "\r\nmn\r\n") ==
        "CLIENT_ERROR bad command line format\r\nMN\r\n");
  CHECK(client.ask("set k 0 0 1\r\nabc\r\n").starts_with("CLIENT_ERROR bad data chunk\r\n"));
  CHECK(client.ask("set k 0 x 1\r\na\r\nmn\r\n").ends_with("MN\r\n"));
}

TEST_CASE("an unknown command is not answered, and nothing behind it is done") {
  UdpServer server;
  UdpClient client = server.udp();
  for (const std::string word : {"nonsense",
                                 "5",
                                 "",
                                 "ERROR",
                                 "CLIENT_ERROR bad",
                                 "SERVER_ERROR out",
                                 "VALUE k 0 1",
                                 "STORED",
                                 "NOT_STORED",
                                 "EXISTS",
                                 "NOT_FOUND",
                                 "DELETED",
                                 "TOUCHED",
                                 "OK",
                                 "RESET",
                                 "BUSY",
                                 "END",
                                 "STAT pid 1",
                                 "VERSION 1",
                                 "HD",
                                 "VA 1",
                                 "EN",
                                 "NS",
                                 "NF",
                                 "EX",
                                 "MN",
                                 "ME k",
                                 "17"}) {
    INFO(word);
    client.send(word + "\r\nset k 0 0 1\r\nx\r\nget k\r\n", {1, 0, 1});
    CHECK(client.nothing_comes());
  }
  CHECK(client.ask("mn\r\nnonsense\r\nset k 0 0 1\r\nx\r\n") == "MN\r\n");
  std::string response = binary_get("k");
  response[0] = '\x81';
  client.send(response, {1, 0, 1});
  client.send(response + "\r\nget k\r\n", {1, 0, 1});
  CHECK(client.nothing_comes());
  CHECK(client.ask("get k\r\n") == "END\r\n");
  // An opcode that nobody knows is a request all the same: its reply has another magic.
  CHECK(client.ask(binary_get("k", 0xfe)).starts_with("\x81\xfe"));
}

// A datagram with a forged sender makes one server answer another one. What goes to and fro is
// carried by the test: a forged sender takes privileges.
TEST_CASE("two servers that are made to talk to each other fall silent at once") {
  UdpServer one;
  UdpServer other;
  UdpClient to_one = one.udp();
  UdpClient to_other = other.udp();
  const std::string longer = std::string(300, 'v');
  for (UdpClient* client : {&to_one, &to_other}) {
    REQUIRE(client->ask("set k 0 0 1\r\nx\r\nset n 0 0 1\r\n5\r\n") == "STORED\r\nSTORED\r\n");
    // A value that looks like requests.
    REQUIRE(client->ask("set evil 0 0 35\r\nget k\r\nget evil\r\nmn\r\nget evil\r\nmn\r\n\r\n") ==
            "STORED\r\n");
  }
  const std::string header("\0\1\0\0\0\1\0\0", 8);
  for (const std::string& request : {std::string("get k\r\n"),
                                     std::string("gets k n\r\n"),
                                     std::string("get none\r\n"),
                                     std::string("get evil\r\n"),
                                     std::string("mg evil v\r\n"),
                                     std::string("mg k k\r\n"),
                                     std::string("mg none v\r\n"),
                                     std::string("me k\r\n"),
                                     std::string("md none\r\n"),
                                     std::string("ms k 1\r\nx\r\n"),
                                     std::string("ma n v\r\n"),
                                     std::string("mn\r\n"),
                                     std::string("set k 0 0 1\r\nx\r\n"),
                                     std::string("add k 0 0 1\r\nx\r\n"),
                                     std::string("set k 0 0 1\r\nxyz\r\n"),
                                     std::string("set k 0 0 x\r\n"),
                                     std::string("incr n 1\r\n"),
                                     std::string("incr none 1\r\n"),
                                     std::string("incr evil 1\r\n"),
                                     std::string("delete none\r\n"),
                                     std::string("touch k 0\r\n"),
                                     std::string("version\r\n"),
                                     std::string("verbosity 0\r\n"),
                                     std::string("stats reset\r\n"),
                                     std::string("stats nonsense\r\n"),
                                     std::string("stats detail dump\r\n"),
                                     std::string("stats sizes\r\n"),
                                     std::string("watch\r\n"),
                                     std::string("config get cluster\r\n"),
                                     std::string("lru_crawler metadump all\r\n"),
                                     std::string("lru_crawler crawl all\r\n"),
                                     std::string("slabs reassign 1 1\r\n"),
                                     std::string("lru mode flat\r\n"),
                                     std::string("refresh_certs\r\n"),
                                     std::string("shutdown\r\n"),
                                     std::string("cache_memlimit 1\r\n"),
                                     std::string("nonsense\r\n"),
                                     std::string("get ") + longer + "\r\n",
                                     binary_get("k"),
                                     binary_get("evil"),
                                     binary_get("none"),
                                     binary_get("k", 0xfe)}) {
    INFO(request.substr(0, 40));
    size_t answers = 0;
    for (const std::string& reply : to_one.exchange(header + request)) {
      for (const std::string& answer : to_other.exchange(reply)) {
        ++answers;
        answers += to_one.exchange(answer).size();
      }
    }
    CHECK(answers == 0);
  }
}

TEST_CASE("nothing can be watched over datagrams") {
  UdpServer server;
  UdpClient client = server.udp();
  for (int i = 0; i < 21; ++i) {
    CHECK(client.ask("watch\r\n") == "ERROR\r\n");
  }
  WireClient watcher = server.connect();
  CHECK(watcher.ask_line("watch") == "OK");
  CHECK(client.ask("mg seen\r\n") == "EN\r\n");
  CHECK(watcher.receive_until("\n").find(" type=item_get key=seen ") != std::string::npos);
}

TEST_CASE("a reply is not longer than the longest value") {
  UdpServer server;
  WireClient writer = server.connect();
  UdpClient client = server.udp();
  const std::string value(600'000, 'v');
  REQUIRE(writer.ask_line("set k 0 0 600000\r\n" + value) == "STORED");
  CHECK(client.ask("get k k\r\nget k\r\n") ==
        "SERVER_ERROR out of memory writing get response\r\n");
  CHECK(client.ask("mn\r\nmg k v\r\nmg k v\r\nmn\r\n") ==
        "SERVER_ERROR out of memory writing get response\r\n");
  const std::string refusal = client.ask(binary_get("k") + binary_get("k"));
  REQUIRE(refusal.size() >= 24);
  CHECK(refusal.substr(6, 2) == std::string("\0\x82", 2));
  CHECK(client.nothing_comes());
}

TEST_CASE("datagrams of noise neither end the server nor stay in it") {
  UdpServer server;
  UdpClient client = server.udp();
  std::mt19937 random(7);
  const std::string words[] = {"get ",   "set ",    "k ",     "0 ",  "5 ",    "\r\n",
                               "mg ",    "ms ",     "\x80",   "v ",  "abcde", "gat ",
                               "stats ", "noreply", "touch ", "quit"};
  for (int i = 0; i < 2000; ++i) {
    std::string request;
    for (size_t n = random() % 12; n > 0; --n) request += words[random() % std::size(words)];
    if (random() % 4 == 0) request += static_cast<char>(random());
    client.send(request, {1, 0, 1});
    if (i % 50 == 0) {
      WireClient judge = server.connect();
      REQUIRE(judge.answers("mn\r\n", "MN\r\n"));
    }
  }
  CHECK(server.udp().ask("mn\r\n") == "MN\r\n");
  CHECK(server.server().buffered_bytes() == 0);
}

TEST_CASE("UDP ports are counted and shown as memcached does") {
  UdpServer server;
  // Two workers, and who asks; who asked before may not be gone at once.
  CHECK(eventually([&] { return server.stat("curr_connections") == "3"; }));
  CHECK(eventually([&] { return server.stat("connection_structures") == "3"; }));
  UdpClient client = server.udp();
  const std::string port = std::to_string(server.server().udp_port());
  const std::string settings = client.ask("stats settings\r\n");
  CHECK(settings.find("STAT udpport " + port + "\r\n") != std::string::npos);
  CHECK(settings.find("STAT num_threads_per_udp 2\r\n") != std::string::npos);

  const std::string asked = client.ask("stats conns\r\n");
  CHECK(asked.find(":UDP UDP\r\n") != std::string::npos);
  CHECK(asked.find(":listen_addr udp:127.0.0.1:" + port + "\r\n") != std::string::npos);
  CHECK(asked.find(":state conn_parse_cmd\r\n") != std::string::npos);
  CHECK(asked.find(":addr udp:127.0.0.1:" + port + "\r\n") != std::string::npos);  // the other

  WireClient observer = server.connect();
  observer.send("stats conns\r\n");
  const std::string seen = observer.receive_until("END\r\n");
  CHECK(seen.find(":addr udp:127.0.0.1:" + port + "\r\n") != std::string::npos);
  CHECK(seen.find(":listen_addr udp:") == std::string::npos);
  CHECK(seen.find(":state conn_read\r\n") != std::string::npos);
  const auto count = [](const std::string& stat) { return std::stoull(stat); };
  CHECK(count(server.stat("bytes_read")) > 0);
  CHECK(count(server.stat("bytes_written")) > asked.size());
}

TEST_CASE("requests in datagrams are sampled like others") {
  Settings settings = with_udp();
  settings.threads = 1;
  UdpServer server(settings);
  UdpClient client = server.udp();
  for (int i = 0; i < 1000; ++i) REQUIRE(client.ask("get user:1\r\n") == "END\r\n");
  for (int i = 0; i < 1000; ++i) REQUIRE(client.ask("delete shop:1\r\n") == "NOT_FOUND\r\n");
  WireClient watcher = server.connect();
  watcher.send("stats latency\r\n");
  const std::string latency = watcher.receive_until("END\r\n");
  CHECK(latency.find("STAT get:p99_us ") != std::string::npos);
  CHECK(latency.find("STAT delete:p99_us ") != std::string::npos);
  CHECK(eventually([&] {
    watcher.send("stats hotkeys\r\n");
    return watcher.receive_until("END\r\n").find("STAT hotkey:user:1 share 0.") !=
           std::string::npos;
  }));
}

TEST_CASE("UDP alone is enough to serve") {
  Settings settings = with_udp();
  settings.port = 0;
  UdpServer server(settings);
  CHECK(server.server().listeners().empty());
  CHECK(server.udp().ask("mn\r\n") == "MN\r\n");
}

TEST_CASE("who seems to have the server's own port is not answered") {
  Settings settings = with_udp();
  settings.threads = 1;  // so that one datagram comes after the other
  UdpServer server(settings);
  const int port = server.server().udp_port();
  UdpClient mirror(port, {"127.0.0.2", port});
  mirror.send("set k 0 0 1\r\nx\r\n", {1, 0, 1});
  CHECK(server.udp().ask("get k\r\n") == "END\r\n");
  UdpClient honest(port, {"127.0.0.2", 0});
  CHECK(honest.ask("mn\r\n") == "MN\r\n");
}
