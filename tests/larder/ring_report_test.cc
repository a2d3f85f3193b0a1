#include "tools/larder/ring_report.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

using namespace larder;
using namespace larder::operate;

namespace {

client::Ring ring(client::RingKind kind, std::vector<client::RingNode> nodes) {
  auto made = client::Ring::make(kind, std::move(nodes));
  REQUIRE(made.error == "");
  return std::move(*made.ring);
}

// Of two servers with weights 1 and 3 to which modula, that ignores them, gives the same; a third
// one of weight 4 joins.
RingReport uneven(const std::string& second_host = "b") {
  const auto kind = client::RingKind::LibmemcachedModula;
  return report_of(ring(kind, {{"a", 1, 1}, {second_host, 2, 3}}),
                   ring(kind, {{"a", 1, 1}, {second_host, 2, 3}, {"c", 3, 4}}), "if c:3 joined",
                   100'000);
}

size_t widest_line(const std::string& text) {
  size_t widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

}  // namespace

TEST_CASE("a report has what each node has beside what its weight would give it") {
  const RingReport report = uneven();
  REQUIRE(report.nodes.size() == 2);
  CHECK(report.nodes[0].share_by_weight == 0.25);
  CHECK(report.nodes[1].share_by_weight == 0.75);
  CHECK(report.nodes[0].share == Approx(0.5).epsilon(0.02));
  CHECK(report.nodes[0].share + report.nodes[1].share == Approx(1));
  CHECK(report.max_over_mean == Approx(report.nodes[0].share / 0.25));
  CHECK(report.moved == Approx(2 / 3.0).epsilon(0.02));
  CHECK(report.least_moved == 0.5);
}

TEST_CASE("the table has a line for each node and fits 80 columns, long names too") {
  const std::string text = report_text(uneven());
  CHECK(text.starts_with("libmemcached-modula, 2 nodes, 100000 keys counted\n\nnode "));
  CHECK(text.find("\na:1     ") != std::string::npos);
  CHECK(text.find(" 75.000%   ") != std::string::npos);
  CHECK(text.find("% of the keys would move if c:3 joined; the least there is: 50.0%.\n") !=
        std::string::npos);
  CHECK(widest_line(text) <= 80);
  const std::string host(76, 'h');
  const std::string long_text = report_text(uneven(host));
  CHECK(long_text.find("\n" + host + ":2\n    ") != std::string::npos);
  CHECK(widest_line(long_text) <= 80);
}

TEST_CASE("a single node has all keys, and nothing is wrong with that") {
  const auto kind = client::RingKind::Dalli;
  const std::string text = report_text(
      report_of(ring(kind, {{"a", 1}}), ring(kind, {{"a", 1}, {"b", 1}}), "if b:1 joined", 1000));
  CHECK(text.starts_with("dalli, 1 node, 1000 keys counted\n"));
  CHECK(text.find("\nThe node that is worst off has 1.000 times ") != std::string::npos);
}

TEST_CASE("a report as JSON has the same figures") {
  const RingReport report = uneven();
  const auto json = nlohmann::json::parse(report_json(report));
  CHECK(json["ring"] == "libmemcached-modula");
  CHECK(json["keys"] == 100'000);
  CHECK(json["nodes"][1]["node"] == "b:2");
  CHECK(json["nodes"][1]["weight"] == 3);
  CHECK(json["nodes"][1]["share"] == report.nodes[1].share);
  CHECK(json["nodes"][1]["share_by_weight"] == 0.75);
  CHECK(json["max_over_mean"] == report.max_over_mean);
  CHECK(json["change"]["text"] == "if c:3 joined");
  CHECK(json["change"]["moved"] == report.moved);
  CHECK(json["change"]["least_moved"] == 0.5);
}

TEST_CASE("the list has every ring with its users and fits 80 columns") {
  const std::string text = "\n" + list_text();
  const auto json = nlohmann::json::parse(list_json());
  REQUIRE(json.size() == client::ring_kinds().size());
  for (size_t i = 0; i < json.size(); ++i) {
    const client::RingKindRow& row = client::ring_kinds()[i];
    CHECK(text.find("\n" + std::string(row.name) + "\n") != std::string::npos);
    CHECK(json[i]["ring"] == row.name);
    CHECK(json[i]["users"] == row.users);
    CHECK_FALSE(row.users.empty());
  }
  CHECK(text.find("\n    Dalli\n    weights followed\n") != std::string::npos);
  CHECK(text.find("\n    weights refused; the default\n") != std::string::npos);
  CHECK(widest_line(text) <= 80);
}
