#include "tools/larder/top_frame.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace larder::operate;
using std::chrono::seconds;

namespace {

const auto kStart = std::chrono::steady_clock::time_point(seconds(1000));

NodeSample sample(const std::string& node, uint64_t figure, seconds when) {
  const std::string text = std::to_string(figure);
  NodeSample one;
  one.node = node;
  one.when = kStart + when;
  one.stats = Stats::parse(
      "STAT cmd_get " + std::to_string(figure * 4) + "\r\nSTAT cmd_set " + text +
      "\r\nSTAT get_hits " + std::to_string(figure * 3) + "\r\nSTAT get_misses " + text +
      "\r\nSTAT evictions 0\r\nSTAT bytes_read " + std::to_string(figure * 1000) +
      "\r\nSTAT bytes_written " + std::to_string(figure * 2000) +
      "\r\nSTAT bytes 25\r\nSTAT limit_maxbytes 100\r\nSTAT curr_items 7\r\n"
      "STAT curr_connections 12\r\n");
  return one;
}

NodeFigures busy(const std::string& node) {
  NodeSample now = sample(node, 300, seconds(2));
  now.latency = Stats::parse(
      "STAT get:count 1200\r\nSTAT get:mean_us 14.53\r\nSTAT get:p50_us 12.5\r\n"
      "STAT get:p90_us 20\r\nSTAT get:p99_us 33.4\r\nSTAT get:p999_us 1500\r\n"
      "STAT set:count 0\r\nSTAT slow_requests 0\r\nEND\r\n");
  return figures_of(sample(node, 100, seconds(0)), now);
}

NodeFigures dead(const std::string& node) {
  NodeSample now;
  now.node = node;
  now.error = node + " refuses connections";
  return figures_of(sample(node, 1, seconds(0)), now);
}

}  // namespace

TEST_CASE("rates are what was counted between two samples, per second") {
  const NodeFigures figures = busy("a:1");
  CHECK(*figures.gets == Approx(400));
  CHECK(*figures.sets == Approx(100));
  CHECK(*figures.hits == Approx(0.75));
  CHECK(*figures.evictions == 0);
  CHECK(*figures.bytes_in == Approx(100'000));
  CHECK(*figures.bytes_out == Approx(200'000));
  REQUIRE(figures.latencies.size() == 1);
  CHECK(figures.latencies[0].command == "get");
  CHECK(figures.latencies[0].count == 1200);
  CHECK(figures.latencies[0].p999 == 1500);
}

TEST_CASE("there are no rates before a second sample, nor where counters went back") {
  const NodeSample now = sample("a:1", 100, seconds(2));
  CHECK_FALSE(figures_of(now, now).gets);
  CHECK_FALSE(figures_of(NodeSample(), now).gets);
  const NodeFigures restarted = figures_of(sample("a:1", 200, seconds(0)), now);
  CHECK_FALSE(restarted.gets);
  CHECK_FALSE(restarted.hits);
  CHECK(restarted.items == 7);
}

TEST_CASE("the sum is of those that answered") {
  const NodeFigures sum = sum_of({busy("a:1"), dead("b:1"), busy("c:1")});
  CHECK(*sum.gets == Approx(800));
  CHECK(*sum.hits == Approx(0.75));
  CHECK(sum.items == 14);
  CHECK(sum.memory_limit_bytes == 200);
  CHECK_FALSE(sum_of({dead("b:1")}).gets);
}

TEST_CASE("a frame of 80 columns has all figures") {
  const auto lines = frame_lines({busy("127.0.0.1:11211"), dead("127.0.0.1:11212")},
                                 "q quits, every 2 s, 12:00:00", {80, 24});
  REQUIRE(lines.size() == 9);
  CHECK(lines[0] ==
        "larder top: 2 nodes, 1 not reached                  q quits, every 2 s, 12:00:00");
  CHECK(lines[1] == "");
  CHECK(lines[2] ==
        "node                 get/s set/s  hit%  mem% items evt/s conns  in/s out/s p99us");
  CHECK(lines[3] ==
        "127.0.0.1:11211        400   100  75.0  25.0     7     0    12  100k  200k    33");
  CHECK(lines[4] == "127.0.0.1:11212      127.0.0.1:11212 refuses connections");
  CHECK(lines[5] ==
        "all                    400   100  75.0  25.0     7     0    12  100k  200k     -");
  CHECK(lines[7] ==
        "microseconds             command   timed    mean     p50     p90     p99   p99.9");
  CHECK(lines[8] ==
        "127.0.0.1:11211          get        1200      15      12      20      33    1500");
}

TEST_CASE("a frame never leaves its window, however small or full") {
  std::vector<NodeFigures> nodes;
  for (int i = 0; i < 30; ++i) {
    nodes.push_back(i % 3 == 0 ? dead(std::string(100, 'n')) : busy(std::string(100, 'n')));
  }
  for (const size_t columns : {1, 10, 79, 80, 81, 200}) {
    for (const size_t rows : {1, 2, 5, 24, 100}) {
      const auto lines = frame_lines(nodes, "remark", {columns, rows});
      CHECK(lines.size() <= rows);
      for (const std::string& line : lines) CHECK(line.size() <= columns);
    }
  }
  const auto lines = frame_lines(nodes, "", {80, 24});
  CHECK(lines.back() == "... 33 lines more in a taller window");
  CHECK(lines[3].starts_with("nnnnnnnnnnnnnnnnnnn~ nnnn"));
}

TEST_CASE("a frame as JSON has null where nothing can be told") {
  const NodeSample now = sample("a:1", 100, seconds(2));
  const Json json = frame_json({busy("a:1"), dead("b:1"), figures_of(now, now)});
  CHECK(json[0]["gets_per_second"] == Approx(400));
  CHECK(json[0]["latency"]["get"]["p99_us"] == 33.4);
  CHECK(json[1]["error"] == "b:1 refuses connections");
  CHECK(json[2]["gets_per_second"].is_null());
  CHECK(json[2]["items"] == 7);
}
