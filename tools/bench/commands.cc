#include "tools/bench/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <stdexcept>

#include "tools/bench/compare.h"
#include "tools/bench/growth.h"
#include "tools/bench/held.h"
#include "tools/bench/options.h"
#include "tools/bench/report.h"
#include "tools/bench/run.h"

namespace larder::bench {

// Each of servers A to H may have a protocol of its own. The tables so far have at most four.
constexpr size_t kMostProtocols = 8;

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
  // Of A, B ..., as the table calls the servers.
  std::array<std::optional<Dialect::Name>, kMostProtocols> protocols;
  RunOptions own;  // the workload of compare --workload-from-options
  std::vector<uint32_t> held_value_bytes{10, 50, 100, 500};
  uint64_t memory_mib = 1024;
  GrowthPlan growth;

  CLI::App* run_command = nullptr;
  CLI::App* compare_command = nullptr;
  CLI::App* fill_command = nullptr;
  CLI::App* growth_command = nullptr;

  State(CLI::App& parent, const std::atomic<bool>& stop) : app(parent), interrupted(stop) {}

  void add_servers(CLI::App& command);
  void add_many_items_servers(CLI::App& command);
  void add_protocols(CLI::App& command, const std::string& names);
  void add_cpus(CLI::App& command, int& server_cpu, int& client_cpu);
  void add_run();
  void add_compare();
  void add_fill();
  void add_growth();
  std::vector<Row> rows_wanted();
  void expect_servers();
  void expect_all_measure_a(const std::vector<Row>& rows) const;
  int do_compare();
  int do_fill();
  int do_growth();
};

namespace {

bool wanted(const Row& row, const std::vector<std::string>& parts) {
  return parts.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
           return row.name.find(part) != std::string::npos;
         });
}

char letter_of(size_t server) { return static_cast<char>('A' + server); }

std::string protocol_option(size_t server) {
  return std::string("--") + static_cast<char>('a' + server) + "-protocol";
}

}  // namespace

void Commands::State::add_servers(CLI::App& command) {
  const std::string group = "Servers";
  command
      .add_option_function<std::string>(
          "--a",
          [this](const std::string& text) {
            compare.servers.insert(compare.servers.begin(), ServerCommand{text});
          },
          "the command of server A; {port}, or {socket} for a unix socket, and {memory} (MiB) are "
          "filled "
          "in")
      ->type_name("CMD")
      ->group(group);
  command
      .add_option_function<std::vector<std::string>>(
          "--b",
          [this](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) compare.servers.push_back({text});
          },
          "likewise, compared with A; may be given several times")
      ->take_all()
      ->type_name("CMD")
      ->group(group);
}

void Commands::State::add_many_items_servers(CLI::App& command) {
  command
      .add_option_function<std::vector<std::string>>(
          "--b-many-items",
          [this](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) compare.servers.push_back({text, true});
          },
          "likewise, in the rows of 10 M items alone, e.g. memcached with -L (huge pages)")
      ->take_all()
      ->type_name("CMD")
      ->group("Servers");
}

// names   the protocols that the command knows, with the default in parentheses
void Commands::State::add_protocols(CLI::App& command, const std::string& names) {
  for (size_t s = 0; s < kMostProtocols; ++s) {
    const std::string help = s == 0 ? "the protocol that A is asked in: " + names
                                    : std::string("likewise ") + letter_of(s);
    add_protocol_option(command, protocol_option(s), protocols[s], help)->group("Servers");
  }
}

void Commands::State::add_cpus(CLI::App& command, int& server_cpu, int& client_cpu) {
  command.add_option("--server-cpu", server_cpu, "core of the servers; -1 is any (0)")
      ->type_name("N")
      ->group("Servers");
  command.add_option("--client-cpu", client_cpu, "core of the load; -1 is any (1)")
      ->type_name("N")
      ->group("Servers");
}

