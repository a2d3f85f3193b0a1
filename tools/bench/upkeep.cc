// larder-upkeep: what a server's upkeep costs and what its clients feel of it, from outside.
//
//   larder-upkeep --server 'larderd -u nobody -l 127.0.0.1 -p {port} -t 2 -m 2048' --mass-expiry
//
// Fills the server with items (--items, --value-bytes) that all expire in one second, and measures
// single gets of other keys over that second and what follows (--seconds), then the same with items
// that do not expire; in turn, --rounds times, a fresh server each. Prints for each pair the two
// p99.9 and their ratio, how long it took until all were gone, and the medians.
//
//   larder-upkeep --server '...' --expire-over 5
//
// Fills the server with items that expire evenly over so many seconds, leaves it alone, and prints
// how many expire in one second and what server CPU each of them costs.
//
//   larder-upkeep --server '... -m 2048' --shrink-to 512
//
// Fills the server, asks it to live with so many MiB (cache_memlimit), and prints how long its
// resident memory takes to get there, and the p99.9 of single gets (misses) before and meanwhile.
//
//   larder-upkeep --server '... -m 2048' --dump --items 10000000
//
// Fills the server and has it dump all keys (lru_crawler metadump) to a client that reads as fast
// as it can without keeping the other from running; prints the p99 of single gets before and
// meanwhile, --rounds times, and the median of the ratios. Without --connections they are those of
// one client that asks again when it is answered, to an idle server; with it, of a load of so many,
// which likewise ask again, or --rate times a second in all.
//
//   larder-upkeep --server 'larderd ... -t 2 -m 64' --stall build/release/libstalling_send.so
//
// Fills the server and holds one of its two workers up in the middle of a reply for 1.5 s; measures
// gets and sets on the other one meanwhile, and as long without, in turn (tools/bench/stall.h).
#include <sched.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tools/bench/load.h"
#include "tools/bench/server.h"
#include "tools/bench/stall.h"

namespace {

using namespace larder::bench;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string server;
  bool mass_expiry = false;
  int expire_over = 0;
  uint64_t shrink_to_mib = 0;
  bool dump = false;
  std::string stall_library;
  int connections = 0;
  double rate = 0;
  uint64_t items = 5'000'000;
  size_t value_bytes = 100;
  int rounds = 5;
  int seconds = 6;
  int server_cpu = 0;
  int client_cpu = 1;
};

constexpr uint64_t kGetKeys = 1000;  // what is asked for, apart from the rest
constexpr uint64_t kFirstGetKey = 9'000'000'000'000ULL;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Stores `count` items, the i-th with expiry_of(i): seconds since 1970, or 0 for never.
template <class ExpiryOf>
void fill(int port, uint64_t first, uint64_t count, size_t value_bytes, ExpiryOf expiry_of) {
  Connection connection(port);
  std::vector<char> buffer(1 << 16);
  const std::string tail =
      " " + std::to_string(value_bytes) + "\r\n" + value_of(0, value_bytes) + "\r\n";
  for (uint64_t n = 0; n < count;) {
    std::string request;
    std::string reply;
    for (int i = 0; i < 64 && n < count; ++i, ++n) {
      request += "set " + key_of(first + n) + " 0 " + std::to_string(expiry_of(n)) + tail;
      reply += "STORED\r\n";
    }
    connection.exchange(request, reply, buffer);
  }
}

int64_t never(uint64_t) { return 0; }

// Single gets in a row, until told to stop.
class Prober {
 public:
  // stored   whether the keys asked for are there
  Prober(int port, size_t value_bytes, bool stored) : connection_(port) {
    for (uint64_t n = 0; n < kGetKeys; ++n) {
      const std::string key = key_of(kFirstGetKey + n);
      requests_.push_back("get " + key + "\r\n");
      std::string reply;
      if (stored) {
        reply = "VALUE " + key + " 0 " + std::to_string(value_bytes) + "\r\n" +
                value_of(0, value_bytes) + "\r\n";
      }
      replies_.push_back(reply + "END\r\n");
    }
  }
  // Asks until `done` says so, looked at every 20 ms; a percentile in microseconds.
  template <class Done>
  double p999_until(Done done) {
    return latency_until(999, done);
  }
  template <class Done>
  double latency_until(uint64_t per_mille, Done done) {
    std::vector<double> latencies;
    auto look = Clock::now();
    for (uint64_t i = 0;; ++i) {
      const size_t n = i * 7919 % kGetKeys;
      const auto start = Clock::now();
      connection_.exchange(requests_[n], replies_[n], buffer_);
      const auto end = Clock::now();
      latencies.push_back(seconds_between(start, end) * 1e6);
      if (end - look > std::chrono::milliseconds(20)) {
        look = end;
        if (done(end)) break;
      }
    }
    const auto at =
        latencies.begin() + static_cast<std::ptrdiff_t>(latencies.size() * per_mille / 1000);
    std::nth_element(latencies.begin(), at, latencies.end());
    return *at;
  }

