#include "proto/admin_parser.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>

using namespace larder::proto;

namespace {

AdminRequest crawler(std::string_view args) { return parse_admin(Op::Crawler, args); }
AdminRequest slabs(std::string_view args) { return parse_admin(Op::Slabs, args); }
AdminRequest lru(std::string_view args) { return parse_admin(Op::Lru, args); }

bool unknown(const AdminRequest& request) {
  return request.op == AdminOp::None && request.error == ErrorId::UnknownCommand;
}

}  // namespace

TEST_CASE("lru_crawler takes its words, also shortened, and counts them") {
  CHECK(crawler("metadump all").op == AdminOp::MetaDump);
  CHECK(crawler("metadump all").classes == "all");
  CHECK(crawler("m 1,2").op == AdminOp::MetaDump);
  CHECK(crawler("mg hash").op == AdminOp::MgDump);
  CHECK(crawler("c 1").op == AdminOp::Crawl);
  CHECK(crawler("e").op == AdminOp::CrawlerEnable);
  CHECK(crawler("disable").op == AdminOp::CrawlerDisable);
  CHECK(crawler("tocrawl 5").number == 5);
  CHECK(crawler("sleep 1000000").error == ErrorId::None);
  CHECK(crawler("sleep 1000001").error == ErrorId::CrawlerSleepTooLong);
  CHECK(crawler("sleep abc").error == ErrorId::BadCommandLine);
  CHECK(crawler("tocrawl -1").error == ErrorId::BadCommandLine);
  CHECK(crawler("tocrawl 4294967296").error == ErrorId::BadCommandLine);
  for (const char* line : {"", "metadump", "metadump all x", "metadump all noreply", "foo",
                           "foo bar", "enable x", "metadumps all", "crawl 1, 2"}) {
    INFO(line);
    CHECK(unknown(crawler(line)));
  }
}

TEST_CASE("slabs reassigns between classes and takes automove settings") {
  const AdminRequest request = slabs("reassign -1 63");
  CHECK(request.op == AdminOp::SlabsReassign);
  CHECK(request.source == -1);
  CHECK(request.target == 63);
  CHECK(slabs("r 1 x").op == AdminOp::SlabsReassign);
  CHECK(slabs("r 1 x").error == ErrorId::BadCommandLine);
  CHECK(slabs("automove 2").number == 2);
  CHECK(slabs("automove 3").error == ErrorId::UnknownCommand);
  CHECK(slabs("automove -1").error == ErrorId::BadCommandLine);
  CHECK(slabs("a 1 4").error == ErrorId::None);
  CHECK(slabs("automove window 3").op == AdminOp::AutomoveWindow);
  CHECK(slabs("automove w 1800").number == 1800);
  CHECK(slabs("automove window 2").error == ErrorId::SlabsAutomoveWindow);
  CHECK(slabs("automove window 1801").error == ErrorId::SlabsAutomoveWindow);
  CHECK(slabs("automove window").error == ErrorId::BadCommandLine);
  CHECK(slabs("automove r 0.25").op == AdminOp::AutomoveRatio);
  CHECK(slabs("automove f 0.25").op == AdminOp::AutomoveFreeRatio);
  CHECK(slabs("automove ratio .5").fraction == 0.5);
  CHECK(slabs("automove ratio 0x10").fraction == 16);
  CHECK(std::isnan(slabs("automove ratio nan").fraction));
  for (const char* line :
       {"automove ratio", "automove ratio x", "automove ratio 1.5x", "automove ratio 1e999",
        "automove ratio 0.00000000000000000000000000000000001"}) {
    INFO(line);
    CHECK(slabs(line).error == ErrorId::UnknownCommand);
  }
  for (const char* line : {"", "reassign", "reassign 1", "reassign 1 2 3", "automove", "foo 1 2"}) {
    INFO(line);
    CHECK(unknown(slabs(line)));
  }
}

TEST_CASE("lru tunes percents, factors, mode and temporary TTL") {
  const AdminRequest tune = lru("tune 10 25 0.1 2.0");
  CHECK(tune.op == AdminOp::LruTune);
  CHECK(tune.error == ErrorId::None);
  CHECK(tune.hot_percent == 10);
  CHECK(tune.warm_percent == 25);
  CHECK(tune.hot_factor == 0.1);
  CHECK(tune.warm_factor == 2.0);
  CHECK(lru("t 10 25 0.1 2.0 3").error == ErrorId::None);
  CHECK(lru("tune 40 41 0.1 2.0").error == ErrorId::LruPercents);
  CHECK(lru("tune 4294967295 2 0.1 2.0").error == ErrorId::LruPercents);
  CHECK(lru("tune 40 40 0 2.0").error == ErrorId::LruFactors);
  CHECK(lru("tune x 40 1 2.0").error == ErrorId::UnknownCommand);
  CHECK_FALSE(lru("mode f").segmented);
  CHECK(lru("m segmented").segmented);
  CHECK(lru("mode segmentedx").error == ErrorId::UnknownCommand);
  CHECK(lru("t -1").op == AdminOp::LruTempTtl);
  CHECK(lru("temp_ttl -1").seconds == -1);
  CHECK(lru("temp_ttl x").error == ErrorId::UnknownCommand);
  for (const char* line : {"", "tune", "tune 10 25 0.1", "mode", "temp_ttl", "foo", "foo bar"}) {
    INFO(line);
    CHECK(unknown(lru(line)));
  }
}

TEST_CASE("a list of classes is all, hash, or numbers with commas between them") {
  CHECK(read_class_list("all", 63).kind == ClassList::Kind::All);
  CHECK(read_class_list("hash", 63).kind == ClassList::Kind::Hash);
  const ClassList some = read_class_list("1,+63,,7", 63);
  CHECK(some.kind == ClassList::Kind::Some);
  CHECK(some.classes.count() == 3);
  CHECK(some.has(63));
  CHECK_FALSE(some.has(2));
  CHECK(read_class_list("all", 63).has(255));
  CHECK(read_class_list(",", 63).classes.none());
  for (const char* bad :
       {"0", "64", "x", "1,x", "1x", "-1", "+-1", "+", "alls", "ALL", "18446744073709551617"}) {
    INFO(bad);
    CHECK(read_class_list(bad, 63).kind == ClassList::Kind::Bad);
  }
  CHECK(read_class_list("160", 160).kind == ClassList::Kind::Some);
  CHECK(read_class_list("256", 1000).kind == ClassList::Kind::Bad);
}