void Commands::State::add_run() {
  run_command =
      app.add_subcommand("run", "a load on one server; what is done without a subcommand");
  for (CLI::App* a : {&app, run_command}) {
    add_target_options(*a, run);
    add_workload_options(*a, run.plan.workload);
    add_load_options(*a, run);
    add_output_options(*a, run.output);
    a->add_option("--svg", run.output.svg, "latency over the rate, or over percentiles, as SVG")
        ->type_name("FILE")
        ->group("Output");
    a->add_flag("--plot", run.output.plot, "the same in the terminal")->group("Output");
    a->add_flag("--progress", run.progress, "a line each second also where it is no terminal")
        ->group("Output");
  }
}

void Commands::State::add_compare() {
  compare_command = app.add_subcommand("compare", "server CPU per key of servers, in turn");
  add_servers(*compare_command);
  add_many_items_servers(*compare_command);
  add_protocols(*compare_command, "classic, meta, binary or resp (the row's)");
  add_cpus(*compare_command, compare.server_cpu, compare.client_cpu);
  const std::string group = "Load";
  compare_command
      ->add_option("--rounds", compare.rounds, "rounds, each of a run of every server (5)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N")
      ->group(group);
  compare_command->add_option("--seconds", compare.seconds, "of one run (1)")
      ->check(CLI::Range(0.05, 600.0))
      ->type_name("S")
      ->group(group);
  compare_command->add_option("--threads", compare.threads, "of the load (1)")
      ->check(CLI::Range(1, 64))
      ->type_name("N")
      ->group(group);
  add_tls_options(*compare_command, own.tls, group);
  add_rates_option(*compare_command, compare.rates,
                   "open loop: keys a second; latencies are printed, too")
      ->group(group);
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

void Commands::State::add_fill() {
  fill_command = app.add_subcommand("fill", "how many items servers hold in their memory");
  add_servers(*fill_command);
  add_protocols(*fill_command, "classic or resp (classic)");
  add_cpus(*fill_command, compare.server_cpu, compare.client_cpu);
  fill_command->add_option("--value-bytes", held_value_bytes, "of all values (10,50,100,500)")
      ->delimiter(',')
      ->check(CLI::Range(1u, 1'000'000u))
      ->type_name("N,...");
  fill_command->add_option("--memory", memory_mib, "MiB that {memory} stands for (1024)")
      ->check(CLI::Range(8, 1 << 20))
      ->type_name("MIB");
  fill_command->add_option("--json", compare_output.json, "results as JSON; - is standard output")
      ->type_name("FILE");
}

void Commands::State::add_growth() {
  growth_command = app.add_subcommand("growth", "what clients feel while a table grows from empty");
  growth_command->add_option("--server-command", growth.command, "with {port}, and {memory} (MiB)")
      ->required()
      ->type_name("CMD");
  add_cpus(*growth_command, growth.server_cpu, growth.client_cpu);
  growth_command->add_option("--items", growth.items, "that are stored (10000000)")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{1} << 32))
      ->type_name("N");
  growth_command->add_option("--rate", growth.rate, "at which they are, a second (500000)")
      ->check(CLI::Range(100.0, 1e8))
      ->type_name("R");
  growth_command->add_option("--probe-rate", growth.probe_rate, "of gets and sets meanwhile (5000)")
      ->check(CLI::Range(10.0, 1e7))
      ->type_name("R");
  growth_command->add_option("--value-bytes", growth.value_bytes, "of all values (100)")
      ->check(CLI::Range(1u, 1'000'000u))
      ->type_name("N");
  growth_command->add_option("--memory", growth.memory_mib, "MiB that {memory} stands for (4096)")
      ->type_name("MIB");
  growth_command->add_option("--rounds", growth.rounds, "fresh servers (5)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  growth_command->add_option("--json", compare_output.json, "results as JSON; - is standard output")
      ->type_name("FILE");
}

std::vector<Row> Commands::State::rows_wanted() {
  if (from_options) {
    own.finish();
    return {{.name = own.plan.workload.mix.text(),
             .workload = own.plan.workload,
             .connections = own.plan.connections}};
  }
  std::vector<Row> rows = comparison_rows();
  std::erase_if(rows, [&](const Row& row) { return !wanted(row, only); });
  if (rows.empty()) throw CLI::ValidationError("--only", "no row is called so: see --list");
  return rows;
}

