#include "tools/bench/options.h"

#include <CLI/CLI.hpp>
#include <stdexcept>

#include "tools/bench/words.h"

namespace larder::bench {
namespace {

constexpr uint64_t kMostKeys = uint64_t{1} << 32;
constexpr int kMostSlots = 32'768;  // of an exchange: the binary opaque numbers them with 16 bits
constexpr uint32_t kMostValueBytes = 64u << 20;

// An option of a type that is parsed from text by a function that throws std::invalid_argument.
template <class T, class Parse>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, T& into, Parse parse,
                        const std::string& help, const std::string& type) {
  return app
      .add_option_function<std::string>(
          name,
          [&into, parse, name](const std::string& text) {
            try {
              into = parse(text);
            } catch (const std::invalid_argument& e) {
              throw CLI::ValidationError(name, e.what());
            }
          },
          help)
      ->type_name(type);
}

uint64_t parse_keys(const std::string& text) {
  const auto number = parse_number(text);
  if (number && *number > 0 && *number <= kMostKeys) return *number;
  throw std::invalid_argument("'" + text + "' is not a number from 1 to " + grouped(kMostKeys));
}

Distribution parse_value_bytes(const std::string& text) {
  const Distribution bytes = Distribution::parse(text);
  if (bytes.max() <= kMostValueBytes) return bytes;
  throw std::invalid_argument("'" + text + "' goes beyond " + grouped(kMostValueBytes));
}

void take_server(const std::string& text, Endpoint& endpoint) {
  const size_t colon = text.rfind(':');
  const auto port =
      colon == std::string::npos ? std::nullopt : parse_number(text.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535 || colon == 0) {
    throw CLI::ValidationError("--server", "'" + text + "' is not HOST:PORT");
  }
  endpoint.host = text.substr(0, colon);
  if (endpoint.host.starts_with('[') && endpoint.host.ends_with(']')) {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  }
  endpoint.port = static_cast<int>(*port);
}

std::vector<double> parse_rates(const std::string& text) {
  std::vector<double> rates;
  for (const std::string_view part : split(text, ',')) {
    const auto rate = parse_real(part);
    if (!rate || *rate <= 0 || *rate > 1e9) {
      throw std::invalid_argument("'" + std::string(part) + "' is not a rate above 0");
    }
    rates.push_back(*rate);
  }
  return rates;
}

}  // namespace

void RunOptions::finish() {
  const Workload& workload = plan.workload;
  if (workload.pipeline * (workload.multiget + 1) > kMostSlots) {
    throw CLI::ValidationError("--pipeline", "times --multiget must stay below " +
                                                 grouped(kMostSlots) + " keys of an exchange");
  }
  if (const auto refusal = refusal_of(workload)) throw CLI::ValidationError(*refusal);
  if (plan.threads > plan.connections) {
    throw CLI::ValidationError("--threads", "each needs a connection: more --connections");
  }
  try {
    (void)workload.data();
  } catch (const std::invalid_argument& e) {
    throw CLI::ValidationError(e.what());
  }
}

CLI::Option* add_rates_option(CLI::App& app, std::vector<double>& rates, const std::string& help) {
  return add_parsed(app, "--rate", rates, parse_rates, help, "R[,R...]");
}

CLI::Option* add_protocol_option(CLI::App& app, const std::string& name,
                                 std::optional<Dialect::Name>& protocol, const std::string& help) {
  return add_parsed(app, name, protocol, parse_dialect, help, "NAME");
}