 private:
  Connection connection_;
  std::vector<char> buffer_ = std::vector<char>(1 << 16);
  std::vector<std::string> requests_;
  std::vector<std::string> replies_;
};

// Fills the server; returns the second from which items expire, if they do: in that one, or evenly
// over so many.
int64_t fill_expiring(const Server& server, const Options& options, bool expires, int over) {
  const int64_t first = std::time(nullptr) + 10 + static_cast<int64_t>(options.items / 200'000);
  fill(server.port(), 0, options.items, options.value_bytes, [&](uint64_t n) {
    return expires ? first + static_cast<int64_t>(n * 2654435761u % static_cast<uint64_t>(over))
                   : 0;
  });
  if (std::time(nullptr) >= first) throw std::runtime_error("storing took too long");
  if (stat(server.port(), "evictions") > 0) throw std::runtime_error("-m is too small for --items");
  return first;
}

void measure_expiry_cost(const Options& options) {
  const Server server(options.server, options.server_cpu);
  const int64_t first = fill_expiring(server, options, true, options.expire_over);
  const auto start = std::chrono::system_clock::from_time_t(first);
  std::this_thread::sleep_until(start - std::chrono::milliseconds(500));
  const double cpu_before = server.cpu_nanoseconds();
  std::this_thread::sleep_until(start + std::chrono::seconds(options.expire_over) -
                                std::chrono::milliseconds(500));
  const uint64_t left = stat(server.port(), "curr_items");
  const double cpu = server.cpu_nanoseconds() - cpu_before;
  const double gone = static_cast<double>(options.items - left);
  std::printf("%llu items expire over %d s: %.0f a second, %.0f ns of server CPU each\n",
              static_cast<unsigned long long>(options.items), options.expire_over,
              static_cast<double>(options.items) / options.expire_over, cpu / gone);
  std::this_thread::sleep_until(start + std::chrono::seconds(options.expire_over));
  std::printf("half a second after the last: %llu left\n",
              static_cast<unsigned long long>(stat(server.port(), "curr_items")));
}

struct ExpiryRun {
  double p999_us;
  double gone_after_s;  // from the second in which they expire
};

ExpiryRun run_expiry(const Options& options, bool expires) {
  const Server server(options.server, options.server_cpu);
  fill(server.port(), kFirstGetKey, kGetKeys, options.value_bytes, never);
  const int64_t expiry = fill_expiring(server, options, expires, 1);
  Prober prober(server.port(), options.value_bytes, true);
  std::this_thread::sleep_until(std::chrono::system_clock::from_time_t(expiry - 1));
  const auto start = Clock::now();
  ExpiryRun run{0, -1};
  auto asked = start;
  run.p999_us = prober.p999_until([&](Clock::time_point now) {
    if (expires && run.gone_after_s < 0 && now - asked > std::chrono::milliseconds(200)) {
      asked = now;
      if (stat(server.port(), "curr_items") <= kGetKeys) {
        run.gone_after_s = seconds_between(start, now) - 1;
      }
    }
    return seconds_between(start, now) > options.seconds;
  });
  return run;
}

void measure_mass_expiry(const Options& options) {
  std::vector<double> ratios;
  for (int r = 0; r < options.rounds; ++r) {
    const ExpiryRun expiring = run_expiry(options, true);
    const ExpiryRun still = run_expiry(options, false);
    ratios.push_back(expiring.p999_us / still.p999_us);
    std::printf("p99.9 of gets: %7.0f us while %llu items expire, %7.0f us else, ratio %.2f; ",
                expiring.p999_us, static_cast<unsigned long long>(options.items), still.p999_us,
                ratios.back());
    if (expiring.gone_after_s < 0) {
      std::printf("not gone after %d s\n", options.seconds - 1);
    } else {
      std::printf("gone after %.1f s\n", expiring.gone_after_s);
    }
    std::fflush(stdout);
  }
  std::printf("median ratio %.2f\n", median(ratios));
}

void measure_shrink(const Options& options) {
  const Server server(options.server, options.server_cpu);
  const uint64_t limit = stat(server.port(), "limit_maxbytes");
  fill(server.port(), 0, limit / options.value_bytes, options.value_bytes, never);
  Prober prober(server.port(), options.value_bytes, false);
  const double full_mib = server.resident_mib();
  auto start = Clock::now();
  const double before = prober.p999_until(
      [&](Clock::time_point now) { return seconds_between(start, now) > options.seconds; });
  const double cpu_before = server.cpu_nanoseconds();
  command(server.port(), "cache_memlimit " + std::to_string(options.shrink_to_mib) + "\r\n",
          "OK\r\n");
  start = Clock::now();
  // What is not the cache: some 10 MiB.
  const double goal_mib = static_cast<double>(options.shrink_to_mib) + 16;
  double took_s = -1;
  const double meanwhile = prober.p999_until([&](Clock::time_point now) {
    if (server.resident_mib() <= goal_mib) took_s = seconds_between(start, now);
    return took_s >= 0 || seconds_between(start, now) > 60;
  });
  if (took_s < 0) {
    std::printf("from %.0f MiB to %.0f MiB resident only, within a minute\n", full_mib,
                server.resident_mib());
    return;
  }
  std::printf(
      "from %.0f MiB to %.0f MiB resident in %.2f s (%.0f MiB/s), %.2f s of CPU (the gets "
      "included); p99.9 of gets %.0f us before, %.0f us meanwhile\n",
      full_mib, server.resident_mib(), took_s, (full_mib - server.resident_mib()) / took_s,
      (server.cpu_nanoseconds() - cpu_before) / 1e9, before, meanwhile);
}

// Reads a whole metadump; the lines that came. On a thread of its own, which yields to any other.
uint64_t read_dump(int port) {
  const sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);
  const Connection connection(port);
  const std::string request = "lru_crawler metadump all\r\n";
  if (::send(connection.fd(), request.data(), request.size(), 0) < 0) {
    throw std::runtime_error("cannot ask for a dump");
  }
  // Little at a time: a kernel may not preempt who copies.
  std::vector<char> buffer(1 << 14);
  std::string tail;
  uint64_t lines = 0;
  while (!tail.ends_with("END\r\n")) {
    const ssize_t n = ::recv(connection.fd(), buffer.data(), buffer.size(), 0);
    if (n <= 0) throw std::runtime_error("the dump has no end");
    const std::string_view got(buffer.data(), static_cast<size_t>(n));
    lines += static_cast<uint64_t>(std::count(got.begin(), got.end(), '\n'));
    tail.append(got.substr(got.size() - std::min<size_t>(got.size(), 8)));
    tail.erase(0, tail.size() - std::min<size_t>(tail.size(), 8));
  }
  return lines;
}