// Not required() of the options: --list needs none. Gives the servers their protocols, whose
// options may stand before those of the commands.
void Commands::State::expect_servers() {
  if (compare.servers.size() < 2) throw CLI::ValidationError("--a", "and --b are both needed");
  for (size_t s = 0; s < kMostProtocols; ++s) {
    if (!protocols[s]) continue;
    if (s >= compare.servers.size()) {
      throw CLI::ValidationError(protocol_option(s),
                                 std::string("there is no server ") + letter_of(s));
    }
    compare.servers[s].protocol = protocols[s];
  }
}

// The ratios of a row are those to A.
void Commands::State::expect_all_measure_a(const std::vector<Row>& rows) const {
  for (const Row& row : rows) {
    if (const auto refusal = refusal_of(row_for(compare.servers[0], row).workload)) {
      throw CLI::ValidationError(protocol_option(0), "A takes part in every row, but " + *refusal);
    }
  }
}

int Commands::State::do_compare() {
  const std::vector<Row> rows = rows_wanted();
  expect_servers();
  expect_all_measure_a(rows);
  compare.stop = &interrupted;
  const bool text =
      !compare_output.quiet && compare_output.json != "-" && compare_output.csv != "-";
  if (text) std::fputs(heading_of(compare, markdown).c_str(), stdout);
  if (own.tls.wanted) compare.tls = std::make_shared<TlsContext>(own.tls);
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
  if (text && markdown) std::fputs(legend_of(compare, markdown).c_str(), stdout);
  if (!compare_output.json.empty()) write_file(compare_output.json, json_of(compare, measured));
  if (!compare_output.csv.empty()) write_file(compare_output.csv, csv_of(measured));
  if (!failure.empty()) throw std::runtime_error(failure);
  return exit_status_of(measured);
}

int Commands::State::do_fill() {
  expect_servers();
  for (size_t s = 0; s < compare.servers.size(); ++s) {
    const Dialect::Name protocol = compare.servers[s].protocol.value_or(Dialect::Name::Classic);
    if (protocol != Dialect::Name::Classic && protocol != Dialect::Name::Resp) {
      throw CLI::ValidationError(protocol_option(s), "fill knows classic and resp alone");
    }
  }
  std::vector<Held> all;
  const bool text = compare_output.json != "-";
  if (text) std::fputs(heading_of_held().c_str(), stdout);
  for (const uint32_t value_bytes : held_value_bytes) {
    for (size_t s = 0; s < compare.servers.size(); ++s) {
      const ServerCommand& server = compare.servers[s];
      all.push_back(measure_held(server.command, letter_of(s),
                                 server.protocol.value_or(Dialect::Name::Classic), value_bytes,
                                 memory_mib, compare.server_cpu));
      if (text) std::fputs(text_of(all.back()).c_str(), stdout);
      std::fflush(stdout);
    }
  }
  if (!compare_output.json.empty()) write_file(compare_output.json, json_of(all));
  return 0;
}

int Commands::State::do_growth() {
  growth.stop = &interrupted;
  std::vector<GrowthRound> rounds;
  const bool text = compare_output.json != "-";
  for (int r = 0; r < growth.rounds; ++r) {
    rounds.push_back(measure_growth(growth));
    if (text) std::fputs(text_of(rounds.back()).c_str(), stdout);
    std::fflush(stdout);
  }
  if (text) std::printf("median ratio of p99.9: %.2f\n", median_ratio(rounds));
  if (!compare_output.json.empty()) write_file(compare_output.json, json_of(growth, rounds));
  return 0;
}

Commands::Commands(CLI::App& app, const std::atomic<bool>& interrupted)
    : state_(new State(app, interrupted)) {
  app.require_subcommand(0, 1);
  state_->add_run();
  state_->add_compare();
  state_->add_fill();
  state_->add_growth();
}

Commands::~Commands() = default;

int Commands::run() {
  if (state_->compare_command->parsed()) {
    if (!state_->list) return state_->do_compare();
    for (const Row& row : comparison_rows()) std::printf("%s\n", row.name.c_str());
    return 0;
  }
  if (state_->fill_command->parsed()) return state_->do_fill();
  if (state_->growth_command->parsed()) return state_->do_growth();
  return run_loads(state_->run, state_->interrupted);
}

}  // namespace larder::bench
