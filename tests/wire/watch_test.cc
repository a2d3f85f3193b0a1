// `watch`: what is shown, to whom, and what becomes of watchers that are slow, gone or too many.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/proto/binary_request.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::daemon::Settings;
using larder::test::big_endian;
using larder::test::BinaryRequest;
using larder::test::eventually;
using larder::test::loopback_settings;
using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

WireClient watch(const TempServer& server, const std::string& streams) {
  WireClient watcher = server.connect();
  watcher.send("watch " + streams + "\r\n");
  REQUIRE(watcher.receive_line() == "OK\r\n");
  return watcher;
}

// The next line without what differs from run to run: the time, the number, the descriptor and the
// port. The values of the last two stay in their places as `#` (or 0).
std::string next(WireClient& watcher) {
  std::string line = watcher.receive_until("\n");
  REQUIRE(line.starts_with("ts="));
  const size_t type = line.find(" type=");
  REQUIRE(type != std::string::npos);
  line = line.substr(type + 6, line.size() - type - 7);
  for (const std::string name : {"cfd=", "rport="}) {
    const size_t at = line.find(name);
    if (at == std::string::npos) continue;
    const size_t digits = at + name.size();
    const size_t end = std::min(line.find(' ', digits), line.size());
    REQUIRE(line.find_first_not_of("0123456789", digits) >= end);
    if (line.substr(digits, end - digits) == "0") continue;
    line.replace(digits, end - digits, "#");
  }
  return line;
}

void shows(WireClient& watcher, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) CHECK(next(watcher) == line);
}

uint64_t stat(const TempServer& server, const std::string& name) {
  return std::stoull(server.stat(name));
}

}  // namespace

TEST_CASE("fetchers see every look at a key, mutations every store") {
  TempServer server;
  server.server().clock().freeze();  // what is left of a TTL is shown
  WireClient watcher = watch(server, "fetchers mutations");
  WireClient client = server.connect();
  const auto ask = [&](const std::string& request) { return client.ask_line(request); };

  CHECK(ask("mg foo v") == "EN");
  shows(watcher, {"item_get key=foo status=not_found clsid=0 cfd=# size=0"});
  CHECK(ask("set foo 0 100 3\r\nabc") == "STORED");
  shows(watcher, {"item_get key=foo status=not_found clsid=0 cfd=# size=0",
                  "item_store key=foo status=stored cmd=set ttl=100 clsid=1 cfd=# size=3"});
  CHECK(client.answers("get foo bar\r\n", "VALUE foo 0 3\r\nabc\r\nEND\r\n"));
  shows(watcher, {"item_get key=foo status=found clsid=1 cfd=# size=3",
                  "item_get key=bar status=not_found clsid=0 cfd=# size=0"});
  CHECK(ask("add foo 0 0 1\r\nx") == "NOT_STORED");
  shows(watcher, {"item_get key=foo status=found clsid=1 cfd=# size=3",
                  "item_store key=foo status=not_stored cmd=add ttl=0 clsid=0 cfd=# size=1"});
  CHECK(ask("cas foo 0 0 1 999999\r\nx") == "EXISTS");
  shows(watcher, {"item_get key=foo status=found clsid=1 cfd=# size=3",
                  "item_store key=foo status=exists cmd=cas ttl=0 clsid=0 cfd=# size=1"});
  CHECK(ask("append foo 0 0 2\r\nde") == "STORED");
  shows(watcher, {"item_get key=foo status=found clsid=1 cfd=# size=3",
                  "item_store key=foo status=stored cmd=append ttl=100 clsid=1 cfd=# size=5"});
  CHECK(ask("ma n%1 N0 J7") == "HD");
  shows(watcher, {"item_get key=n%251 status=not_found clsid=0 cfd=# size=0",
                  "item_get key=n%251 status=not_found clsid=0 cfd=# size=0",
                  "item_store key=n%251 status=stored cmd=add ttl=0 clsid=1 cfd=# size=1"});
  CHECK(ask("incr n%1 1") == "8");
  CHECK(ask("touch n%1 50") == "TOUCHED");
  CHECK(ask("delete n%1") == "DELETED");
  shows(watcher, {"item_get key=n%251 status=found clsid=1 cfd=# size=1",
                  "item_get key=n%251 status=found clsid=1 cfd=# size=1",
                  "item_get key=n%251 status=found clsid=1 cfd=# size=1"});
  CHECK(ask("set big 0 0 1048577\r\n" + std::string(1048577, 'x')) ==
        "SERVER_ERROR object too large for cache");
  shows(watcher, {"item_store key=big status=too_large cmd=set ttl=0 clsid=0 cfd=# size=0",
                  "item_get key=big status=not_found clsid=0 cfd=# size=0"});

  // One that waited for its value, and two that came together.
  client.send("set slow 0 0 3\r\na");
  client.send("bc\r\n");
  CHECK(client.receive_line() == "STORED\r\n");
  shows(watcher, {"item_get key=slow status=not_found clsid=0 cfd=# size=0",
                  "item_store key=slow status=stored cmd=set ttl=0 clsid=1 cfd=# size=3"});
  CHECK(client.answers("set p 0 0 1\r\n1\r\nset q 0 0 1\r\n2\r\n", "STORED\r\nSTORED\r\n"));
  shows(watcher, {"item_get key=p status=not_found clsid=0 cfd=# size=0",
                  "item_store key=p status=stored cmd=set ttl=0 clsid=1 cfd=# size=1",
                  "item_get key=q status=not_found clsid=0 cfd=# size=0",
                  "item_store key=q status=stored cmd=set ttl=0 clsid=1 cfd=# size=1"});
}

