// Clients that are broken, or mean harm: over plain TCP and, each of them, over TLS.
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "tests/support/temp_server.h"
#include "tests/support/tls_client.h"
#include "tests/support/tls_files.h"
#include "tests/support/wire_client.h"

using larder::test::eventually;
using larder::test::StreamClient;
using larder::test::TempServer;
using larder::test::TlsClient;
using larder::test::TlsFiles;
using larder::test::WireClient;

namespace {

// A server, and the clients it is to have.
struct Plain {
  WireClient connect() const { return server.connect(); }
  TempServer server;
};
struct Tls {
  TlsClient connect() const { return TlsClient(server.port()); }
  TlsFiles files;
  TempServer server{files.settings()};
};

std::string be32(uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}

std::string binary_set(uint32_t body_bytes) {
  return std::string("\x80\x01\x00\x01\x08\x00\x00\x00", 8) + be32(body_bytes) +
         std::string(12, '\0') + std::string(8, '\0') + "k";
}

// Sends until the server closes; how much it took.
size_t send_until_closed(StreamClient& client, const std::string& block, size_t at_most) {
  size_t sent = 0;
  try {
    while (sent < at_most) {
      client.send(block);
      sent += block.size();
    }
  } catch (const std::runtime_error&) {
  }
  return sent;
}

template <class Door>
bool serves(const Door& door) {
  return door.connect().answers("get none\r\n", "END\r\n");
}

}  // namespace

