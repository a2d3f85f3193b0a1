#include "tools/bench/compare.h"

#include <algorithm>
#include <stdexcept>

#include "tools/bench/round_order.h"
#include "tools/bench/server_stats.h"
#include "tools/bench/settling.h"

namespace larder::bench {
namespace {

constexpr double kBusy = 0.95;
constexpr int kFillConnections = 4;

void expect_well(const LoadResult& result, const std::string& doing) {
  if (result.errors == 0 && result.failure.empty()) return;
  throw std::runtime_error(doing + ": " +
                           (result.examples.empty() ? result.failure : result.examples.front()));
}

// Runs a load on a server and prints what was wrong. Throws where the load ended early.
LoadResult load_server(const LoadPlan& plan, char server, const std::string& row) {
  LoadResult result = run_load(plan);
  for (const std::string& e : result.examples) {
    std::fprintf(stderr, "larder-bench: server %c, '%s': %s\n", server, row.c_str(), e.c_str());
  }
  if (!result.failure.empty()) throw std::runtime_error("'" + row + "': " + result.failure);
  return result;
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
  for (const Cost& c : servers[server].runs) values.push_back(c.*figure);
  return median(values);
}

double Comparison::lowest_hit_ratio(size_t server) const {
  double lowest = 1;
  for (const Cost& c : servers[server].runs) lowest = std::min(lowest, c.hit_ratio);
  return lowest;
}

double Comparison::ratio(size_t server) const {
  return median_of(server, &Cost::cpu_ns) / median_of(0, &Cost::cpu_ns);
}

std::vector<double> Comparison::pair_ratios(size_t server) const {
  std::vector<double> ratios;
  const std::vector<Cost>& runs = servers[server].runs;
  for (size_t r = 0; r < runs.size(); ++r) {
    ratios.push_back(runs[r].cpu_ns / servers[0].runs[r].cpu_ns);
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios;
}

bool Comparison::client_was_limit() const {
  for (size_t s = 0; s < servers.size(); ++s) {
    if (!measured(s)) continue;
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

uint64_t Comparison::wrong_replies(size_t server) const {
  uint64_t sum = 0;
  for (const Cost& c : servers[server].runs) sum += c.errors;
  return sum;
}

bool Comparison::failed() const {
  for (size_t s = 0; s < servers.size(); ++s) {
    if (wrong_replies(s) > 0) return true;
  }
  return false;
}

int exit_status_of(const std::vector<Comparison>& rows) {
  return std::any_of(rows.begin(), rows.end(), [](const Comparison& row) { return row.failed(); })
             ? 1
             : 0;
}

Row row_for(const ServerCommand& server, const Row& row) {
  Row asked = row;
  asked.workload.dialect = server.protocol.value_or(row.workload.dialect);
  return asked;
}

bool takes_part(const ServerCommand& server, const Row& row) {
  if (server.many_items_only && !row.many_items()) return false;
  return !refusal_of(row_for(server, row).workload);
}

Comparer::Comparer(const ComparePlan& plan) : plan_(plan) {}
Comparer::~Comparer() = default;

void fill_server(const Endpoint& server, const Row& row, uint64_t& first_key) {
  LoadPlan plan;
  plan.workload =
      server.tls != nullptr ? fill_of(row.workload, kTlsFillBytes) : fill_of(row.workload);
  plan.endpoint = server;
  plan.connections = std::min(kFillConnections, row.connections);
  if (!row.evicting) {
    plan.requests = row.workload.keys;
    expect_well(run_load(plan), "filling for '" + row.name + "'");
    const uint64_t held = items_of(server, row.workload.dialect);
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
    if (evictions_of(server, row.workload.dialect) > 0) return;
  }
  throw std::runtime_error(
      "'" + row.name + "': no evictions after four times the memory; is {memory} in the command?");
}

Endpoint Comparer::endpoint_of(const Subject& subject) const {
  Endpoint endpoint = subject.server.endpoint();
  endpoint.tls = plan_.tls;
  return endpoint;
}

void Comparer::prepare(const Row& row) {
  const auto as_filled = [&](const ServerCommand& server) {
    return takes_part(server, row) == takes_part(server, *filled_);
  };
  if (filled_ != nullptr && filled_->same_data(row) &&
      std::all_of(plan_.servers.begin(), plan_.servers.end(), as_filled)) {
    return;
  }
  filled_.reset();
  subjects_.clear();
  for (const ServerCommand& server : plan_.servers) {
    const auto letter = static_cast<char>('A' + subjects_.size());
    if (!takes_part(server, row)) {
      subjects_.push_back(nullptr);
      continue;
    }
    auto subject = std::unique_ptr<Subject>(
        new Subject{Server(server.command, plan_.server_cpu, row.memory_mib), letter});
    fill_server(endpoint_of(*subject), row_for(server, row), subject->first_key);
    subject->server.pause();
    subjects_.push_back(std::move(subject));
  }
  filled_ = std::make_unique<Row>(row);
}

// Counts huge pages before the first round alone: the kernel walks all pages of the server for
// that.
ServerRuns Comparer::settle(const Subject& subject) const {
  const Running running(subject.server);
  ServerRuns server;
  server.settled = wait_until_settled(subject.server, plan_.stop);
  server.huge_pages_mib = subject.server.huge_pages_mib();
  return server;
}

Cost Comparer::run(Subject& subject, const Row& row, double rate) {
  const Running running(subject.server);
  LoadPlan plan;
  plan.workload = row.workload;
  plan.workload.first_key = subject.first_key;
  plan.endpoint = endpoint_of(subject);
  plan.connections = row.connections;
  plan.threads = plan_.threads;
  plan.cpus = {plan_.client_cpu};
  plan.stop = plan_.stop;
  // The warm-up is a closed loop whatever the rate is, so that it takes a few seconds at most.
  plan.requests = warmup_operations(row.workload);
  const LoadResult warmup = load_server(plan, subject.letter, row.name);
  plan.requests = 0;
  plan.workload.first_key = warmup.next_key;
  plan.seconds = plan_.seconds;
  plan.warmup_seconds = plan_.warmup_seconds;
  plan.rate = rate;
  double cpu_begin = 0;
  double cpu_end = 0;
  plan.on_begin = [&] { cpu_begin = subject.server.cpu_nanoseconds(); };
  plan.on_end = [&] { cpu_end = subject.server.cpu_nanoseconds(); };
  const LoadResult result = load_server(plan, subject.letter, row.name);
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
          .errors = warmup.errors + result.errors};
}

Comparison Comparer::measure(const Row& row, double rate) {
  prepare(row);
  Comparison comparison{row.name, rate, {}, {}};
  std::vector<size_t> taking_part;
  for (size_t s = 0; s < subjects_.size(); ++s) {
    comparison.servers.push_back(subjects_[s] == nullptr ? ServerRuns{} : settle(*subjects_[s]));
    if (subjects_[s] != nullptr) taking_part.push_back(s);
  }
  for (int r = 0; r < plan_.rounds; ++r) {
    std::string& order = comparison.orders.emplace_back();
    for (const size_t place : order_of_round(taking_part.size(), static_cast<size_t>(r))) {
      const size_t s = taking_part[place];
      order += subjects_[s]->letter;
      const Row asked = row_for(plan_.servers[s], row);
      comparison.servers[s].runs.push_back(run(*subjects_[s], asked, rate));
      if (plan_.stop != nullptr && plan_.stop->load(std::memory_order_relaxed)) {
        throw std::runtime_error("interrupted");
      }
    }
  }
  return comparison;
}

}  // namespace larder::bench