TEST_CASE("what has expired or was flushed is told apart from what never was") {
  TempServer server;
  WireClient client = server.connect();
  CHECK(client.ask_line("set old 0 10 1\r\nx") == "STORED");
  CHECK(client.ask_line("set flushed 0 0 1\r\nx") == "STORED");
  CHECK(client.ask_line("flush_all") == "OK");
  WireClient watcher = watch(server, "fetchers");
  CHECK(client.ask_line("mg flushed") == "EN");
  shows(watcher, {"item_get key=flushed status=flushed clsid=0 cfd=# size=0"});
}

TEST_CASE("deletions see what delete and md take away") {
  TempServer server;
  WireClient watcher = watch(server, "deletions");
  WireClient client = server.connect();
  for (int i = 0; i < 2; ++i) CHECK(client.ask_line("set k 0 0 4\r\nabcd") == "STORED");
  CHECK(client.ask_line("md none") == "NF");
  CHECK(client.ask_line("md k I") == "HD");
  CHECK(client.ask_line("delete k") == "DELETED");
  CHECK(client.ask_line("set k 0 0 4\r\nabcd") == "STORED");
  CHECK(client.ask_line("md k") == "HD");
  shows(watcher,
        {"deleted key=k cmd=delete clsid=1 size=4", "deleted key=k cmd=md clsid=1 size=4"});
}

