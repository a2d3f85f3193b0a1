// The HTTP server of --http: its pages, and what a client can do to it.
#include "daemon/http_server.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

namespace larder::daemon {
namespace {

using nlohmann::json;
using test::eventually;
using test::loopback_settings;
using test::TempServer;
using test::WireClient;

std::string ask(int port, const std::string& request) {
  WireClient client = WireClient::over_tcp(port);
  client.send(request);
  return client.receive_until_closed();
}

std::string get(int port, const std::string& path) {
  return ask(port, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

// "": also where there is no whole head.
std::string body(const std::string& reply) {
  const size_t head_end = reply.find("\r\n\r\n");
  return head_end == std::string::npos ? "" : reply.substr(head_end + 4);
}

Settings with_http() {
  Settings settings = loopback_settings();
  settings.http = "127.0.0.1:0";
  return settings;
}

// More than the buffers of both sockets take.
constexpr size_t kLongBytes = 16 << 20;

// A server alone, with a page that says "page\n".
struct Alone {
  explicit Alone(HttpLimits limits = {}, const std::string& address = "*:0") {
    server = std::make_unique<HttpServer>(
        Listener::open_at({}, "--http", parse_http_address(address)),
        std::vector<HttpRoute>{{"/page",
                                [] {
                                  return HttpPage{200, "text/plain", "page\n"};
                                }},
                               {"/long",
                                [] {
                                  return HttpPage{200, "text/plain", std::string(kLongBytes, 'x')};
                                }}},
        limits);
    server->start();
  }
  int port() const { return server->port(); }
  // False also where a limit of 300 ms was too short for this request on a busy machine.
  bool answers() const { return body(get(port(), "/page")) == "page\n"; }

  std::unique_ptr<HttpServer> server;
};

TEST_CASE("health, readiness, metrics and figures are served") {
  TempServer server(with_http());
  const int port = server.server().http_port();
  REQUIRE(port != 0);
  CHECK(get(port, "/healthz").starts_with("HTTP/1.1 200 "));
  CHECK(body(get(port, "/readyz")) == "ready\n");
  const std::string metrics = get(port, "/metrics");
  CHECK(metrics.find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n") !=
        std::string::npos);
  CHECK(metrics.find("\nmemcached_up 1\n") != std::string::npos);
  CHECK(metrics.find("\nlarder_workers 2\n") != std::string::npos);
  CHECK(get(port, "/nothing").starts_with("HTTP/1.1 404 "));
  CHECK(get(port, "/metrics/").starts_with("HTTP/1.1 404 "));
  CHECK(get(port, "/metrics?name=x").starts_with("HTTP/1.1 200 "));
  CHECK(body(ask(port, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).empty());
  CHECK(server.server().summary().find("(http)") != std::string::npos);
}

TEST_CASE("the dashboard is served with all that it loads, under a policy that forbids the rest") {
  TempServer server(with_http());
  const int port = server.server().http_port();
  const std::string page = get(port, "/");
  CHECK(page.starts_with("HTTP/1.1 200 "));
  CHECK(page.find("\r\nContent-Type: text/html; charset=utf-8\r\n") != std::string::npos);
  CHECK(page.find("\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; ") !=
        std::string::npos);
  CHECK(body(page).starts_with("<!DOCTYPE html>"));
  CHECK(body(page).find("<style") == std::string::npos);
  const std::regex loaded("(?:src|href)=\"(/dashboard/[^\"]+)\"");
  size_t files = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), loaded), end; at != end; ++at, ++files) {
    const std::string path = (*at)[1];
    CAPTURE(path);
    const std::string file = get(port, path);
    CHECK(file.starts_with("HTTP/1.1 200 "));
    CHECK(file.find(path.ends_with(".css")
                        ? "\r\nContent-Type: text/css; "
                        : "\r\nContent-Type: text/javascript; ") != std::string::npos);
    CHECK(body(file).size() > 1000);
    // A module that is imported is named in the page, or the browser asks for it a round trip late.
    const std::string text = body(file);
    const std::regex imported("from \"\\./([a-z]+\\.js)\"");
    for (std::sregex_iterator it(text.begin(), text.end(), imported); it != end; ++it) {
      CHECK(page.find("/dashboard/" + (*it)[1].str()) != std::string::npos);
    }
  }
  CHECK(files == 9);
  CHECK(get(port, "/dashboard/").starts_with("HTTP/1.1 404 "));
  CHECK(get(port, "/dashboard/index.html").starts_with("HTTP/1.1 404 "));
  CHECK(get(port, "/stats.json").find("Content-Security-Policy") == std::string::npos);
}

TEST_CASE("who takes gzip gets it where it saves something") {
  TempServer server(with_http());
  const int port = server.server().http_port();
  const auto get_zipped = [&](const std::string& path) {
    return ask(port,
               "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, br\r\n\r\n");
  };
  const std::string zipped = get_zipped("/metrics");
  CHECK(zipped.find("\r\nContent-Encoding: gzip\r\n") != std::string::npos);
  CHECK(zipped.find("\r\nContent-Length: " + std::to_string(body(zipped).size()) + "\r\n") !=
        std::string::npos);
  CHECK(body(zipped).starts_with("\x1f\x8b"));
  const std::string plain = get(port, "/metrics");
  CHECK(plain.find("Content-Encoding") == std::string::npos);
  CHECK(plain.find("\r\nVary: Accept-Encoding\r\n") != std::string::npos);
  CHECK(body(zipped).size() * 5 < body(plain).size());
  CHECK(body(get_zipped("/healthz")) == "ok\n");
}

TEST_CASE("on loopback only names of this machine are answered") {
  const auto answered = [](int port, const std::string& host_line) {
    return ask(port, "GET /page HTTP/1.1\r\n" + host_line + "\r\n");
  };
  const Alone open;
  char own_name[256] = {};
  REQUIRE(gethostname(own_name, sizeof own_name - 1) == 0);
  const std::string own = std::string("Host: ") + own_name + "\r\n";
  const Alone alone({}, "127.0.0.1:0");
  for (const std::string& host :
       {std::string(), own, std::string("Host: localhost\r\n"),
        std::string("Host: LOCALHOST:1\r\n"), std::string("Host: cache.localhost:80\r\n"),
        std::string("Host: 127.0.0.1:9150\r\n"), std::string("Host: 10.1.2.3\r\n"),
        std::string("Host: [::1]:9150\r\n")}) {
    INFO(host);
    CHECK(body(answered(alone.port(), host)) == "page\n");
  }
  for (const char* host :
       {"Host: evil.example\r\n", "Host: evil.example:9150\r\n", "Host: localhost.evil.example\r\n",
        "Host: 127.0.0.1.evil.example\r\n"}) {
    INFO(host);
    CHECK(answered(alone.port(), host).starts_with("HTTP/1.1 421 "));
    CHECK(body(answered(open.port(), host)) == "page\n");
  }
  CHECK(ask(alone.port(), "GET http://evil.example/page HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .starts_with("HTTP/1.1 421 "));
}

TEST_CASE("without --http there is no such port") {
  TempServer server;
  CHECK(server.server().http_port() == 0);
}

TEST_CASE("stats.json is JSON, and shows what clients have done") {
  Settings settings = with_http();
  settings.threads = 1;
  TempServer server(settings);
  WireClient client = server.connect();
  REQUIRE(client.answers("set user:1 0 0 5\r\nvalue\r\n", "STORED\r\n"));
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(client.ask("get user:1\r\nget user:\"\\\xff\r\n", 35).ends_with("END\r\n"));
  }
  const int port = server.server().http_port();
  json stats;
  REQUIRE(eventually([&] {
    stats = json::parse(body(get(port, "/stats.json")));
    return stats["key_samples"].get<int>() > 5;
  }));
  CHECK(stats["commands"]["get"]["hits"] == 2000);
  CHECK(stats["commands"]["get"]["misses"] == 2000);
  CHECK(stats["commands"]["set"] == 1);
  CHECK(stats["memory"]["items"] == 1);
  REQUIRE(stats["memory"]["classes"].size() == 1);
  CHECK(stats["memory"]["classes"][0]["used_chunks"] == 1);
  CHECK(stats["latency"]["get"]["count"] > 100);
  CHECK(stats["latency"]["get"]["p99_us"] >= stats["latency"]["get"]["p50_us"]);
  CHECK(stats["latency"]["get"]["p50_us"] > 0.0);
  CHECK(stats["latency_recent"]["get"]["count"] > 0);
  CHECK(stats["settings"]["maxconns"] == 1024);
  CHECK(stats["settings"]["http"] == "127.0.0.1:0");
  CHECK(stats["connections"]["open"] >= 1);
  REQUIRE(stats["hot_keys"].size() <= 2);
  CHECK(stats["hot_keys"][0]["share_max"] > 0.3);
  for (const json& key : stats["hot_keys"]) {
    CHECK((key["key"] == "user:1" || key["key"] == "user:\"\\%FF"));
  }
  REQUIRE(stats["prefixes"].size() == 1);
  CHECK(stats["prefixes"][0]["prefix"] == "user");
  CHECK(stats["prefixes"][0]["hits"].get<int>() + stats["prefixes"][0]["misses"].get<int>() > 1000);

  // The same over the cache's own protocol.
  client.send("stats latency\r\n");
  CHECK(client.receive_until("END\r\n").find("STAT get:p99_us ") != std::string::npos);
  client.send("stats hotkeys\r\n");
  CHECK(client.receive_until("END\r\n").find("STAT hotkey:user:1 share 0.") != std::string::npos);
  client.send("stats prefixes\r\n");
  CHECK(client.receive_until("END\r\n").find("STAT prefix:user get ") != std::string::npos);

  // stats reset sets them to 0.
  REQUIRE(client.answers("stats reset\r\n", "RESET\r\n"));
  stats = json::parse(body(get(port, "/stats.json")));
  CHECK(stats["key_samples"] == 0);
  CHECK_FALSE(stats["latency"].contains("get"));
}

TEST_CASE("with -X no keys are shown, by whatever way") {
  Settings settings = with_http();
  settings.allow_dumps = false;
  settings.slow_request_us = 1;
  settings.threads = 1;
  TempServer server(settings);
  WireClient client = server.connect();
  for (int i = 0; i < 2000; ++i) REQUIRE(client.ask_line("get secret:1") == "END");
  const int port = server.server().http_port();
  CHECK(body(get(port, "/stats.json")).find("secret") == std::string::npos);
  const std::string metrics = body(get(port, "/metrics"));
  CHECK(metrics.find("secret") == std::string::npos);
  CHECK(metrics.find("\nlarder_key_sample_ratio 0\n") != std::string::npos);
  CHECK(client.ask_line("stats hotkeys") == "ERROR");
  CHECK(client.ask_line("stats prefixes") == "ERROR");
}

TEST_CASE("with -o no_sampling nothing is sampled") {
  Settings settings = with_http();
  settings.sampling = false;
  TempServer server(settings);
  WireClient client = server.connect();
  for (int i = 0; i < 1000; ++i) REQUIRE(client.ask_line("get user:1") == "END");
  const json stats = json::parse(body(get(server.server().http_port(), "/stats.json")));
  CHECK(stats["sampling"] == false);
  CHECK(stats["latency"].empty());
  CHECK(stats["key_samples"] == 0);
}

TEST_CASE("a server that takes no more connections is not ready") {
  Settings settings = with_http();
  settings.max_connections = 2;
  settings.maxconns_fast = false;
  TempServer server(settings);
  std::vector<WireClient> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(server.connect());
    REQUIRE(clients.back().ask_line("mn") == "MN");
  }
  clients.push_back(server.connect());  // waits in the queue
  const int port = server.server().http_port();
  REQUIRE(eventually([&] { return get(port, "/readyz").starts_with("HTTP/1.1 503 "); }));
  CHECK(get(port, "/healthz").starts_with("HTTP/1.1 200 "));
  clients.clear();
  REQUIRE(eventually([&] { return get(port, "/readyz").starts_with("HTTP/1.1 200 "); }));
}

TEST_CASE("garbage, other methods, bodies and long heads are refused, and others are served") {
  Alone http;
  CHECK(ask(http.port(), "get k\r\n").find("200 OK") == std::string::npos);
  CHECK(ask(http.port(), std::string("\x80\x00\xff\r\n\r\n", 7)).find("200 OK") ==
        std::string::npos);
  CHECK(ask(http.port(), "POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            .find("200 OK") == std::string::npos);
  CHECK(ask(http.port(), "POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")
            .find("200 OK") == std::string::npos);
  WireClient client = WireClient::over_tcp(http.port());
  client.send("GET /page HTTP/1.1\r\n");
  client.send("X-Header: " + std::string(20'000, 'x') + "\r\n");
  const auto start = std::chrono::steady_clock::now();
  CHECK(client.receive_until_closed().find("200 OK") == std::string::npos);
  CHECK(std::chrono::steady_clock::now() - start < HttpLimits().time / 2);
  CHECK(http.answers());
}

TEST_CASE("who sends slowly, or nothing, is let go, and keeps nobody else from being served") {
  HttpLimits limits;
  limits.head_time = std::chrono::milliseconds(300);
  limits.connections = 4;
  Alone http(limits);
  std::vector<WireClient> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(WireClient::over_tcp(http.port()));
    if (i % 2 == 0) slow.back().send("GET /pa");
  }
  CHECK(eventually([&] { return http.answers(); }));  // behind the others, a few at a time
  const auto start = std::chrono::steady_clock::now();
  for (WireClient& client : slow) client.receive_until_closed();
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
  CHECK(eventually([&] { return http.answers(); }));
}

TEST_CASE("silent clients keep nobody away: the oldest of them goes when another one comes") {
  HttpLimits limits;
  limits.time = limits.head_time = std::chrono::hours(1);
  Alone http(limits);
  std::vector<WireClient> silent;
  for (size_t i = 0; i < 200; ++i) {
    silent.push_back(WireClient::over_tcp(http.port()));
    if (i % 2 == 0) silent.back().send("GET /page HTTP/1.1\r\nHos");
  }
  REQUIRE(http.answers());
  // All went for one that came later, but for the last ones: there is room for them.
  for (size_t i = 0; i + limits.connections < silent.size(); ++i) {
    INFO(i);
    CHECK(silent[i].receive_until_closed().empty());
  }
  for (size_t i = silent.size() - limits.connections + 1; i < silent.size(); ++i) {
    INFO(i);
    silent[i].send(i % 2 == 0 ? "t: x\r\n\r\n" : "GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(body(silent[i].receive_until_closed()) == "page\n");
  }
}

TEST_CASE("who has asked is not closed for another one: that waits until there is room") {
  HttpLimits limits;
  limits.time = limits.head_time = std::chrono::hours(1);
  limits.connections = 2;
  Alone http(limits);
  const std::string ask_long = "GET /long HTTP/1.1\r\nHost: x\r\n\r\n";
  std::vector<WireClient> reading;
  for (size_t i = 0; i <= limits.connections; ++i) {
    reading.push_back(WireClient::over_tcp(http.port()));
    reading.back().send(ask_long);
    CHECK(reading.back().receive(100).starts_with("HTTP/1.1 200 OK"));
  }
  WireClient waiting = WireClient::over_tcp(http.port());
  waiting.send("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
  for (WireClient& client : reading) CHECK(client.receive_until_closed().size() > kLongBytes);
  CHECK(body(waiting.receive_until_closed()) == "page\n");
}

TEST_CASE("who goes on sending a byte at a time gets no more time than others") {
  HttpLimits limits;
  limits.head_time = std::chrono::milliseconds(300);
  Alone http(limits);
  WireClient client = WireClient::over_tcp(http.port());
  client.send("GET /page HTTP/1.1\r\nX: ");
  const auto start = std::chrono::steady_clock::now();
  bool closed = false;
  while (!closed && std::chrono::steady_clock::now() - start < std::chrono::seconds(20)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    try {
      closed = client.send_some("x") == 0;
    } catch (const std::runtime_error&) {
      closed = true;
    }
  }
  CHECK(closed);
  CHECK(eventually([&] { return http.answers(); }));
}

TEST_CASE("who does not take a long page is let go") {
  HttpLimits limits;
  limits.time = std::chrono::milliseconds(300);
  limits.connections = 1;
  Alone http(limits);
  WireClient client = WireClient::over_tcp_with_small_buffer(http.port(), 4096);
  client.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(eventually([&] { return http.answers(); }));  // once there is room for another connection
}

TEST_CASE("a server stops with clients in all states") {
  Alone http;
  WireClient silent = WireClient::over_tcp(http.port());
  WireClient half = WireClient::over_tcp(http.port());
  half.send("GET /page HTTP/1.1\r\n");
  WireClient reading = WireClient::over_tcp_with_small_buffer(http.port(), 4096);
  reading.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
  reading.receive(100);
  http.server.reset();
  CHECK(silent.receive_until_closed().empty());
}

}  // namespace
}  // namespace larder::daemon
