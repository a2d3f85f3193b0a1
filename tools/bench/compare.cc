#include "tools/bench/compare.h"

#include <algorithm>
#include <stdexcept>

namespace larder::bench {
namespace {

constexpr double kBusy = 0.95;
constexpr int kFillConnections = 4;

Endpoint endpoint_of(const Server& server) {
  Endpoint endpoint;
  endpoint.port = server.port();
  return endpoint;
}

void expect_well(const LoadResult& result, const std::string& doing) {
  if (result.errors == 0 && result.failure.empty()) return;
  throw std::runtime_error(doing + ": " +
                           (result.examples.empty() ? result.failure : result.examples.front()));
}

}  // namespace

// One server runs at a time: the others' background threads would share its core, and take turns
// with it where it sleeps.
class Comparer::Running {
 public:
  explicit Running(const Server& server) : server_(server) { server_.go_on(); }
  ~Running() { server_.pause(); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  const Server& server_;
};

struct Comparer::Subject {
  Server server;
  char letter;
  uint64_t first_key = 0;
};

double Comparison::median_of(size_t server, double Cost::*figure) const {
  std::vector<double> values;
  for (const Cost& c : runs[server]) values.push_back(c.*figure);
  return median(values);
}

double Comparison::ratio(size_t server) const {
  return median_of(server, &Cost::cpu_ns) / median_of(0, &Cost::cpu_ns);
}

std::vector<double> Comparison::pair_ratios(size_t server) const {
  std::vector<double> ratios;
  for (size_t r = 0; r < runs[server].size(); ++r) {
    ratios.push_back(runs[server][r].cpu_ns / runs[0][r].cpu_ns);
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios;
}

bool Comparison::client_was_limit() const {
  for (size_t s = 0; s < runs.size(); ++s) {
    // At a rate the load spins until the next is due: it is the limit only if it fell behind.
    if (rate > 0 && keeps_up(s)) continue;
    if (median_of(s, &Cost::client_busy) > kBusy && median_of(s, &Cost::server_busy) < kBusy) {
      return true;
    }
  }
  return false;
}

bool Comparison::keeps_up(size_t server) const {
  return median_of(server, &Cost::keys_per_second) > 0.98 * rate;
}

bool Comparison::failed() const {
  for (const auto& server : runs) {
    for (const Cost& c : server) {
      if (c.errors > 0) return true;
    }
  }
  return false;
}

Comparer::Comparer(const ComparePlan& plan) : plan_(plan) {}
Comparer::~Comparer() = default;

void fill_server(const Server& server, const Row& row, uint64_t& first_key) {
  LoadPlan plan;
  plan.workload = fill_of(row.workload);
  plan.endpoint = endpoint_of(server);
  plan.connections = std::min(kFillConnections, row.connections);
  if (!row.evicting) {
    plan.requests = row.workload.keys;
    expect_well(run_load(plan), "filling for '" + row.name + "'");
    const uint64_t held = stat(server.port(), "curr_items");
    if (held < row.workload.keys) {
      throw std::runtime_error("filling for '" + row.name + "': of " +
                               std::to_string(row.workload.keys) + " items the server holds " +
                               std::to_string(held));
    }
    return;
  }
  const double item_bytes = row.workload.key_bytes.mean() + row.workload.value_bytes.mean();
  const double fitting = static_cast<double>(row.memory_mib) * (1 << 20) / item_bytes;
  plan.workload.popularity = {Popularity::Kind::Unique};
  plan.requests = static_cast<uint64_t>(fitting / 4) + 1;
  for (int i = 0; i < 16; ++i) {
    plan.workload.first_key = first_key;
    const LoadResult result = run_load(plan);
    expect_well(result, "filling for '" + row.name + "'");
    first_key = result.next_key;
    if (stat(server.port(), "evictions") > 0) return;
  }
  throw std::runtime_error(
      "'" + row.name + "': no evictions after four times the memory; is {memory} in the command?");
}

void Comparer::prepare(const Row& row) {
  if (filled_ != nullptr && filled_->same_data(row)) return;
  filled_.reset();
  subjects_.clear();
  for (const std::string& command : plan_.commands) {
    const auto letter = static_cast<char>('A' + subjects_.size());
    auto subject = std::unique_ptr<Subject>(
        new Subject{Server(command, plan_.server_cpu, row.memory_mib), letter});
    fill_server(subject->server, row, subject->first_key);
    subject->server.pause();
    subjects_.push_back(std::move(subject));
  }
  filled_ = std::make_unique<Row>(row);
}

Cost Comparer::run(Subject& subject, const Row& row, double rate) {
  const Running running(subject.server);
  LoadPlan plan;
  plan.workload = row.workload;
  plan.workload.first_key = subject.first_key;
  plan.endpoint = endpoint_of(subject.server);
  plan.connections = row.connections;
  plan.threads = plan_.threads;
  plan.seconds = plan_.seconds;
  plan.warmup_seconds = plan_.warmup_seconds;
  plan.rate = rate;
  plan.cpus = {plan_.client_cpu};
  plan.stop = plan_.stop;
  double cpu_begin = 0;
  double cpu_end = 0;
  plan.on_begin = [&] { cpu_begin = subject.server.cpu_nanoseconds(); };
  plan.on_end = [&] { cpu_end = subject.server.cpu_nanoseconds(); };
  const LoadResult result = run_load(plan);
  if (!result.failure.empty()) throw std::runtime_error("'" + row.name + "': " + result.failure);
  for (const std::string& e : result.examples) {
    std::fprintf(stderr, "larder-bench: server %c, '%s': %s\n", subject.letter, row.name.c_str(),
                 e.c_str());
  }
  subject.first_key = result.next_key;
  const auto keys = static_cast<double>(std::max<uint64_t>(result.operations(), 1));
  const Histogram latency = result.latency();
  const LoadResult::PerKind& gets = result.kinds[0];
  const auto asked = static_cast<double>(gets.hits + gets.misses);
  return {.cpu_ns = (cpu_end - cpu_begin) / keys,
          .keys_per_second = keys / result.seconds,
          .p50_us = static_cast<double>(latency.quantile_ns(0.5)) / 1e3,
          .p99_us = static_cast<double>(latency.quantile_ns(0.99)) / 1e3,
          .p999_us = static_cast<double>(latency.quantile_ns(0.999)) / 1e3,
          .server_busy = (cpu_end - cpu_begin) / 1e9 / result.seconds,
          .client_busy = result.busiest_thread_seconds / result.seconds,
          .client_cpu_ns = result.client_cpu_seconds * 1e9 / keys,
          .hit_ratio = asked == 0 ? 1 : static_cast<double>(gets.hits) / asked,
          .unsent = result.unsent,
          .errors = result.errors};
}

Comparison Comparer::measure(const Row& row, double rate) {
  prepare(row);
  Comparison comparison{row.name, rate, {}};
  comparison.runs.resize(subjects_.size());
  for (int r = 0; r < plan_.rounds; ++r) {
    for (size_t s = 0; s < subjects_.size(); ++s) {
      comparison.runs[s].push_back(run(*subjects_[s], row, rate));
      if (plan_.stop != nullptr && plan_.stop->load(std::memory_order_relaxed)) {
        throw std::runtime_error("interrupted");
      }
    }
  }
  return comparison;
}

}  // namespace larder::bench