TEST_CASE("changes see every way to change or remove an item, and flushes") {
  TempServer server;
  server.server().clock().freeze();
  WireClient watcher = watch(server, "changes");
  WireClient client = server.connect();
  const auto ask = [&](const std::string& request) { return client.ask_line(request); };
  const auto stored = [](const std::string& command, const std::string& size) {
    return "item_store key=k status=stored cmd=" + command + " ttl=0 clsid=1 cfd=# size=" + size;
  };
  const auto changed = [](const std::string& command) {
    return "item_change key=k cmd=" + command + " cfd=#";
  };

  // Deletes of what is not there, and no other request that finds nothing.
  CHECK(ask("get k") == "END");
  CHECK(ask("incr k 1") == "NOT_FOUND");
  CHECK(ask("touch k 5") == "NOT_FOUND");
  CHECK(ask("replace k 0 0 1\r\n1") == "NOT_STORED");
  CHECK(ask("delete k") == "NOT_FOUND");
  CHECK(ask("md k") == "NF");
  CHECK(ask("md k I q") == "NF");
  shows(watcher, {"deleted key=k cmd=delete clsid=0 size=0", "deleted key=k cmd=md clsid=0 size=0",
                  "deleted key=k cmd=md clsid=0 size=0"});

  CHECK(ask("set k 0 0 1\r\n1") == "STORED");
  CHECK(ask("add k 0 0 1\r\n1") == "NOT_STORED");
  CHECK(ask("cas k 0 0 1 999999\r\n1") == "EXISTS");
  CHECK(ask("append k 0 0 1\r\n2") == "STORED");
  CHECK(ask("prepend k 0 0 1\r\n3") == "STORED");
  CHECK(ask("replace k 0 0 1\r\n4") == "STORED");
  CHECK(ask("ms k 1 C999999\r\n4") == "EX");
  CHECK(ask("ms k 1\r\n5") == "HD");
  shows(watcher, {stored("set", "1"), stored("append", "2"), stored("prepend", "3"),
                  stored("replace", "1"), stored("set", "1")});
  CHECK(ask("incr k 1") == "6");
  CHECK(ask("decr k 1") == "5");
  CHECK(ask("ma k") == "HD");
  CHECK(ask("touch k 5") == "TOUCHED");
  CHECK(ask("mg k T0") == "HD");
  CHECK(ask("md k I T0") == "HD");
  CHECK(ask("md k C1") == "EX");
  shows(watcher, {changed("incr"), changed("decr"), changed("incr"), changed("invalidate")});
  CHECK(ask("touch k -1") == "TOUCHED");
  CHECK(ask("gat -1 k") == "END");
  CHECK(ask("mg k T-1") == "EN");
  CHECK(ask("mg k N0 T0") == "HD W");
  CHECK(ask("md k x") == "HD");
  CHECK(ask("delete k") == "DELETED");
  shows(watcher,
        {changed("expire"), changed("expire"), changed("expire"), changed("vivify"),
         "item_store key=k status=stored cmd=set ttl=0 clsid=1 cfd=# size=0",
         "deleted key=k cmd=md clsid=1 size=0", "deleted key=k cmd=delete clsid=1 size=0"});

  CHECK(ask("flush_all") == "OK");
  shows(watcher, {"flush_all cfd=#"});
  CHECK(ask("flush_all 10") == "OK");
  server.advance(11);
  CHECK(ask("mn") == "MN");
  CHECK(watcher.receive_until("\n").ends_with(" type=flush_all cfd=-1\n"));
}

TEST_CASE("changes see binary deletes, touches and flushes, and the words of memcached do not") {
  TempServer server;
  WireClient watcher = watch(server, "changes");
  WireClient plain = watch(server, "deletions mutations");
  WireClient client = server.connect();
  const auto ask = [](uint8_t opcode, const std::string& key, const std::string& extras = {}) {
    return BinaryRequest{.opcode = opcode, .key = key, .extras = extras}.bytes();
  };
  CHECK(client.ask_line("set k 0 0 1\r\n1") == "STORED");
  WireClient binary = server.connect();
  // delete twice, deleteq, touch to a time long gone, flushq, noop
  binary.send(ask(0x04, "k") + ask(0x04, "k") + ask(0x14, "q") +
              ask(0x1c, "q", big_endian(2592001, 4)) + ask(0x18, "") + ask(0x0a, ""));
  shows(watcher,
        {"item_store key=k status=stored cmd=set ttl=0 clsid=1 cfd=# size=1",
         "deleted key=k cmd=delete clsid=1 size=1", "deleted key=k cmd=delete clsid=0 size=0",
         "deleted key=q cmd=delete clsid=0 size=0", "item_change key=q cmd=expire cfd=#",
         "flush_all cfd=#"});
  CHECK(client.ask_line("set k 0 0 1\r\n1") == "STORED");
  CHECK(client.ask_line("delete k") == "DELETED");
  shows(plain, {"item_store key=k status=stored cmd=set ttl=0 clsid=1 cfd=# size=1",
                "item_store key=k status=stored cmd=set ttl=0 clsid=1 cfd=# size=1",
                "deleted key=k cmd=delete clsid=1 size=1"});
}

