#include "tools/bench/run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "tools/bench/plot.h"
#include "tools/bench/report.h"

namespace larder::bench {
namespace {

constexpr int kFillConnections = 4;

// Prints a line each second until it goes out of scope.
class ProgressLine {
 public:
  ProgressLine(bool wanted, std::string what) : terminal_(isatty(STDERR_FILENO) == 1) {
    if (wanted || terminal_) {
      thread_ = std::thread([this, text = std::move(what)] { run(text); });
    }
  }
  ~ProgressLine() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  Progress* progress() { return thread_.joinable() ? &progress_ : nullptr; }

 private:
  void run(const std::string& what) {
    const auto begin = std::chrono::steady_clock::now();
    uint64_t before = 0;
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::seconds(1), [this] { return done_; })) {
      const uint64_t operations = progress_.operations.load(std::memory_order_relaxed);
      const auto gets = static_cast<double>(progress_.gets.load(std::memory_order_relaxed));
      const auto hits = static_cast<double>(progress_.hits.load(std::memory_order_relaxed));
      const std::chrono::duration<double> since = std::chrono::steady_clock::now() - begin;
      std::fprintf(
          stderr, "%s%s: %3.0f s, %llu ops/s, %.1f%% hits, %llu errors%s",
          terminal_ ? "\r\033[K" : "", what.c_str(), since.count(),
          static_cast<unsigned long long>(operations - before), gets > 0 ? 100 * hits / gets : 0,
          static_cast<unsigned long long>(progress_.errors.load(std::memory_order_relaxed)),
          terminal_ ? "" : "\n");
      before = operations;
    }
    if (terminal_ && before > 0) std::fputs("\r\033[K", stderr);
  }

  const bool terminal_;
  Progress progress_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

// Prints what was wrong; true if anything was.
bool complain(const LoadResult& result) {
  for (const std::string& e : result.examples)
    std::fprintf(stderr, "larder-bench: %s\n", e.c_str());
  if (!result.failure.empty()) std::fprintf(stderr, "larder-bench: %s\n", result.failure.c_str());
  return result.errors > 0 || !result.failure.empty();
}

// Stores what the workload takes for granted. False if that went wrong.
bool prepare(const RunOptions& options) {
  const auto store = [&](const Workload& workload, const char* what) {
    LoadPlan plan = options.plan;
    plan.workload = workload;
    plan.rate = 0;
    plan.requests = workload.keys;
    plan.connections = std::min(plan.connections, std::max(kFillConnections, plan.threads));
    ProgressLine line(options.progress, what);
    return !complain(run_load(plan, line.progress()));
  };
  const Workload& workload = options.plan.workload;
  const bool tls = options.plan.endpoint.tls != nullptr;
  if (options.prefill &&
      !store(tls ? fill_of(workload, kTlsFillBytes) : fill_of(workload), "prefill")) {
    return false;
  }
  return !workload.mix.has(Kind::Incr) || store(counters_of(workload), "counters");
}

}  // namespace

int run_loads(RunOptions& options, const std::atomic<bool>& interrupted) {
  options.finish();
  LoadPlan& plan = options.plan;
  plan.stop = &interrupted;
  if (options.tls.wanted) plan.endpoint.tls = std::make_shared<TlsContext>(options.tls);
  if (!prepare(options)) return 1;
  bool wrong = false;
  std::vector<RunStep> steps;
  const std::vector<double> rates = options.rates.empty() ? std::vector{0.0} : options.rates;
  for (const double rate : rates) {
    if (interrupted.load(std::memory_order_relaxed)) break;
    plan.rate = rate;
    ProgressLine line(options.progress, "run");
    steps.push_back({rate, run_load(plan, line.progress())});
    wrong |= complain(steps.back().result);
    plan.workload.first_key = steps.back().result.next_key;
  }
  const OutputOptions& output = options.output;
  const bool text = !output.quiet && output.json != "-" && output.csv != "-";
  if (text) std::fputs(text_of(plan, steps).c_str(), stdout);
  if (output.plot) std::fputs(text_of(plot_of(plan, steps)).c_str(), stdout);
  if (!output.svg.empty()) write_file(output.svg, svg_of(plot_of(plan, steps)));
  if (!output.json.empty()) write_file(output.json, json_of(plan, steps));
  if (!output.csv.empty()) write_file(output.csv, csv_of(steps));
  return wrong ? 1 : 0;
}

}  // namespace larder::bench