void add_workload_options(CLI::App& app, Workload& workload) {
  const std::string group = "Workload";
  add_parsed(app, "--protocol", workload.dialect, parse_dialect,
             "classic, meta, binary or resp: RESP2 for Redis, without cas and noreply (classic)",
             "NAME")
      ->group(group);
  add_parsed(app, "--mix", workload.mix, Mix::parse,
             "weights of get, set, delete, incr, cas, touch (get=1)", "OP=N,...")
      ->group(group);
  add_parsed(app, "--keys", workload.keys, parse_keys, "how many different keys (10000)", "N")
      ->group(group);
  add_parsed(app, "--popularity", workload.popularity, Popularity::parse,
             "uniform, zipf:SKEW, sequential, or unique: always new keys (uniform)", "WHICH")
      ->group(group);
  app.add_option_function<std::string>(
         "--preset",
         [&workload](const std::string& text) {
           const Preset* preset = find_preset(text);
           if (preset == nullptr) {
             std::string names;
             for (const Preset& p : kPresets) names += " " + std::string(p.name);
             throw CLI::ValidationError("--preset", "'" + text + "' is none of" + names);
           }
           workload.key_bytes = Distribution(preset->key_bytes);
           workload.value_bytes = Distribution::parse(text);
         },
         "key and value sizes like those of a published cluster: twitter4, 18, 24, 29, 52")
      ->type_name("NAME")
      ->group(group);
  add_parsed(app, "--key-bytes", workload.key_bytes, Distribution::parse,
             "N, uniform:MIN:MAX, lognormal:MEAN:SIGMA, zipf:MIN:MAX:SKEW (20)", "SIZES")
      ->group(group);
  add_parsed(app, "--value-bytes", workload.value_bytes, parse_value_bytes, "likewise (100)",
             "SIZES")
      ->group(group);
  add_parsed(app, "--ttl", workload.ttl_seconds, Distribution::parse,
             "seconds until what is stored expires, likewise; 0 is never (0)", "SECONDS")
      ->group(group);
  app.add_option("--pipeline", workload.pipeline, "requests sent at once (1)")
      ->check(CLI::Range(1, kMostSlots))
      ->type_name("N")
      ->group(group);
  app.add_option("--multiget", workload.multiget, "keys of each get (1)")
      ->check(CLI::Range(1, kMostSlots))
      ->type_name("N")
      ->group(group);
  app.add_flag("--noreply", workload.noreply,
               "set, delete, incr and touch ask for no reply; a barrier ends each exchange")
      ->group(group);
  app.add_flag("--fill-on-miss", workload.fill_on_miss, "a missed get is followed by a set")
      ->group(group);
  app.add_option("--seed", workload.seed, "of all that is random (1)")
      ->type_name("N")
      ->group(group);
}

void add_load_options(CLI::App& app, RunOptions& options) {
  const std::string group = "Load";
  LoadPlan& plan = options.plan;
  app.add_option("--connections", plan.connections, "of all threads together (50)")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N")
      ->group(group);
  app.add_option("--threads", plan.threads, "of the load (1)")
      ->check(CLI::Range(1, 256))
      ->type_name("N")
      ->group(group);
  auto* seconds = app.add_option("--seconds", plan.seconds, "how long to measure (10)")
                      ->check(CLI::Range(0.01, 86400.0))
                      ->type_name("S")
                      ->group(group);
  app.add_option("--requests", plan.requests, "instead: how many operations")
      ->excludes(seconds)
      ->check(CLI::Range(uint64_t{1}, UINT64_MAX / 2))
      ->type_name("N")
      ->group(group);
  app.add_option("--warmup", plan.warmup_seconds, "before that, unmeasured (0)")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("S")
      ->group(group);
  app.add_flag("--prefill", options.prefill, "store every key first, unmeasured")->group(group);
  add_rates_option(app, options.rates,
                   "open loop: operations a second; several: one step after the other")
      ->group(group);
  add_parsed(
      app, "--arrivals", plan.arrivals,
      [](const std::string& text) {
        if (text == "even") return Arrivals::Even;
        if (text == "poisson") return Arrivals::Poisson;
        throw std::invalid_argument("'" + text + "' is not even or poisson");
      },
      "even or poisson (even)", "WHICH")
      ->group(group);
  app.add_option("--cpu", plan.cpus, "cores of the threads, in turn (any)")
      ->delimiter(',')
      ->type_name("N,...")
      ->group(group);
}

void add_target_options(CLI::App& app, RunOptions& options) {
  const std::string group = "Server";
  auto* server =
      app.add_option_function<std::string>(
             "--server",
             [&options](const std::string& text) { take_server(text, options.plan.endpoint); },
             "where it listens (127.0.0.1:11211)")
          ->type_name("HOST:PORT")
          ->group(group);
  app.add_option("--unix", options.plan.endpoint.unix_path, "instead: its unix socket")
      ->excludes(server)
      ->type_name("PATH")
      ->group(group);
  add_tls_options(app, options.tls, group);
}

void add_tls_options(CLI::App& app, TlsOptions& options, const std::string& group) {
  auto* tls = app.add_flag("--tls", options.wanted, "speak TLS")->group(group);
  app.add_option("--tls-ca", options.ca_file, "who signs the server's certificate (PEM)")
      ->needs(tls)
      ->type_name("FILE")
      ->group(group);
  app.add_option("--tls-cert", options.certificate, "what the client shows (PEM)")
      ->needs(tls)
      ->type_name("FILE")
      ->group(group);
  app.add_option("--tls-key", options.key, "its key (PEM)")
      ->needs(tls)
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--tls-insecure", options.insecure, "accept any certificate")
      ->needs(tls)
      ->group(group);
}

void add_output_options(CLI::App& app, OutputOptions& options) {
  const std::string group = "Output";
  app.add_option("--json", options.json, "results as JSON; - is standard output")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--csv", options.csv, "results as CSV; - is standard output")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--quiet", options.quiet, "no text on standard output")->group(group);
}

}  // namespace larder::bench
