#include "tools/bench/report.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace larder::bench;

namespace {

// Two rounds of a server.
ServerRuns runs_of(const Cost& cost) {
  return {.runs = {cost, cost}, .settled = true, .huge_pages_mib = 64};
}

Comparison comparison() {
  Comparison row{"get, single", 0, {}, {"AB", "BA"}};
  row.servers = {runs_of({.cpu_ns = 400, .keys_per_second = 1000}),
                 runs_of({.cpu_ns = 800, .keys_per_second = 1000})};
  row.servers[1].huge_pages_mib = 0;
  return row;
}

ComparePlan plan_of(size_t servers) {
  ComparePlan plan;
  plan.rounds = 2;
  for (size_t s = 0; s < servers; ++s) plan.servers.push_back({"server-" + std::to_string(s)});
  return plan;
}

// How many cells a line of a Markdown table has.
auto cells(const std::string& line) { return std::count(line.begin(), line.end(), '|') - 1; }

}  // namespace

TEST_CASE("a row without notes says how much memory is in huge pages, and no more") {
  CHECK(text_of(comparison(), true) ==
        "| get, single | 400 ns | 800 ns | 2.00x (2.00 to 2.00) | 64 / 0 | |\n");
  CHECK(text_of(comparison(), false) ==
        "get, single                            400 ns     800 ns   2.00  2.00 .. 2.00    64 / 0  "
        "       \n");
}

TEST_CASE("every note stands in the text and in the Markdown table") {
  Comparison row = comparison();
  row.rate = 10'000;
  row.servers[0] = runs_of({.cpu_ns = 400,
                            .keys_per_second = 9000,
                            .server_busy = 0.5,
                            .client_busy = 1,
                            .hit_ratio = 0.969});
  row.servers[0].runs[1].hit_ratio = 1;  // one run that missed is enough
  row.servers[1] = runs_of({.cpu_ns = 800, .keys_per_second = 10'000, .errors = 3});
  row.servers[1].settled = false;
  const std::string notes =
      "the client was the limit; A missed up to 3.10%; A could not keep up; B had not settled "
      "after 30 "
      "s; "
      "WRONG REPLIES from B: 6";
  CHECK_THAT(text_of(row, true), Catch::EndsWith("| " + notes + " |\n"));
  CHECK_THAT(text_of(row, false), Catch::EndsWith("; " + notes + "\n"));
  const auto json = nlohmann::json::parse(json_of(plan_of(2), {row}));
  CHECK(json["rows"][0]["notes"].size() == 5);
  CHECK(json["rows"][0]["servers"][1]["errors"] == 6);
  CHECK(json["rows"][0]["servers"][1]["settled"] == false);
  CHECK_THAT(csv_of({row}), Catch::EndsWith(",1,6,0,64.0\n"));
}

TEST_CASE("a server with no part in a row leaves its cells empty") {
  ComparePlan plan = plan_of(3);
  plan.servers[2].many_items_only = true;
  Comparison row = comparison();
  row.servers[1].huge_pages_mib.reset();
  row.servers.emplace_back();
  const std::string line = text_of(row, true);
  CHECK(line == "| get, single | 400 ns | 800 ns | 2.00x (2.00 to 2.00) | | | 64 / ? / - | |\n");
  const std::string heading = heading_of(plan, true);
  CHECK(cells(line) == cells(heading.substr(0, heading.find('\n'))));
  CHECK_THAT(text_of(row, false), Catch::Contains("  64 / ? / -"));
  const auto json = nlohmann::json::parse(json_of(plan, {row}));
  CHECK(json["commands"].size() == 3);
  CHECK(json["rows"][0]["servers"].size() == 2);
  CHECK(json["rows"][0]["servers"][0]["huge_pages_mib"] == 64);
  CHECK(json["rows"][0]["servers"][1]["huge_pages_mib"].is_null());
  const std::string csv = csv_of({row});
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 3);
}

TEST_CASE("the legend of a Markdown table names every server's command") {
  ComparePlan plan = plan_of(2);
  plan.servers[1].many_items_only = true;
  const std::string legend = legend_of(plan, true);
  CHECK_THAT(legend, Catch::Contains("- A: `server-0`\n"));
  CHECK_THAT(legend, Catch::Contains("- B: `server-1` (rows of 10 M items alone)\n"));
  CHECK_THAT(legend, Catch::Contains("2 rounds"));
  CHECK_THAT(heading_of(plan, false), Catch::StartsWith("A: server-0\n"));
}

TEST_CASE("a server's own protocol stands in the legend and in JSON") {
  ComparePlan plan = plan_of(2);
  plan.servers[1].protocol = Dialect::Name::Resp;
  CHECK_THAT(legend_of(plan, true), Catch::Contains("- B: `server-1` (asked in resp)\n"));
  CHECK_THAT(legend_of(plan, false), Catch::Contains("A: server-0\nB: server-1 (asked in resp)\n"));
  const auto json = nlohmann::json::parse(json_of(plan, {comparison()}));
  CHECK(json["protocols"] == nlohmann::json{nullptr, "resp"});
}

TEST_CASE("wrong replies in any row give the run an error status") {
  std::vector<Comparison> rows{comparison(), comparison()};
  CHECK(exit_status_of({}) == 0);
  CHECK(exit_status_of(rows) == 0);
  rows[0].servers[1].runs[1].errors = 1;
  CHECK(exit_status_of(rows) == 1);
}
