#include "tools/bench/growth.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tools/bench/load.h"
#include "tools/bench/server.h"

namespace larder::bench {
namespace {

constexpr uint64_t kProbeKeys = 1000;
constexpr int kFillerConnections = 4;
// Of an exchange: short enough that a probe which shares the core with the filler waits little.
constexpr int kFillerPipeline = 32;

void expect_well(const LoadResult& result) {
  if (result.errors == 0 && result.failure.empty()) return;
  throw std::runtime_error(result.examples.empty() ? result.failure : result.examples.front());
}

LoadPlan common(const GrowthPlan& plan, const Server& server) {
  LoadPlan load;
  load.endpoint.port = server.port();
  load.workload.value_bytes = Distribution(plan.value_bytes);
  load.cpus = {plan.client_cpu};
  load.stop = plan.stop;
  return load;
}

LoadPlan probe_of(const GrowthPlan& plan, const Server& server) {
  LoadPlan probe = common(plan, server);
  probe.workload.mix = Mix::parse("get=1,set=1");
  probe.workload.keys = kProbeKeys;
  probe.workload.key_word = "prb-";
  probe.connections = plan.probe_connections;
  probe.rate = plan.probe_rate;
  probe.windows = true;
  probe.seconds = 86400;  // until the filler is done
  return probe;
}

LoadPlan filler_of(const GrowthPlan& plan, const Server& server) {
  LoadPlan filler = common(plan, server);
  filler.workload.mix = Mix::parse("set");
  filler.workload.keys = plan.items;
  filler.workload.popularity = {Popularity::Kind::Sequential};
  filler.workload.pipeline = kFillerPipeline;
  filler.connections = kFillerConnections;
  filler.requests = plan.items;
  filler.rate = plan.rate;
  return filler;
}

double p999_us(const Histogram& h) { return static_cast<double>(h.quantile_ns(0.999)) / 1e3; }

GrowthRound::Phase run_phase(const GrowthPlan& plan, const Server& server) {
  const auto results = run_together({filler_of(plan, server), probe_of(plan, server)});
  const LoadResult& filled = results[0];
  const LoadResult& probed = results[1];
  expect_well(filled);
  expect_well(probed);
  GrowthRound::Phase phase;
  phase.seconds = filled.seconds;
  phase.keys_per_second = static_cast<double>(filled.operations()) / filled.seconds;
  phase.longest_pause_us = static_cast<double>(filled.longest_pause_ns) / 1e3;
  const Histogram latency = probed.latency();
  phase.p50_us = static_cast<double>(latency.quantile_ns(0.5)) / 1e3;
  phase.p999_us = p999_us(latency);
  for (const Histogram& window : probed.windows) {
    if (window.count() == 0) continue;
    phase.p999_us_by_second.push_back(p999_us(window));
    phase.worst_second_us = std::max(phase.worst_second_us, phase.p999_us_by_second.back());
  }
  return phase;
}

}  // namespace

GrowthRound measure_growth(const GrowthPlan& plan) {
  const Server server(plan.command, plan.server_cpu, plan.memory_mib);
  LoadPlan probe = probe_of(plan, server);
  probe.workload = fill_of(probe.workload);
  probe.rate = 0;
  probe.windows = false;
  probe.requests = kProbeKeys;
  expect_well(run_load(probe));
  GrowthRound round;
  round.growth = run_phase(plan, server);
  round.steady = run_phase(plan, server);
  if (plan.stop != nullptr && plan.stop->load(std::memory_order_relaxed)) {
    throw std::runtime_error("interrupted");
  }
  const uint64_t held = stat(server.port(), "curr_items");
  if (held < plan.items) {
    throw std::runtime_error("of " + std::to_string(plan.items) + " items the server holds " +
                             std::to_string(held) + ": does it need more memory?");
  }
  return round;
}

std::string text_of(const GrowthRound& round) {
  const auto phase = [](const char* name, const GrowthRound::Phase& p) {
    char line[256];
    std::snprintf(line, sizeof line,
                  "%s: %.1f s at %.0f keys/s, p50 %.1f us, p99.9 %.1f us, worst second %.1f us, "
                  "load paused for at most %.1f us; ",
                  name, p.seconds, p.keys_per_second, p.p50_us, p.p999_us, p.worst_second_us,
                  p.longest_pause_us);
    return std::string(line);
  };
  char ratio[64];
  std::snprintf(ratio, sizeof ratio, "ratio of p99.9 %.2f\n", round.ratio());
  return phase("growing", round.growth) + phase("steady", round.steady) + ratio;
}

std::string json_of(const GrowthPlan& plan, const std::vector<GrowthRound>& rounds) {
  const auto phase = [](const GrowthRound::Phase& p) {
    return nlohmann::ordered_json{{"seconds", p.seconds},
                                  {"keys_per_second", p.keys_per_second},
                                  {"p50_us", p.p50_us},
                                  {"p999_us", p.p999_us},
                                  {"worst_second_p999_us", p.worst_second_us},
                                  {"load_longest_pause_us", p.longest_pause_us},
                                  {"p999_us_by_second", p.p999_us_by_second}};
  };
  nlohmann::ordered_json json{{"command", plan.command},
                              {"items", plan.items},
                              {"rate", plan.rate},
                              {"probe_rate", plan.probe_rate},
                              {"median_ratio", median_ratio(rounds)}};
  for (const GrowthRound& r : rounds) {
    json["rounds"].push_back(
        {{"growth", phase(r.growth)}, {"steady", phase(r.steady)}, {"ratio", r.ratio()}});
  }
  return json.dump(2) + "\n";
}

double median_ratio(const std::vector<GrowthRound>& rounds) {
  std::vector<double> ratios;
  for (const GrowthRound& r : rounds) ratios.push_back(r.ratio());
  return median(ratios);
}

}  // namespace larder::bench
