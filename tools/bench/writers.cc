// larder-writers: what threads that store into one cache cost each other, in this process: the
// cache engine alone, without sockets and parsing, so that all of a thread's time is stores.
//
//   larder-writers --memory 64 --keys 4000000 --value-bytes 100
//
// Each thread stores random keys in batches of --batch, as the daemon stores a pipeline of sets
// (Cache::put_many; --alone: one by one, as it stores sets that come alone), pinned to a CPU. In
// turn, --rounds times: one thread; two threads with a cache each; two threads in a cache of one
// shard; two in a cache of four. Prints millions of stores a second of both threads together, the
// ratio of each to two caches, and how often a thread parked for a lock per 1,000 stores; and how
// long a cache line takes to the other CPU and back: in a virtual machine the two may share a cache
// in one round and not in the next (some 50 ns and 300), and what a shared cache costs depends on
// that.
#include <sched.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/cache.h"

namespace {

using namespace larder::core;
using Clock = std::chrono::steady_clock;

struct Options {
  size_t memory_mib = 64;
  uint64_t keys = 4'000'000;
  size_t value_bytes = 100;
  size_t batch = kBatchKeys;
  bool alone = false;
  int rounds = 7;
  int milliseconds = 300;
};

std::unique_ptr<Cache> make_cache(const Options& options, uint32_t shards) {
  CacheConfig config;
  config.memory_bytes = options.memory_mib * 1_MiB;
  config.shards = shards;
  config.workers = 2;
  config.hash_seed = 1;
  return std::make_unique<Cache>(config);
}

class Writer {
 public:
  Writer(const Options& options, Cache& cache, uint32_t worker)
      : options_(options),
        cache_(cache),
        worker_(worker),
        random_(worker + 1),
        value_(options.value_bytes, 'v'),
        names_(options.batch),
        hashes_(options.batch),
        puts_(options.batch) {}

  void store_batch() {
    for (size_t i = 0; i < puts_.size(); ++i) {
      const uint64_t key = random_() % options_.keys;
      names_[i].resize(20);
      const int length =
          std::snprintf(names_[i].data(), 20, "key-%llu", static_cast<unsigned long long>(key));
      names_[i].resize(static_cast<size_t>(length));
      puts_[i].key = {names_[i], cache_.hash(names_[i])};
      puts_[i].shape.value_bytes = static_cast<uint32_t>(value_.size());
      puts_[i].value = value_;
      hashes_[i] = puts_[i].key.hash;
      cache_.prefetch(hashes_[i]);
    }
    cache_.begin_turn(worker_);
    if (!options_.alone) cache_.prefetch_items(hashes_);
    if (options_.alone || !cache_.put_many(worker_, puts_, kFirstSecond)) {
      for (Put& put : puts_) {
        if (!cache_.put(worker_, put.key, put.shape, put.value, put.rule, kFirstSecond,
                        put.result)) {
          store_draft(put);
        }
        cache_.refresh_turn(worker_);
      }
    }
    cache_.end_turn(worker_);
    stored_ += puts_.size();
    if (++batches_ % 16 == 0) cache_.tend(worker_, kFirstSecond, 50);
  }
  void run_for(std::chrono::milliseconds time) {
    const auto end = Clock::now() + time;
    while (Clock::now() < end) store_batch();
  }
  uint64_t stored() const noexcept { return stored_; }

 private:
  void store_draft(const Put& put) {
    ItemDraft draft;
    if (cache_.allocate(worker_, put.key, put.shape, kFirstSecond, draft) == AllocateStatus::Ok &&
        draft.append(put.value)) {
      cache_.store(worker_, std::move(draft), put.rule, kFirstSecond);
    }
  }

