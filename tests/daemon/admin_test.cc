#include "daemon/admin.h"

#include <catch2/catch.hpp>
#include <string>

#include "daemon/server.h"
#include "proto/error_lines.h"

using namespace larder;
using namespace larder::daemon;
using proto::ErrorId;
using proto::Op;

namespace {

Settings quiet_settings() {
  Settings settings;
  settings.threads = 1;
  settings.memory_bytes = 64u << 20;
  return settings;
}

// A server that is not started: its cache, settings and tuning.
struct Fixture {
  explicit Fixture(const Settings& settings = quiet_settings())
      : server(settings), admin(server.cache(), server) {}

  // The line that answers; empty where a dump has begun.
  std::string ask(Op op, std::string_view args, Admin::Dumps dumps = Admin::Dumps::Possible) {
    proto::Command command;
    command.op = op;
    command.args = args;
    proto::Reply reply;
    reply.status = proto::Status::Ok;
    dump = admin.run(command, dumps, reply);
    if (reply.status == proto::Status::None) return "";
    return reply.status == proto::Status::Ok ? "OK"
                                             : std::string(proto::error_line(reply.error).text);
  }
  std::string crawler(std::string_view args) { return ask(Op::Crawler, args); }
  std::string slabs(std::string_view args) { return ask(Op::Slabs, args); }
  std::string lru(std::string_view args) { return ask(Op::Lru, args); }
  Settings::Accepted in_force() { return server.tuning().in_force(server.settings().accepted); }