// The p99 of gets, in microseconds: of the prober, or of a load.
class Gets {
 public:
  Gets(const Server& server, const Options& options) {
    if (options.connections == 0) {
      prober_ = std::make_unique<Prober>(server.port(), options.value_bytes, true);
      return;
    }
    load_.endpoint.port = server.port();
    load_.connections = options.connections;
    load_.cpus = {options.client_cpu};
    load_.workload.keys = kGetKeys;
    load_.workload.key_word = "prb-";
    load_.workload.value_bytes = Distribution(options.value_bytes);
    LoadPlan fill = load_;
    fill.workload = fill_of(fill.workload);
    fill.requests = kGetKeys;
    p99_of(fill);
    load_.workload.mix = Mix::parse("get");
    load_.rate = options.rate;
  }

  double p99_for(int seconds) {
    if (prober_ != nullptr) {
      const auto start = Clock::now();
      return prober_->latency_until(
          990, [&](Clock::time_point now) { return seconds_between(start, now) > seconds; });
    }
    LoadPlan plan = load_;
    plan.seconds = seconds;
    return p99_of(plan);
  }
  double p99_until(const std::atomic<bool>& ended) {
    if (prober_ != nullptr) {
      return prober_->latency_until(990, [&](Clock::time_point) { return ended.load(); });
    }
    LoadPlan plan = load_;
    plan.seconds = 86400;
    plan.stop = &ended;
    return p99_of(plan);
  }