TEST_CASE("changes see that a set that found no room took the old value") {
  TempServer server;
  WireClient client = server.connect();
  CHECK(client.ask_line("set k 0 0 1\r\n1") == "STORED");
  WireClient watcher = watch(server, "changes");
  CHECK(client.ask_line("set k 0 0 1048577\r\n" + std::string(1048577, 'x')) ==
        "SERVER_ERROR object too large for cache");
  CHECK(client.ask_line("get k") == "END");
  shows(watcher, {"item_store key=k status=too_large cmd=set ttl=0 clsid=0 cfd=# size=0",
                  "deleted key=k cmd=set clsid=0 size=0"});
}

TEST_CASE("a watcher of changes is told of those that found no room in a ring") {
  Settings settings = loopback_settings();
  settings.worker_logbuf_bytes = 1 << 10;
  TempServer server(settings);
  WireClient watcher = watch(server, "changes");
  WireClient plain = watch(server, "deletions");
  WireClient client = server.connect();
  std::string deletes;
  for (int i = 0; i < 500; ++i) deletes += "delete none" + std::to_string(i) + " noreply\r\n";
  CHECK(client.ask(deletes + "mn\r\n", 4) == "MN\r\n");
  const uint64_t dropped = stat(server, "log_worker_dropped");
  REQUIRE(dropped > 0);
  uint64_t skipped = 0;
  uint64_t shown = 0;
  while (shown + skipped < 500) {
    const std::string line = watcher.receive_until("\n");
    const bool told = line.starts_with("skipped=");
    if (told) skipped += std::stoull(line.substr(8));
    if (!told) ++shown;
  }
  CHECK(skipped == dropped);
  CHECK(client.ask_line("set mark 0 0 1\r\n1") == "STORED");
  CHECK(next(watcher).starts_with("item_store key=mark "));
  CHECK(client.ask_line("delete mark") == "DELETED");
  shows(plain, {"deleted key=mark cmd=delete clsid=1 size=1"});
}

TEST_CASE("an item that loses its value is looked for again and stored anew") {
  TempServer server;
  WireClient watcher = watch(server, "fetchers mutations deletions");
  WireClient client = server.connect();
  CHECK(client.ask_line("set k 0 0 3\r\nabc") == "STORED");
  shows(watcher, {"item_get key=k status=not_found clsid=0 cfd=# size=0",
                  "item_store key=k status=stored cmd=set ttl=0 clsid=1 cfd=# size=3"});
  CHECK(client.ask_line("md k x I T30") == "HD");
  shows(watcher, {"item_get key=k status=found clsid=1 cfd=# size=3",
                  "item_get key=k status=found clsid=1 cfd=# size=3",
                  "item_store key=k status=stored cmd=set ttl=30 clsid=1 cfd=# size=0"});
  CHECK(client.ask_line("md k x") == "HD");
  shows(watcher, {"item_get key=k status=found clsid=1 cfd=# size=0",
                  "item_get key=k status=found clsid=1 cfd=# size=0",
                  "item_store key=k status=stored cmd=set ttl=0 clsid=1 cfd=# size=0",
                  "deleted key=k cmd=md clsid=1 size=0"});
  CHECK(client.ask_line("md k x C1") == "EX");
  shows(watcher, {"item_get key=k status=found clsid=1 cfd=# size=0"});
}