  void store(int from, int to, const std::string& value) {
    for (int i = from; i < to; ++i) {
      const std::string key = "k" + std::to_string(100'000 + i);
      core::Cache& cache = server.cache();
      cache.begin_turn(0);
      core::ItemShape shape;
      shape.value_bytes = static_cast<uint32_t>(value.size());
      core::ItemDraft draft;
      REQUIRE(cache.allocate(0, {key, cache.hash(key)}, shape, core::kFirstSecond, draft) ==
              core::AllocateStatus::Ok);
      REQUIRE(draft.append(value));
      const core::StoreResult result = cache.store(0, std::move(draft), {}, core::kFirstSecond);
      size_class = cache.class_of(*result.item) + 1;
      cache.end_turn(0);
    }
  }
  void remove_every_second(int to) {
    for (int i = 0; i < to; i += 2) {
      const std::string key = "k" + std::to_string(100'000 + i);
      core::Cache& cache = server.cache();
      cache.begin_turn(0);
      (void)cache.remove(0, {key, cache.hash(key)}, {}, core::kFirstSecond);
      cache.end_turn(0);
    }
  }

  Server server;
  Admin admin;
  std::unique_ptr<Dump> dump;
  uint32_t size_class = 0;  // on the wire, of what was stored last
};

}  // namespace

TEST_CASE("the crawler is enabled and disabled, and refuses what it must not do") {
  Fixture f;
  CHECK(f.crawler("enable") == "ERROR failed to start lru crawler thread");
  CHECK(f.crawler("disable") == "OK");
  CHECK(f.crawler("disable") == "OK");
  CHECK_FALSE(f.in_force().lru_crawler);
  CHECK_FALSE(f.server.cache().background_expiry());
  CHECK(f.crawler("crawl 1") == "CLIENT_ERROR lru crawler disabled");
  CHECK(f.crawler("metadump x") == "CLIENT_ERROR lru crawler disabled");
  CHECK(f.crawler("mgdump all") == "CLIENT_ERROR lru crawler disabled");
  CHECK(f.crawler("sleep 5") == "OK");
  CHECK(f.crawler("enable") == "OK");
  CHECK(f.in_force().lru_crawler);
  CHECK(f.server.cache().background_expiry());
  CHECK(f.in_force().lru_crawler_sleep_us == 5);
  CHECK(f.crawler("tocrawl 9") == "OK");
  CHECK(f.in_force().lru_crawler_tocrawl == 9);
  CHECK(f.crawler("foo") == "ERROR");
}

TEST_CASE("a crawl is answered at once, and counted") {
  Fixture f;
  CHECK(f.crawler("crawl all") == "OK");
  CHECK(f.crawler("crawl 1,2,63") == "OK");
  CHECK(f.server.tuning().crawler_starts == 2);
  CHECK(f.crawler("crawl 0") == "BADCLASS invalid class id");
  CHECK(f.crawler("crawl ,") == "NOTSTARTED no items to crawl");
  CHECK(f.crawler("crawl hash") == "ERROR an unknown error happened");
  CHECK(f.server.tuning().crawler_starts == 2);
}

TEST_CASE("a dump begins unless it may not, and only so many run at a time") {
  Fixture f;
  CHECK(f.ask(Op::Crawler, "metadump all", Admin::Dumps::Pipelined) ==
        "ERROR cannot pipeline other commands before metadump");
  CHECK(f.ask(Op::Crawler, "mgdump all", Admin::Dumps::Pipelined) ==
        "ERROR cannot pipeline other commands before mgdump");
  CHECK(f.ask(Op::Crawler, "metadump all", Admin::Dumps::Impossible) ==
        "ERROR metadump not allowed");
  CHECK(f.crawler("metadump 500") == "BADCLASS invalid class id");
  CHECK(f.dump == nullptr);
  std::vector<std::unique_ptr<Dump>> running;
  for (uint32_t i = 0; i < Dump::kMostAtOnce; ++i) {
    CHECK(f.crawler("mgdump all") == "");
    running.push_back(std::move(f.dump));
    REQUIRE(running.back() != nullptr);
  }
  CHECK(f.crawler("metadump all") == "BUSY currently processing crawler request");
  CHECK(f.server.tuning().dumps_running == Dump::kMostAtOnce);
  running.pop_back();
  CHECK(f.crawler("metadump 1") == "");
  CHECK(f.server.tuning().crawler_starts == Dump::kMostAtOnce + 1);
  f.dump.reset();
  running.clear();
  CHECK(f.server.tuning().dumps_running == 0);
}

TEST_CASE("-X forbids dumps, each in its own words") {
  Settings settings = quiet_settings();
  settings.allow_dumps = false;
  Fixture f(settings);
  CHECK(f.crawler("metadump all") == "ERROR metadump not allowed");
  CHECK(f.crawler("mgdump all") == "ERROR key dump not allowed");
  CHECK(f.crawler("crawl all") == "OK");
}

TEST_CASE("slabs reassign empties a page of the source, if it can") {
  Fixture f;
  CHECK(f.slabs("reassign 1 1") == "SAME src and dst class are identical");
  CHECK(f.slabs("reassign -1 -1") == "SAME src and dst class are identical");
  CHECK(f.slabs("reassign -1 1") == "BADCLASS invalid src or dst class id");
  CHECK(f.slabs("reassign 1 -2") == "BADCLASS invalid src or dst class id");
  CHECK(f.slabs("reassign 1 1000") == "BADCLASS invalid src or dst class id");
  CHECK(f.slabs("reassign 0 1") == "NOSPARE source class has no spare pages");
  CHECK(f.slabs("reassign 1 0") == "NOSPARE source class has no spare pages");
  CHECK(f.slabs("reassign 1 x") == "CLIENT_ERROR bad command line format");

  f.store(0, 2000, std::string(200, 'x'));
  const std::string from_here = "reassign " + std::to_string(f.size_class) + " 0";
  CHECK(f.slabs(from_here) == "NOSPARE source class has no spare pages");
  f.remove_every_second(2000);
  f.server.cache().tend(0, core::kFirstSecond, 1000);
  CHECK(f.slabs(from_here) == "OK");
  CHECK(f.slabs(from_here) == "BUSY currently processing reassign request");
  for (int i = 0; i < 100 && f.server.cache().totals().pages_moved == 0; ++i) {
    f.server.cache().tend(0, core::kFirstSecond, 1000);
  }
  CHECK(f.server.cache().totals().pages_moved == 1);
  CHECK(f.server.cache().totals().items == 1000);
  CHECK(f.slabs("reassign -1 1") == "OK");
}

TEST_CASE("slabs reassign can be turned off") {
  Settings settings = quiet_settings();
  settings.accepted.slab_reassign = false;
  Fixture f(settings);
  CHECK(f.slabs("reassign x y") == "CLIENT_ERROR slab reassignment disabled");
  CHECK(f.slabs("automove 0") == "OK");
}

TEST_CASE("what slabs automove and lru set is kept and shown") {
  Fixture f;
  CHECK(f.slabs("automove 2") == "OK");
  CHECK(f.slabs("automove window 20") == "OK");
  CHECK(f.slabs("automove ratio 0.5") == "OK");
  CHECK(f.slabs("automove freeratio 0.25") == "OK");
  CHECK(f.slabs("automove window 2") == "CLIENT_ERROR automove window too low or too high");
  CHECK(f.lru("tune 10 25 0.1 3") == "OK");
  CHECK(f.lru("tune 50 50 0.1 3") == "ERROR hot and warm pcts must not exceed 80");
  CHECK(f.lru("tune 10 25 0 3") == "ERROR hot/warm age factors must be greater than 0");
  CHECK(f.lru("mode flat") == "OK");
  CHECK(f.lru("temp_ttl 77") == "OK");
  const Settings::Accepted now = f.in_force();
  CHECK(now.slab_automove == 2);
  CHECK(now.slab_automove_window == 20);
  CHECK(now.slab_automove_ratio == 0.5);
  CHECK(now.slab_automove_freeratio == 0.25);
  CHECK(now.hot_lru_pct == 10);
  CHECK(now.warm_lru_pct == 25);
  CHECK(now.hot_max_factor == 0.1);
  CHECK(now.warm_max_factor == 3);
  CHECK_FALSE(now.lru_segmented);
  CHECK(now.temp_lru);
  CHECK(now.temporary_ttl == 77);
  CHECK(f.lru("temp_ttl -1") == "OK");
  CHECK_FALSE(f.in_force().temp_lru);
  CHECK(f.in_force().temporary_ttl == 77);
}

TEST_CASE("without the maintainer there is no mode to choose") {
  Settings settings = quiet_settings();
  settings.accepted.lru_maintainer = false;
  Fixture f(settings);
  CHECK(f.lru("mode flat") == "ERROR");
  CHECK(f.lru("temp_ttl 5") == "ERROR");
  CHECK(f.lru("tune 10 25 0.1 3") == "OK");
}