  const Options& options_;
  Cache& cache_;
  const uint32_t worker_;
  std::mt19937_64 random_;
  const std::string value_;
  std::vector<std::string> names_;
  std::vector<KeyHash> hashes_;
  std::vector<Put> puts_;
  uint64_t stored_ = 0;
  uint64_t batches_ = 0;
};

struct Figures {
  double million_per_s = 0;
  double parked_per_1000 = 0;
};

// One thread for each cache of `caches`, which may be the same.
void pin_to(uint32_t cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu % std::max(std::thread::hardware_concurrency(), 1u), &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
}

// Nanoseconds that a cache line takes to the other CPU and back.
double measure_round_trip() {
  constexpr uint32_t kTrips = 20'000;
  alignas(64) std::atomic<uint32_t> line{0};
  std::barrier together(2);
  const auto play = [&](uint32_t side) {
    pin_to(side);
    together.arrive_and_wait();
    const auto begin = Clock::now();
    for (uint32_t i = 0; i < kTrips; ++i) {
      while (line.load(std::memory_order_acquire) != 2 * i + side) {
      }
      line.store(2 * i + side + 1, std::memory_order_release);
    }
    return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / kTrips;
  };
  auto other = std::async(std::launch::async, play, 1);
  const double nanoseconds = std::async(std::launch::async, play, 0).get();
  other.get();
  return nanoseconds;
}

Figures measure(const Options& options, const std::vector<Cache*>& caches) {
  std::atomic<uint64_t> stored{0};
  std::barrier together(static_cast<std::ptrdiff_t>(caches.size()));
  std::vector<std::thread> threads;
  std::vector<Cache*> different = caches;
  different.erase(std::unique(different.begin(), different.end()), different.end());
  const auto waits = [&] {
    uint64_t n = 0;
    for (const Cache* cache : different) n += cache->totals().lock_waits;
    return n;
  };
  const uint64_t before = waits();
  for (uint32_t t = 0; t < caches.size(); ++t) {
    threads.emplace_back([&, t] {
      pin_to(t);
      Writer writer(options, *caches[t], t);
      together.arrive_and_wait();
      writer.run_for(std::chrono::milliseconds(options.milliseconds));
      stored += writer.stored();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto n = static_cast<double>(stored.load());
  return {n / options.milliseconds / 1e3, static_cast<double>(waits() - before) * 1e3 / n};
}

void fill(const Options& options, Cache& cache) {
  Writer writer(options, cache, 0);
  const uint64_t enough =
      std::min(options.keys * 2, options.memory_mib * 1_MiB / (options.value_bytes + 32) * 3 / 2);
  while (writer.stored() < enough) writer.store_batch();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run(const Options& options) {
  const auto first = make_cache(options, 1);
  const auto second = make_cache(options, 1);
  const auto four = make_cache(options, 4);
  for (Cache* cache : {first.get(), second.get(), four.get()}) fill(options, *cache);
  struct Case {
    const char* name;
    std::vector<Cache*> caches;
    std::vector<double> rates;
    std::vector<double> ratios;
    std::vector<double> parked;
  };
  std::array<Case, 4> cases{{
      {"one thread", {first.get()}, {}, {}, {}},
      {"two threads, a cache each", {first.get(), second.get()}, {}, {}, {}},
      {"two threads, one shard", {first.get(), first.get()}, {}, {}, {}},
      {"two threads, four shards", {four.get(), four.get()}, {}, {}, {}},
  }};
  std::vector<double> round_trips;
  for (int round = 0; round < options.rounds; ++round) {
    round_trips.push_back(measure_round_trip());
    for (Case& c : cases) {
      const Figures figures = measure(options, c.caches);
      c.rates.push_back(figures.million_per_s);
      c.parked.push_back(figures.parked_per_1000);
    }
    for (Case& c : cases) c.ratios.push_back(c.rates.back() / cases[1].rates.back());
  }
  std::printf("%-28s %8s %8s %8s\n", "", "M/s", "ratio", "parked");
  for (const Case& c : cases) {
    std::printf("%-28s %8.2f %8.2f %8.2f\n", c.name, median(c.rates), median(c.ratios),
                median(c.parked));
  }
  std::printf("a cache line to the other CPU and back: %.0f ns, in the slowest round %.0f\n",
              median(round_trips), *std::max_element(round_trips.begin(), round_trips.end()));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Measures threads that store into one cache.", "larder-writers");
  app.add_option("--memory", options.memory_mib, "MiB of each cache")
      ->check(CLI::Range(8, 1'000'000));
  app.add_option("--keys", options.keys, "how many keys there are")->check(CLI::PositiveNumber);
  app.add_option("--value-bytes", options.value_bytes)
      ->check(CLI::Range(size_t{0}, Cache::kPutBytes));
  app.add_option("--batch", options.batch, "stores that come together")
      ->check(CLI::Range(size_t{1}, kBatchKeys));
  app.add_flag("--alone", options.alone, "store them one by one");
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1'000));
  app.add_option("--milliseconds", options.milliseconds, "of each measurement")
      ->check(CLI::Range(10, 60'000));
  CLI11_PARSE(app, argc, argv);
  run(options);
}