TEST_CASE("connevents see clients come and go, and why") {
  Settings settings = loopback_settings();
  settings.idle_timeout_seconds = 5;
  TempServer server(settings);
  WireClient early = server.connect();
  CHECK(early.ask_line("mn") == "MN");
  WireClient watcher = watch(server, "connevents");
  const std::string came = "conn_new rip=127.0.0.1 rport=# transport=tcp cfd=#";
  const auto went = [](const std::string& why) {
    return "conn_close rip=127.0.0.1 rport=# transport=tcp reason=" + why + " cfd=#";
  };

  early.close();
  shows(watcher, {went("normal")});
  {
    WireClient client = server.connect();
    client.send("quit\r\n");
    CHECK(client.closed_by_peer());
  }
  shows(watcher, {came, went("normal")});
  {
    WireClient client = server.connect();
    client.send("GET / HTTP/1.1\r\n");
    CHECK(client.closed_by_peer());
  }
  shows(watcher, {came, went("error")});
  {
    WireClient client = server.connect();
    CHECK(client.ask_line("mn") == "MN");
    client.reset();
  }
  shows(watcher, {came, went("error")});
  {
    WireClient client = server.connect();
    CHECK(client.ask_line("mn") == "MN");
    shows(watcher, {came});
    server.advance(7);
    CHECK(client.closed_by_peer());
  }
  shows(watcher, {went("idle_timeout")});

  WireClient other = watch(server, "fetchers");
  shows(watcher, {came});
  other.close();
  shows(watcher, {went("error")});  // as of every watcher
}

TEST_CASE("a client on a unix socket has no address") {
  TempFolder folder;
  Settings settings = loopback_settings();
  settings.unix_socket = folder.file("socket");
  TempServer server(settings);
  WireClient watcher = WireClient::over_unix(settings.unix_socket);
  watcher.send("watch connevents\n");
  REQUIRE(watcher.receive_line() == "OK\r\n");
  { WireClient client = WireClient::over_unix(settings.unix_socket); }
  shows(watcher, {"conn_new rip=unix rport=0 transport=local cfd=#",
                  "conn_close rip=unix rport=0 transport=local reason=normal cfd=#"});
}

