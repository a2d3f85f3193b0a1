#include "tools/larder/health.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace larder;
using namespace larder::operate;
using Sentences = std::vector<std::string>;

namespace {

NodeHealth node(const std::string& name, const std::string& more = "") {
  NodeHealth health;
  health.node = name;
  health.stats = Stats::parse(
      more +
      "STAT uptime 300\r\nSTAT version 1.6.45\r\nSTAT get_hits 90\r\nSTAT get_misses 10\r\n"
      "STAT bytes 50\r\nSTAT limit_maxbytes 100\r\nSTAT evictions 0\r\nSTAT curr_connections 3\r\n"
      "STAT max_connections 100\r\nSTAT rejected_connections 0\r\nSTAT accepting_conns 1\r\n");
  return health;
}

Sentences problems(const std::vector<NodeHealth>& nodes, const HealthLimits& limits = {}) {
  return verdict_of(nodes, limits).problems;
}

}  // namespace

TEST_CASE("nodes that answer and have nothing to say are well") {
  const std::vector<NodeHealth> nodes{node("a:1"), node("b:1")};
  const Verdict verdict = verdict_of(nodes, {});
  CHECK(verdict.problems.empty());
  CHECK(verdict.notes.empty());
  const std::string text = health_text(nodes, verdict);
  CHECK(text.find("\na:1    1.6.45  5 min  90.0%   50.0%        0      3         0     -\n") !=
        std::string::npos);
  CHECK(text.ends_with("\nAll is well.\n"));
}

TEST_CASE("a node that is not reached is a problem in the words of its error") {
  NodeHealth dead;
  dead.node = "b:1";
  dead.error = client::Error{client::ErrorKind::Unreachable, "b:1 refuses connections"};
  const std::vector<NodeHealth> nodes{node("a:1"), dead};
  CHECK(problems(nodes) == Sentences{"b:1 refuses connections"});
  const Verdict verdict = verdict_of(nodes, {});
  const std::string text = health_text(nodes, verdict);
  CHECK(text.find("\nb:1         -  ") != std::string::npos);
  CHECK(text.ends_with("\nproblem: b:1 refuses connections\n"));
  const Json json = health_json(nodes, verdict);
  CHECK(json["healthy"] == false);
  CHECK(json["nodes"][1]["reachable"] == false);
  CHECK(json["nodes"][1]["error"]["kind"] == "unreachable");
  CHECK(verdict_of({dead}, {}).problems.size() == 1);
}

TEST_CASE("connections that are refused, or soon will be, are a problem") {
  CHECK(problems({node("a:1", "STAT rejected_connections 7\r\n")}) ==
        Sentences{"a:1 has rejected 7 connections since its start"});
  CHECK(problems({node("a:1", "STAT curr_connections 90\r\n")}) ==
        Sentences{"a:1 has 90 of at most 100 connections"});
  CHECK(problems({node("a:1", "STAT curr_connections 89\r\n")}).empty());
  CHECK(problems({node("a:1", "STAT accepting_conns 0\r\n")}) ==
        Sentences{"a:1 takes no new connections"});
}

TEST_CASE("hits and memory are problems only beyond the limits that were given") {
  CHECK(problems({node("a:1")}, {90.0, 50.0}).empty());
  CHECK(problems({node("a:1")}, {90.1, 49.9}) ==
        Sentences{"a:1 has a hit ratio of only 90.0%", "a:1 uses 50.0% of its memory"});
  // Nothing was asked for yet.
  CHECK(problems({node("a:1", "STAT get_hits 0\r\nSTAT get_misses 0\r\n")}, {50.0, {}}).empty());
}

TEST_CASE("nodes must publish one list of nodes, or all none") {
  std::vector<NodeHealth> nodes{node("a:1"), node("b:1"), node("c:1")};
  for (NodeHealth& one : nodes) one.cluster = ClusterList{4, "x|y|1"};
  CHECK(problems(nodes).empty());
  nodes[1].cluster->version = 3;
  nodes[2].cluster.reset();
  CHECK(problems(nodes) ==
        Sentences{"b:1 publishes another list of nodes than a:1: version 3, not 4",
                  "c:1 publishes no list of nodes, and a:1 does"});
  const Json json = health_json(nodes, verdict_of(nodes, {}));
  CHECK(json["nodes"][0]["cluster"]["version"] == 4);
  CHECK(json["nodes"][2]["cluster"].is_null());
}

TEST_CASE("a node that is published and was not asked is a problem, told once") {
  std::vector<NodeHealth> nodes{node("a:1"), node("b:1")};
  for (NodeHealth& one : nodes) {
    one.cluster = ClusterList{4, "a|10.0.0.1|1 b|10.0.0.2|1 c|10.0.0.3|1"};
    one.unasked = {{"c", "10.0.0.3", 1}};
  }
  CHECK(problems(nodes) ==
        Sentences{"a:1 publishes the node c:1, which --servers does not have, so "
                  "that it was not checked"});
}

TEST_CASE("a published node was asked if its name or its address was, at its port") {
  const ClusterList list{1, "a|10.0.0.1|1 b||2 c|10.0.0.3|3 nonsense"};
  const auto addresses_of = [](const std::string& host) {
    return host == "b" ? Sentences{"10.0.0.2"} : Sentences{};
  };
  const auto unasked = [&](const std::vector<AskedPlace>& asked) {
    Sentences texts;
    for (const ClusterNode& one : unasked_nodes(list, asked, addresses_of)) {
      texts.push_back(one.text());
    }
    return texts;
  };
  CHECK(unasked({}) == Sentences{"a:1", "b:2", "c:3"});
  CHECK(unasked({{{"10.0.0.1"}, 1}, {{"10.0.0.2"}, 2}, {{"c"}, 3}}).empty());
  CHECK(unasked({{{"10.0.0.1"}, 9}, {{"b"}, 2}, {{"10.0.0.3", "x"}, 3}}) == Sentences{"a:1"});
  // A Unix socket may be any of them.
  CHECK(unasked({{{}, 0}, {{"a"}, 1}, {{"b"}, 2}}).empty());
  CHECK(unasked({{{}, 0}, {{"a"}, 1}}) == Sentences{"b:2", "c:3"});
}

TEST_CASE("evictions and other versions are worth a note and no more") {
  const Verdict verdict =
      verdict_of({node("a:1", "STAT evictions 3\r\n"), node("b:1", "STAT version 1.6.18\r\n")}, {});
  CHECK(verdict.problems.empty());
  CHECK(verdict.notes == Sentences{"a:1 has evicted 3 items since its start",
                                   "b:1 is of version 1.6.18, a:1 of 1.6.45"});
}

TEST_CASE("the health as JSON has the figures themselves") {
  const std::vector<NodeHealth> nodes{node("a:1")};
  const Json json = health_json(nodes, {});
  CHECK(json["healthy"] == true);
  const Json& one = json["nodes"][0];
  CHECK(one["reachable"] == true);
  CHECK(one["version"] == "1.6.45");
  CHECK(one["hit_ratio"] == 0.9);
  CHECK(one["uptime_seconds"] == 300);
  CHECK(one["memory_bytes"] == 50);
  CHECK(one["memory_limit_bytes"] == 100);
  CHECK(one["connections"] == 3);
  CHECK(one["cluster"].is_null());
}
