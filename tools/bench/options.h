// What the command line says, once for all subcommands.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/bench/load.h"
#include "tools/bench/stream.h"
#include "tools/bench/workload.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace larder::bench {

// Where results go besides standard output. "-" is standard output, alone.
struct OutputOptions {
  std::string json;
  std::string csv;
  std::string svg;
  bool plot = false;   // in the terminal
  bool quiet = false;  // no text
};

struct RunOptions {
  LoadPlan plan;  // its rate is one of `rates` at a time
  std::vector<double> rates;
  TlsOptions tls;
  bool prefill = false;
  bool progress = false;
  OutputOptions output;

  // Puts together what several options say. Throws CLI::ValidationError.
  void finish();
};

// Each throws nothing here; what is wrong with a value comes as CLI::ParseError from parsing.
void add_workload_options(CLI::App& app, Workload& workload);
void add_load_options(CLI::App& app, RunOptions& options);
void add_target_options(CLI::App& app, RunOptions& options);
void add_tls_options(CLI::App& app, TlsOptions& options, const std::string& group);
void add_output_options(CLI::App& app, OutputOptions& options);
// A protocol by its name.
CLI::Option* add_protocol_option(CLI::App& app, const std::string& name,
                                 std::optional<Dialect::Name>& protocol, const std::string& help);
// A list of rates: "20000,50000".
CLI::Option* add_rates_option(CLI::App& app, std::vector<double>& rates, const std::string& help);

}  // namespace larder::bench
