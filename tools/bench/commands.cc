#include "tools/bench/commands.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "tools/bench/compare.h"
#include "tools/bench/options.h"
#include "tools/bench/report.h"
#include "tools/bench/run.h"

namespace larder::bench {

struct Commands::State {
  CLI::App& app;
  const std::atomic<bool>& interrupted;

  RunOptions run;
  ComparePlan compare;
  OutputOptions compare_output;
  bool markdown = false;
  bool list = false;
  bool from_options = false;
  std::vector<std::string> only;
  RunOptions own;  // the workload of compare --workload-from-options, and of latency

  CLI::App* run_command = nullptr;
  CLI::App* compare_command = nullptr;

  void add_servers(CLI::App& command);
  void add_run();
  void add_compare();
  int do_compare();
};

namespace {

bool wanted(const Row& row, const std::vector<std::string>& parts) {
  return parts.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
           return row.name.find(part) != std::string::npos;
         });
}

}  // namespace

void Commands::State::add_servers(CLI::App& command) {
  const std::string group = "Servers";
  command
      .add_option_function<std::string>(
          "--a",
          [this](const std::string& text) {
            compare.commands.insert(compare.commands.begin(), text);
          },
          "the command of server A; {port} and {memory} (MiB) are filled in")
      ->required()
      ->type_name("CMD")
      ->group(group);
  command
      .add_option_function<std::vector<std::string>>(
          "--b",
          [this](const std::vector<std::string>& texts) {
            compare.commands.insert(compare.commands.end(), texts.begin(), texts.end());
          },
          "likewise, compared with A; may be given several times")
      ->required()
      ->take_all()
      ->type_name("CMD")
      ->group(group);
  command.add_option("--rounds", compare.rounds, "runs of each (5)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N")
      ->group(group);
  command.add_option("--seconds", compare.seconds, "of one run (1)")
      ->check(CLI::Range(0.05, 600.0))
      ->type_name("S")
      ->group(group);
  command.add_option("--server-cpu", compare.server_cpu, "core of the servers; -1 is any (0)")
      ->type_name("N")
      ->group(group);
  command.add_option("--client-cpu", compare.client_cpu, "core of the load; -1 is any (1)")
      ->type_name("N")
      ->group(group);
  command.add_option("--threads", compare.threads, "of the load (1)")
      ->check(CLI::Range(1, 64))
      ->type_name("N")
      ->group(group);
  add_rates_option(command, compare.rates, "open loop: keys a second, each in turn")->group(group);
}

void Commands::State::add_run() {
  run_command =
      app.add_subcommand("run", "a load on one server; what is done without a subcommand");
  for (CLI::App* a : {&app, run_command}) {
    add_target_options(*a, run);
    add_workload_options(*a, run.plan.workload);
    add_load_options(*a, run);
    add_output_options(*a, run.output);
    a->add_flag("--progress", run.progress, "a line each second also where it is no terminal")
        ->group("Output");
  }
}

void Commands::State::add_compare() {
  compare_command = app.add_subcommand("compare", "server CPU per key of servers, in turn");
  add_servers(*compare_command);
  compare_command->add_option("--only", only, "rows whose names contain one of these")
      ->type_name("PART...");
  compare_command->add_flag("--list", list, "print the names of the rows");
  compare_command->add_flag("--markdown", markdown, "print a table for a README");
  compare_command->add_flag("--workload-from-options", from_options,
                            "one row: the workload that the options below say");
  compare_command->add_option("--connections", own.plan.connections, "of that workload (50)")
      ->check(CLI::Range(1, 10'000));
  add_output_options(*compare_command, compare_output);
  add_workload_options(*compare_command, own.plan.workload);
}

int Commands::State::do_compare() {
  std::vector<Row> rows;
  if (from_options) {
    own.finish();
    rows.push_back({.name = own.plan.workload.mix.text(),
                    .workload = own.plan.workload,
                    .connections = own.plan.connections});
  } else {
    rows = comparison_rows();
    std::erase_if(rows, [&](const Row& row) { return !wanted(row, only); });
    if (rows.empty()) throw CLI::ValidationError("--only", "no row is called so: see --list");
  }
  compare.stop = &interrupted;
  const bool text =
      !compare_output.quiet && compare_output.json != "-" && compare_output.csv != "-";
  if (text) std::fputs(heading_of(compare, markdown).c_str(), stdout);
  Comparer comparer(compare);
  std::vector<Comparison> measured;
  const std::vector<double> rates = compare.rates.empty() ? std::vector{0.0} : compare.rates;
  std::string failure;
  for (const Row& row : rows) {
    for (const double rate : rates) {
      if (!failure.empty()) break;
      try {
        measured.push_back(comparer.measure(row, rate));
        if (text) std::fputs(text_of(measured.back(), markdown).c_str(), stdout);
        std::fflush(stdout);
      } catch (const std::runtime_error& e) {
        failure = e.what();
      }
    }
  }
  if (!compare_output.json.empty()) write_file(compare_output.json, json_of(compare, measured));
  if (!compare_output.csv.empty()) write_file(compare_output.csv, csv_of(measured));
  if (!failure.empty()) throw std::runtime_error(failure);
  const bool failed =
      std::any_of(measured.begin(), measured.end(), [](const Comparison& c) { return c.failed(); });
  return failed ? 1 : 0;
}

Commands::Commands(CLI::App& app, const std::atomic<bool>& interrupted)
    : state_(
          new State{app, interrupted, {}, {}, {}, false, false, false, {}, {}, nullptr, nullptr}) {
  app.require_subcommand(0, 1);
  state_->add_run();
  state_->add_compare();
}

Commands::~Commands() = default;

int Commands::run() {
  if (state_->compare_command->parsed()) {
    if (!state_->list) return state_->do_compare();
    for (const Row& row : comparison_rows()) std::printf("%s\n", row.name.c_str());
    return 0;
  }
  return run_loads(state_->run, state_->interrupted);
}

}  // namespace larder::bench
