#include "tools/larder/node_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/larder/exit_status.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/lifetime.h"
#include "tools/larder/report.h"
#include "tools/larder/shown_text.h"
#include "tools/larder/stats_report.h"
#include "tools/larder/text_table.h"

namespace larder::operate {
namespace {

using client::Answer;
using client::Error;
using client::Operation;
using client::Outcome;
using client::Result;
using client::Verb;

struct NodeOptions {
  FleetOptions fleet;
  int64_t delay_seconds = 0;
  std::vector<std::string> group;
  uint32_t count = 5;
};

// What one node said, or why it did not.
template <typename T>
using Said = std::vector<std::optional<Result<T>>>;

// Asks all nodes at once: ask(node) gives a Result<T>.
template <typename T, typename Ask>
Said<T> ask_all(Fleet& fleet, const Ask& ask) {
  Said<T> said(fleet.size());
  fleet.on_every_node([&](size_t node) { said[node].emplace(ask(node)); });
  return said;
}

// Complains of those that failed; the status.
template <typename T>
int complain_of(const Said<T>& said) {
  int status = kFine;
  for (const auto& one : said) {
    if (one->ok()) continue;
    complain(one->error().text);
    status = std::max(status, status_of(one->error()));
  }
  return status;
}

// The members of {"node"}, or of it with "error".
template <typename T, typename Members>
Json json_of_all(const Fleet& fleet, const Said<T>& said, const Members& members) {
  Json all = Json::array();
  for (size_t node = 0; node < said.size(); ++node) {
    Json one = {{"node", fleet.name_of(node)}};
    if (said[node]->ok()) {
      one.update(members(**said[node]));
    } else {
      one["error"] = json_of(said[node]->error());
    }
    all.push_back(std::move(one));
  }
  return all;
}

Result<Answer> run_one(Fleet& fleet, size_t node, const Operation& operation) {
  std::vector<Answer> answers = fleet.run_on(node, {&operation, 1});
  if (answers[0].error) return *answers[0].error;
  return std::move(answers[0]);
}

int do_flush(const NodeOptions& options) {
  Fleet fleet = options.fleet.fleet();
  Operation operation;
  operation.verb = Verb::FlushAll;
  operation.exptime = static_cast<int32_t>(options.delay_seconds);
  const auto said =
      ask_all<Answer>(fleet, [&](size_t node) { return run_one(fleet, node, operation); });
  if (options.fleet.json()) {
    print_json(json_of_all(fleet, said, [](const Answer&) { return Json{{"flushed", true}}; }));
  }
  return complain_of(said);
}

int do_version(const NodeOptions& options) {
  Fleet fleet = options.fleet.fleet();
  Operation operation;
  operation.verb = Verb::Version;
  const auto said =
      ask_all<Answer>(fleet, [&](size_t node) { return run_one(fleet, node, operation); });
  if (options.fleet.json()) {
    print_json(json_of_all(fleet, said, [](const Answer& answer) {
      return Json{{"version", answer.value}};
    }));
    return complain_of(said);
  }
  for (size_t node = 0; node < said.size(); ++node) {
    if (said[node]->ok()) print(fleet.name_of(node) + " " + shown((*said[node])->value) + "\n");
  }
  return complain_of(said);
}

struct Pings {
  double least_ms = 0;
  double mean_ms = 0;
  double most_ms = 0;
};

Result<Pings> ping(Fleet& fleet, size_t node, uint32_t count) {
  if (const auto connection = fleet.connection(node); !connection) return connection.error();
  Operation operation;
  operation.verb = Verb::Noop;
  Pings pings;
  for (uint32_t i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (const auto answer = run_one(fleet, node, operation); !answer) return answer.error();
    const double took =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    pings.least_ms = i == 0 ? took : std::min(pings.least_ms, took);
    pings.most_ms = std::max(pings.most_ms, took);
    pings.mean_ms += took / count;
  }
  return pings;
}

int do_ping(const NodeOptions& options) {
  Fleet fleet = options.fleet.fleet();
  const auto said =
      ask_all<Pings>(fleet, [&](size_t node) { return ping(fleet, node, options.count); });
  if (options.fleet.json()) {
    print_json(json_of_all(fleet, said, [](const Pings& pings) {
      return Json{
          {"least_ms", pings.least_ms}, {"mean_ms", pings.mean_ms}, {"most_ms", pings.most_ms}};
    }));
    return complain_of(said);
  }
  TextTable table;
  table.columns = {{"node", true}, {"least ms"}, {"mean ms"}, {"most ms"}};
  for (size_t node = 0; node < said.size(); ++node) {
    if (!said[node]->ok()) continue;
    const Pings& pings = **said[node];
    table.rows.push_back({fleet.name_of(node), fixed(pings.least_ms, 3), fixed(pings.mean_ms, 3),
                          fixed(pings.most_ms, 3)});
  }
  if (!table.rows.empty()) print(table.text());
  return complain_of(said);
}

std::string group_of(const NodeOptions& options) {
  std::string group;
  for (const std::string& word : options.group) {
    if (word.empty() || std::any_of(word.begin(), word.end(),
                                    [](unsigned char c) { return c <= 0x20 || c == 0x7f; })) {
      throw CLI::ValidationError("GROUP", "'" + word +
                                              "' is empty, or has a blank or a control "
                                              "character");
    }
    group += (group.empty() ? "" : " ") + word;
  }
  return group;
}

int do_stats(const NodeOptions& options) {
  const std::string group = group_of(options);
  Fleet fleet = options.fleet.fleet();
  const auto said =
      ask_all<Stats>(fleet, [&](size_t node) { return ask_stats(fleet, node, group); });
  std::vector<NodeStats> nodes;
  bool any_row = false;
  for (size_t node = 0; node < said.size(); ++node) {
    if (!said[node]->ok()) continue;
    nodes.push_back({fleet.name_of(node), **said[node]});
    any_row = any_row || !nodes.back().stats.rows().empty();
  }
  if (options.fleet.json()) {
    print_json(stats_json(nodes, group));
  } else if (any_row) {
    print(stats_text(nodes, group));
  }
  return complain_of(said);
}

Result<std::vector<SlabClass>> ask_slabs(Fleet& fleet, size_t node) {
  const Result<Stats> slabs = ask_stats(fleet, node, "slabs");
  if (!slabs) return slabs.error();
  const Result<Stats> items = ask_stats(fleet, node, "items");
  if (!items) return items.error();
  return slab_classes(*slabs, *items);
}

int do_slabs(const NodeOptions& options) {
  Fleet fleet = options.fleet.fleet();
  const auto said =
      ask_all<std::vector<SlabClass>>(fleet, [&](size_t node) { return ask_slabs(fleet, node); });
  if (options.fleet.json()) {
    print_json(json_of_all(fleet, said, [](const std::vector<SlabClass>& classes) {
      return Json{{"classes", slabs_json(classes)}};
    }));
    return complain_of(said);
  }
  bool first = true;
  for (size_t node = 0; node < said.size(); ++node) {
    if (!said[node]->ok()) continue;
    if (fleet.size() > 1) print((first ? "" : "\n") + fleet.name_of(node) + "\n");
    print(slabs_text(**said[node]));
    first = false;
  }
  return complain_of(said);
}

}  // namespace

void add_node_commands(Subcommands& subcommands) {
  {
    const auto options = std::make_shared<NodeOptions>();
    CLI::App& command = subcommands.add("flush", "make every node forget all its items",
                                        [options] { return do_flush(*options); });
    command.add_option("--delay", options->delay_seconds, "only after so many seconds (0)")
        ->check(CLI::Range(int64_t{0}, kLongestRelativeSeconds))
        ->type_name("SECONDS");
    options->fleet.add_to(command);
    options->fleet.add_dialect_to(command);
  }
  {
    const auto options = std::make_shared<NodeOptions>();
    CLI::App& command = subcommands.add(
        "stats", "what nodes count: a column for each, and the sum of what can be added up",
        [options] { return do_stats(*options); });
    command
        .add_option("GROUP", options->group,
                    "settings, items, slabs, sizes, conns; of larderd also latency, hotkeys, "
                    "prefixes and larder; reset sets counters to 0")
        ->type_name("");
    options->fleet.add_to(command);
  }
  {
    const auto options = std::make_shared<NodeOptions>();
    CLI::App& command =
        subcommands.add("slabs", "the slab classes of each node, as memcached-tool's display",
                        [options] { return do_slabs(*options); });
    options->fleet.add_to(command);
  }
  {
    const auto options = std::make_shared<NodeOptions>();
    CLI::App& command = subcommands.add("version", "the version of each node",
                                        [options] { return do_version(*options); });
    options->fleet.add_to(command);
    options->fleet.add_dialect_to(command);
  }
  {
    const auto options = std::make_shared<NodeOptions>();
    CLI::App& command =
        subcommands.add("ping", "how long each node takes to answer, once it is connected",
                        [options] { return do_ping(*options); });
    command.add_option("--count", options->count, "how often each is asked (5)")
        ->check(CLI::Range(1u, 1'000'000u))
        ->type_name("N");
    options->fleet.add_to(command);
    options->fleet.add_dialect_to(command);
  }
}

}  // namespace larder::operate
