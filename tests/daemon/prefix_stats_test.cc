#include "daemon/prefix_stats.h"

#include <catch2/catch.hpp>
#include <string>

namespace larder::daemon {
namespace {

TEST_CASE("counts are kept by what stands before the delimiter") {
  PrefixStats stats('/', true);
  stats.count_get("user/1", true);
  stats.count_get("user/2", false);
  stats.count_set("user/a/b");
  stats.count_delete("user/");
  stats.count_get("user:1", true);  // no delimiter: not counted
  CHECK(stats.dump() == "PREFIX user get 2 hit 1 set 1 del 1\r\nEND");
  stats.clear();
  CHECK(stats.dump() == "END");
  stats.count_set("/rooted");  // an empty prefix is one
  CHECK(stats.dump() == "PREFIX  get 0 hit 0 set 1 del 0\r\nEND");
}

TEST_CASE("a dump gives the lock back after each slice, and has every prefix once") {
  PrefixStats stats(':', true);
  constexpr size_t kPrefixes = 3 * PrefixStats::kPrefixesPerSlice + 7;
  std::string whole;
  for (size_t i = 0; i < kPrefixes; ++i) {
    stats.count_get(std::to_string(i) + ":k", true);
    whole += "PREFIX " + std::to_string(i) + " get 1 hit 1 set 0 del 0\r\n";
  }
  std::string text;
  size_t next = 0;
  size_t slices = 0;
  do {
    const size_t first = next;
    next = stats.append_slice(first, text);
    ++slices;
    CHECK((next == 0 || next == first + PrefixStats::kPrefixesPerSlice));
    stats.count_get("0:k", false);  // has been told
  } while (next != 0);
  CHECK(slices == 4);
  CHECK(text == whole);
  CHECK(stats.dump().starts_with("PREFIX 0 get 5 hit 1 set 0 del 0\r\nPREFIX 1 get 1 "));
}

TEST_CASE("a dump that counts are cleared under ends") {
  PrefixStats stats(':', true);
  for (size_t i = 0; i <= PrefixStats::kPrefixesPerSlice; ++i) {
    stats.count_set(std::to_string(i) + ":k");
  }
  std::string text;
  const size_t next = stats.append_slice(0, text);
  REQUIRE(next == PrefixStats::kPrefixesPerSlice);
  stats.clear();
  const size_t told = text.size();
  CHECK(stats.append_slice(next, text) == 0);
  CHECK(text.size() == told);
}

TEST_CASE("the number of prefixes is bounded, those that are known go on counting") {
  PrefixStats stats(':', true);
  for (size_t i = 0; i < PrefixStats::kMaxPrefixes + 10; ++i) {
    stats.count_set(std::to_string(i) + ":k");
  }
  stats.count_set("0:k");
  const std::string dump = stats.dump();
  CHECK(dump.find("PREFIX 0 get 0 hit 0 set 2 del 0\r\n") != std::string::npos);
  CHECK(dump.find("PREFIX " + std::to_string(PrefixStats::kMaxPrefixes) + " ") ==
        std::string::npos);
}

}  // namespace
}  // namespace larder::daemon