TEMPLATE_TEST_CASE("a declared length of 4 GiB reserves nothing", "", Plain, Tls) {
  TestType door;
  auto text = door.connect();
  text.send("set a 0 0 4294967295\r\n" + std::string(1000, 'x'));
  auto more = door.connect();
  more.send("set a 0 0 99999999999999999999\r\n");
  CHECK(more.receive_line() == "CLIENT_ERROR bad command line format\r\n");
  auto binary = door.connect();
  binary.send(binary_set(0xffffffff) + std::string(1000, 'x'));
  CHECK(serves(door));
  CHECK(door.server.server().buffered_bytes() < 10'000);
}

TEMPLATE_TEST_CASE("a value above -I is skipped and then refused; the stream stays in step", "",
                   Plain, Tls) {
  TestType door;
  auto client = door.connect();
  const std::string value(3 << 20, 'x');
  client.send("set a 0 0 1\r\n1\r\n");
  CHECK(client.receive_line() == "STORED\r\n");
  const std::string length = std::to_string(value.size());
  CHECK(client.answers("set a 0 0 " + length + "\r\n" + value + "\r\nget a\r\n",
                       "SERVER_ERROR object too large for cache\r\nEND\r\n"));
  CHECK(client.answers("ms a " + length + "\r\n" + value + "\r\n",
                       "SERVER_ERROR object too large for cache\r\n"));
  auto binary = door.connect();
  binary.send(binary_set(9 + (3 << 20)) + value);
  const std::string refused = binary.receive(24 + 10);
  CHECK(refused.substr(6, 2) == std::string("\0\3", 2));
  CHECK(refused.substr(24) == "Too large.");
}

TEMPLATE_TEST_CASE("a line without an end closes the connection early", "", Plain, Tls) {
  TestType door;
  for (const char* start : {"", "set ", "mg ", "nonsense "}) {
    auto client = door.connect();
    const size_t sent = send_until_closed(client, start + std::string(1 << 16, 'a'), 64 << 20);
    CHECK(sent < (64u << 20));
  }
  CHECK(serves(door));
}

TEMPLATE_TEST_CASE("a key without an end in a get is refused, however long it is", "", Plain, Tls) {
  TestType door;
  auto client = door.connect();
  client.send("get a b ");
  for (int i = 0; i < 64; ++i) client.send(std::string(1 << 16, 'k'));
  CHECK(door.server.server().buffered_bytes() < 10'000);
  client.send("\r\n");
  CHECK(client.receive_line() == "CLIENT_ERROR bad command line format\r\n");
  CHECK(client.answers("get a\r\n", "END\r\n"));
}

TEMPLATE_TEST_CASE("a get line without an end costs one window at most", "", Plain, Tls) {
  TestType door;
  auto client = door.connect();
  client.send("get");
  for (int i = 0; i < 1000; ++i) {
    std::string block;
    for (int k = 0; k < 1000; ++k) block += " key" + std::to_string(k);
    client.send(block);
  }
  CHECK(door.server.server().buffered_bytes() <= larder::daemon::kWindowBytes);
  client.send("\r\n");
  CHECK(client.receive_line() == "END\r\n");
}

TEMPLATE_TEST_CASE("NUL bytes are bytes", "", Plain, Tls) {
  using namespace std::string_literals;
  TestType door;
  auto client = door.connect();
  CHECK(client.answers("set a 0 0 3\r\n\0\0\0\r\nget a\r\n"s,
                       "STORED\r\nVALUE a 0 3\r\n\0\0\0\r\nEND\r\n"s));
  client.send("\0get a\r\n"s);
  CHECK(client.receive_line() == "ERROR\r\n");
  client.send("\0\0\0\0\r\n"s);
  CHECK(client.receive_line() == "ERROR\r\n");
}

TEMPLATE_TEST_CASE("garbage after a binary magic never stops the server", "", Plain, Tls) {
  TestType door;
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    auto client = door.connect();
    std::string garbage(24 + random() % 400, '\0');
    for (char& c : garbage) c = static_cast<char>(random());
    garbage[0] = '\x80';
    if (round % 2 == 0) {  // a length that ends
      garbage[8] = garbage[9] = garbage[10] = 0;
      garbage[2] = 0;
    }
    client.send_some(garbage);
    if (round % 3 == 0) {
      client.reset();
    } else {
      client.finish_sending();
      client.receive_until_closed();
    }
  }
  CHECK(serves(door));
}

TEMPLATE_TEST_CASE("random bytes never stop the server", "", Plain, Tls) {
  TestType door;
  std::mt19937 random(12);
  const std::string alphabet("getsadmn 0123456789\r\n\0\x80\xff qvkT", 30);
  for (int round = 0; round < 200; ++round) {
    auto client = door.connect();
    std::string noise(1 + random() % 3000, '\0');
    for (char& c : noise) c = alphabet[random() % alphabet.size()];
    client.send_some(noise);
    client.finish_sending();
    client.receive_until_closed();
  }
  CHECK(serves(door));
}

TEMPLATE_TEST_CASE("connections that end in the middle of a value give its memory back", "", Plain,
                   Tls) {
  TestType door;
  for (int round = 0; round < 50; ++round) {
    auto client = door.connect();
    client.send("set a 0 0 900000\r\n" + std::string(round * 10'000, 'x'));
    if (round % 2 == 0) {
      client.reset();
    } else {
      client.close();
    }
  }
  REQUIRE(eventually([&] { return door.server.server().open_connections() == 0; }));
  CHECK(door.server.server().cache().draft_bytes() == 0);
  CHECK(serves(door));
}

TEMPLATE_TEST_CASE("slow senders hold what they sent, and others go on storing", "", Plain, Tls) {
  TestType door;
  std::vector<decltype(door.connect())> slow;
  for (int i = 0; i < 100; ++i) {
    slow.push_back(door.connect());
    slow.back().send("set slow" + std::to_string(i) + " 0 0 1000000\r\nfirst bytes");
  }
  auto client = door.connect();
  const std::string value(100'000, 'v');
  for (int i = 0; i < 2'000; ++i) {
    REQUIRE(client.ask_line("set k" + std::to_string(i) + " 0 0 100000\r\n" + value) == "STORED");
  }
  // And one of them wakes up.
  slow[7].send(std::string(1'000'000 - 11, 'x') + "\r\n");
  CHECK(slow[7].receive_line() == "STORED\r\n");
}

TEMPLATE_TEST_CASE("a client that sends all at once and shuts its side down gets its replies", "",
                   Plain, Tls) {
  TestType door;
  auto client = door.connect();
  client.send("set a 0 0 1\r\n1\r\nget a\r\n");
  client.finish_sending();
  CHECK(client.receive_until_closed() == "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
}
