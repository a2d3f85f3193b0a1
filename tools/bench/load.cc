#include "tools/bench/load.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <thread>
#include <utility>

#include "tools/bench/worker.h"

namespace larder::bench {
namespace {

constexpr uint64_t kIdleWaitNs = 100'000'000;  // so often a thread looks whether it shall stop

uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

// A load with its connections made.
struct Load {
  explicit Load(const LoadPlan& p, Progress* progress = nullptr)
      : plan(p),
        data(plan.workload.data()),
        dialect(Dialect::make(plan.workload.dialect, data)),
        order(plan.workload.popularity, plan.workload.keys, plan.workload.first_key,
              plan.workload.seed),
        shared{
            .plan = plan, .data = data, .dialect = *dialect, .order = order, .progress = progress} {
    for (int i = 0; i < plan.threads; ++i) workers.emplace_back(shared, i).connect();
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void set_out() { shared.begin_ns = now_ns(); }
  LoadResult result();

  const LoadPlan plan;
  const Data data;
  const std::unique_ptr<Dialect> dialect;
  KeyOrder order;
  Shared shared;
  std::deque<Worker> workers;
};

void merge(LoadResult& into, LoadResult& from) {
  for (size_t k = 0; k < kKinds; ++k) {
    into.kinds[k].hits += from.kinds[k].hits;
    into.kinds[k].misses += from.kinds[k].misses;
    into.kinds[k].latency.merge(from.kinds[k].latency);
  }
  into.seconds = std::max(into.seconds, from.seconds);
  into.client_cpu_seconds += from.client_cpu_seconds;
  into.busiest_thread_seconds = std::max(into.busiest_thread_seconds, from.busiest_thread_seconds);
  into.sent_bytes += from.sent_bytes;
  into.received_bytes += from.received_bytes;
  into.exchanges += from.exchanges;
  into.unsent += from.unsent;
  into.errors += from.errors;
  for (std::string& e : from.examples) {
    if (into.examples.size() < Tally::kExamples) into.examples.push_back(std::move(e));
  }
  if (into.failure.empty()) into.failure = from.failure;
  if (into.windows.size() < from.windows.size()) into.windows.resize(from.windows.size());
  for (size_t i = 0; i < from.windows.size(); ++i) into.windows[i].merge(from.windows[i]);
}

LoadResult Load::result() {
  LoadResult all;
  for (Worker& worker : workers) merge(all, worker.result);
  all.next_key = order.next.load(std::memory_order_relaxed);
  return all;
}

}  // namespace

uint64_t LoadResult::operations() const {
  uint64_t sum = 0;
  for (const PerKind& k : kinds) sum += k.hits + k.misses;
  return sum;
}

uint64_t LoadResult::misses() const {
  uint64_t sum = 0;
  for (const PerKind& k : kinds) sum += k.misses;
  return sum;
}

Histogram LoadResult::latency() const {
  Histogram all;
  for (const PerKind& k : kinds) all.merge(k.latency);
  return all;
}

LoadResult run_load(const LoadPlan& plan, Progress* progress) {
  Load load(plan, progress);
  load.set_out();
  std::vector<std::thread> threads;
  for (Worker& worker : load.workers) {
    threads.emplace_back([&worker] {
      worker.start();
      while (worker.turn(kIdleWaitNs)) {
      }
      worker.finish();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return load.result();
}

std::vector<LoadResult> run_together(const std::vector<LoadPlan>& plans) {
  std::deque<Load> loads;
  for (const LoadPlan& plan : plans) loads.emplace_back(plan).set_out();
  for (Load& load : loads) load.workers.front().start();
  uint64_t longest_pause_ns = 0;
  uint64_t before = now_ns();
  while (loads.front().workers.front().turn(0)) {
    for (size_t i = 1; i < loads.size(); ++i) loads[i].workers.front().turn(0);
    const uint64_t now = now_ns();
    longest_pause_ns = std::max(longest_pause_ns, now - before);
    before = now;
  }
  std::vector<LoadResult> results;
  for (Load& load : loads) {
    load.workers.front().finish();
    results.push_back(load.result());
    results.back().longest_pause_ns = longest_pause_ns;
  }
  return results;
}

}  // namespace larder::bench