 private:
  static double p99_of(const LoadPlan& plan) {
    const LoadResult result = run_load(plan);
    if (result.errors > 0 || !result.failure.empty()) {
      throw std::runtime_error(result.examples.empty() ? result.failure : result.examples.front());
    }
    return static_cast<double>(result.latency().quantile_ns(0.99)) / 1e3;
  }

  std::unique_ptr<Prober> prober_;  // without a load
  LoadPlan load_;
};

void measure_dump(const Options& options) {
  const Server server(options.server, options.server_cpu);
  fill(server.port(), kFirstGetKey, kGetKeys, options.value_bytes, never);
  fill(server.port(), 0, options.items, options.value_bytes, never);
  if (stat(server.port(), "evictions") > 0) throw std::runtime_error("-m is too small for --items");
  Gets gets(server, options);
  std::vector<double> ratios;
  for (int r = 0; r < options.rounds; ++r) {
    const double before = gets.p99_for(options.seconds);
    std::atomic<bool> ended{false};
    std::string failure;
    uint64_t lines = 0;
    const auto dump_start = Clock::now();
    std::thread reader([&] {
      try {
        lines = read_dump(server.port());
      } catch (const std::exception& e) {
        failure = e.what();
      }
      ended = true;
    });
    const double meanwhile = gets.p99_until(ended);
    const double took_s = seconds_between(dump_start, Clock::now());
    reader.join();
    if (!failure.empty()) throw std::runtime_error(failure);
    ratios.push_back(meanwhile / before);
    std::printf(
        "p99 of gets: %.1f us, %.1f us while %llu lines were dumped in %.1f s, ratio %.2f\n",
        before, meanwhile, static_cast<unsigned long long>(lines), took_s, ratios.back());
    std::fflush(stdout);
  }
  std::printf("median ratio %.2f\n", median(ratios));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    CLI::App app{"Measures what a memcached-compatible server's upkeep costs its clients."};
    app.add_option("--server", options.server, "the server's command, with {port}")->required();
    auto* expiry = app.add_flag("--mass-expiry", options.mass_expiry, "all items expire at once");
    auto* over =
        app.add_option("--expire-over", options.expire_over, "items expire over so many seconds")
            ->check(CLI::Range(2, 3600))
            ->excludes(expiry);
    app.add_option("--shrink-to", options.shrink_to_mib, "MiB that a full server is told to use")
        ->excludes(expiry)
        ->excludes(over);
    app.add_flag("--dump", options.dump, "all keys are dumped")->excludes(expiry)->excludes(over);
    app.add_option("--stall", options.stall_library,
                   "a worker is held up by this library, which is preloaded")
        ->check(CLI::ExistingFile)
        ->excludes(expiry)
        ->excludes(over);
    app.add_option("--connections", options.connections,
                   "--dump: of a load of gets; without, one client asks. --stall: that store")
        ->check(CLI::Range(1, 10000));
    app.add_option("--rate", options.rate, "gets a second of all of these; without, what they can");
    app.add_option("--items", options.items, "that expire, or are dumped");
    auto* value_bytes =
        app.add_option("--value-bytes", options.value_bytes, "of each value; --stall: 1000");
    app.add_option("--rounds", options.rounds, "pairs of runs")->check(CLI::Range(1, 1000));
    app.add_option("--seconds", options.seconds, "of gets in each run")->check(CLI::Range(2, 600));
    app.add_option("--server-cpu", options.server_cpu, "core of the server");
    app.add_option("--client-cpu", options.client_cpu, "core of the load");
    CLI11_PARSE(app, argc, argv);
    pin(0, options.client_cpu);
    if (!options.stall_library.empty()) {
      StallOptions stall;
      stall.server = options.server;
      stall.library = options.stall_library;
      if (options.connections > 0) stall.connections = options.connections;
      if (value_bytes->count() > 0) stall.value_bytes = options.value_bytes;
      stall.rounds = options.rounds;
      stall.server_cpu = options.server_cpu;
      measure_stall(stall);
    } else if (options.dump) {
      measure_dump(options);
    } else if (options.shrink_to_mib > 0) {
      measure_shrink(options);
    } else if (options.mass_expiry) {
      measure_mass_expiry(options);
    } else if (options.expire_over > 0) {
      measure_expiry_cost(options);
    } else {
      throw std::runtime_error(
          "one of --mass-expiry, --expire-over, --shrink-to and --dump is needed");
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "larder-upkeep: %s\n", e.what());
    return 1;
  }
  return 0;
}