TEST_CASE("evictions see what makes room") {
  Settings settings = loopback_settings();
  settings.memory_bytes = 8 << 20;
  settings.worker_logbuf_bytes = 4 << 20;
  settings.watcher_logbuf_bytes = 4 << 20;
  TempServer server(settings);
  WireClient watcher = watch(server, "evictions");
  WireClient client = server.connect();
  const std::string value(10'000, 'v');
  for (int i = 0; i < 2'000; ++i) {
    client.send("ms key" + std::to_string(i) + " 10000 T500 q\r\n" + value + "\r\n");
  }
  CHECK(client.ask_line("mn") == "MN");
  const uint64_t evictions = stat(server, "evictions");
  REQUIRE(evictions > 500);
  for (uint64_t i = 0; i < evictions; ++i) {
    const std::string line = next(watcher);
    REQUIRE(line.starts_with("eviction key=key"));
    REQUIRE(line.find(" fetch=no ttl=") != std::string::npos);
    REQUIRE(line.ends_with(" size=10000"));
  }
}

TEST_CASE("watch is refused where it cannot be, and the client goes on") {
  TempServer server;
  WireClient client = server.connect();
  CHECK(client.ask_line("watch nonsense") == "ERROR");
  CHECK(client.ask_line(" watch") == "ERROR");
  CHECK(client.answers("get a\r\nwatch\r\n",
                       "END\r\nERROR cannot pipeline other commands before watch\r\n"));
  CHECK(client.answers("set a 0 0 1 noreply\r\nx\r\nwatch\r\n",
                       "ERROR cannot pipeline other commands before watch\r\n"));
  CHECK(client.ask_line("watch rawcmds proxyreqs proxyevents proxyuser") == "OK");

  Settings settings = loopback_settings();
  settings.allow_watch = false;
  TempServer closed(settings);
  WireClient refused = closed.connect();
  CHECK(refused.ask_line("watch") == "CLIENT_ERROR watch commands not allowed");
  CHECK(refused.ask_line("mn") == "MN");
}

TEST_CASE("the 21st watcher is refused until one of the others has gone") {
  TempServer server;
  std::vector<WireClient> watchers;
  for (int i = 0; i < 20; ++i) watchers.push_back(watch(server, "fetchers"));
  WireClient late = server.connect();
  CHECK(late.ask_line("watch") == "WATCHER_TOO_MANY log watcher limit reached");
  CHECK(stat(server, "log_watchers") == 20);
  watchers.pop_back();
  CHECK(eventually([&] { return stat(server, "log_watchers") == 19; }));
  CHECK(late.ask_line("watch") == "OK");
}

TEST_CASE("a watcher counts as a connection until it goes") {
  TempServer server;
  WireClient client = server.connect();
  CHECK(client.ask_line("mn") == "MN");
  WireClient watcher = watch(server, "fetchers");
  client.send("stats conns\r\n");
  CHECK(client.receive_until("END\r\n").find(":state conn_watch\r\n") != std::string::npos);
  CHECK(
      eventually([&] { return stat(server, "curr_connections") == 3; }));  // and the one that asks
  watcher.send("get is\r\nignored\r\n");
  CHECK(client.ask_line("mg seen") == "EN");
  shows(watcher, {"item_get key=seen status=not_found clsid=0 cfd=# size=0"});
  watcher.finish_sending();
  CHECK(watcher.closed_by_peer());
  CHECK(eventually([&] { return stat(server, "curr_connections") == 2; }));
}

TEST_CASE("a slow watcher loses lines and is told, and workers go on") {
  Settings settings = loopback_settings();
  settings.watcher_logbuf_bytes = 8 << 10;
  TempServer server(settings);
  WireClient watcher = WireClient::over_tcp_with_small_buffer(server.port(), 4096);
  watcher.send("watch fetchers\r\n");
  REQUIRE(watcher.receive_line() == "OK\r\n");
  WireClient client = server.connect();
  const std::string spacer(200, 'x');
  std::string gets;
  for (int i = 0; i < 100; ++i) gets += "mg " + spacer + std::to_string(i) + " q\r\n";
  gets += "mn\r\n";
  REQUIRE(eventually([&] {
    for (int i = 0; i < 100; ++i) client.ask(gets, 4);
    return stat(server, "log_watcher_skipped") > 1000;
  }));

  // It reads again: in between comes how much it has missed.
  bool told = false;
  for (int lines = 0; !told; ++lines) {
    if (lines % 100 == 0) client.ask(gets, 4);
    const std::string line = watcher.receive_until("\n");
    told = line.starts_with("skipped=");
    if (told) CHECK(std::stoull(line.substr(8)) > 0);
    REQUIRE((told || line.find(" type=item_get key=xxx") != std::string::npos));
  }
  CHECK(watcher.receive_until("\n").find(" type=item_get key=xxx") != std::string::npos);
  CHECK(stat(server, "log_worker_written") > 0);
  CHECK(stat(server, "log_watcher_sent") > 0);
}

TEST_CASE("watchers that vanish under load disturb nobody") {
  Settings settings = loopback_settings();
  settings.worker_logbuf_bytes = 1 << 10;
  TempServer server(settings);
  WireClient client = server.connect();
  std::string gets;
  for (int i = 0; i < 500; ++i) gets += "mg key" + std::to_string(i) + " q\r\n";
  gets += "mn\r\n";
  for (int i = 0; i < 40; ++i) {
    WireClient watcher = server.connect();
    watcher.send("watch fetchers connevents\r\n");
    const bool greeted = i % 2 == 0;
    if (greeted) REQUIRE(watcher.receive_line() == "OK\r\n");
    CHECK(client.ask(gets, 4) == "MN\r\n");
    if (i % 3 == 0) watcher.reset();
  }
  CHECK(stat(server, "log_worker_dropped") > 0);
  CHECK(eventually([&] { return stat(server, "log_watchers") == 0; }));
  CHECK(client.ask_line("mn") == "MN");
}

TEST_CASE("a server stops under the eyes of its watchers") {
  auto server = std::make_unique<TempServer>();
  WireClient watcher = watch(*server, "connevents");
  WireClient client = server->connect();
  CHECK(client.ask_line("mn") == "MN");
  server.reset();
  shows(watcher, {"conn_new rip=127.0.0.1 rport=# transport=tcp cfd=#"});
  shows(watcher, {"conn_close rip=127.0.0.1 rport=# transport=tcp reason=error cfd=#"});
  CHECK(watcher.closed_by_peer());
}
