#include "tools/bench/stall.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "tools/bench/server.h"

namespace larder::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPipeline = 20;  // sets of one connection
// A batch that took so long had to wait for memory.
constexpr double kWaitedSeconds = 0.2;
constexpr std::string_view kMark = "larder-stall";
constexpr size_t kStallBytes = 4096;  // so long that the reply refers to the item

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// A file that is there for as long as a worker is to be held up.
class StallFile {
 public:
  StallFile() {
    char folder[] = "/tmp/larder-stall-XXXXXX";
    if (mkdtemp(folder) == nullptr) throw std::runtime_error("cannot make a folder in /tmp");
    folder_ = folder;
    path_ = folder_ + "/stall";
  }
  ~StallFile() {
    remove();
    rmdir(folder_.c_str());
  }
  StallFile(const StallFile&) = delete;
  StallFile& operator=(const StallFile&) = delete;

  const std::string& path() const { return path_; }
  void make() const {
    const int fd = ::open(path_.c_str(), O_CREAT | O_WRONLY, 0644);
    if (fd < 0) throw std::runtime_error("cannot make " + path_);
    ::close(fd);
  }
  void remove() const {
    ::unlink(path_.c_str());
    ::unlink(held_path().c_str());
  }
  bool is_holding() const { return ::access(held_path().c_str(), F_OK) == 0; }

 private:
  // Made by the library.
  std::string held_path() const { return path_ + ".held"; }

  std::string folder_;
  std::string path_;
};

// Threads that go on until they are told to stop, also when an exception leaves the scope.
class Threads {
 public:
  ~Threads() { stop(); }
  template <class Body>
  void add(Body body) {
    threads_.emplace_back([this, body] {
      try {
        body(stop_);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
      }
    });
  }
  void stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

struct Batch {
  double begin;  // seconds into the run
  double end;
  int refused;
};

// Stores in pipelines until told to stop; every batch under keys of its own.
class Setter {
 public:
  Setter(int port, size_t value_bytes, uint64_t first_key)
      : connection_(port), value_bytes_(value_bytes), next_key_(first_key) {}

  void run(Clock::time_point start, const std::atomic<bool>& stop) {
    batches_.clear();
    const std::string tail =
        " 0 0 " + std::to_string(value_bytes_) + "\r\n" + value_of(0, value_bytes_) + "\r\n";
    while (!stop) {
      std::string request;
      for (int i = 0; i < kPipeline; ++i) request += "set " + key_of(next_key_++) + tail;
      const double begin = seconds_between(start, Clock::now());
      const int refused = exchange(request);
      batches_.push_back({begin, seconds_between(start, Clock::now()), refused});
    }
  }
  const std::vector<Batch>& batches() const { return batches_; }

 private:
  int exchange(const std::string& request) {
    for (size_t sent = 0; sent < request.size();) {
      const ssize_t n = ::send(connection_.fd(), request.data() + sent, request.size() - sent, 0);
      if (n < 0) throw std::runtime_error("cannot send");
      sent += static_cast<size_t>(n);
    }
    int refused = 0;
    std::string line;
    for (int lines = 0; lines < kPipeline;) {
      char bytes[4096];
      const ssize_t n = ::recv(connection_.fd(), bytes, sizeof bytes, 0);
      if (n <= 0) throw std::runtime_error("the server hung up");
      for (const char c : std::string_view(bytes, static_cast<size_t>(n))) {
        line += c;
        if (c != '\n') continue;
        ++lines;
        if (line != "STORED\r\n") ++refused;
        line.clear();
      }
    }
    return refused;
  }

  Connection connection_;
  const size_t value_bytes_;
  uint64_t next_key_;
  std::vector<Batch> batches_;
};

struct Run {
  double get_p999_us = 0;
  double sets_per_second = 0;  // until one has to wait
  double waited_after_ms = -1;
  int refused = 0;
  double refused_after_ms = -1;  // from the beginning of the batch, the least
};

// Connections come to the two workers in turn: these are one for the worker that is to be held up,
// and the rest for the other.
class Clients {
 public:
  Clients(const StallOptions& options, int port) : options_(options), held_(port) {
    for (int i = 0; i < options.connections; ++i) {
      setters_.push_back(
          std::make_unique<Setter>(port, options.value_bytes, 1'000'000'000'000ULL * (i + 1)));
      idle_.push_back(std::make_unique<Connection>(port));
    }
    get_ = std::make_unique<Connection>(port);
  }

  Run run(const StallFile* stall) {
    if (stall != nullptr) {
      stall->make();
      hold_up(*stall);
    }
    const auto start = Clock::now();
    Threads threads;
    for (const auto& setter : setters_) {
      threads.add([&, start](const std::atomic<bool>& stop) { setter->run(start, stop); });
    }
    std::vector<double> latencies;
    for (auto now = start; seconds_between(start, now) * 1e3 < options_.milliseconds;) {
      const auto asked = Clock::now();
      get_->exchange("get none\r\n", "END\r\n", buffer_);  // a hit might have been evicted
      now = Clock::now();
      latencies.push_back(seconds_between(asked, now) * 1e6);
    }
    if (stall != nullptr) stall->remove();
    threads.stop();
    if (stall != nullptr) receive_reply();
    return judge(latencies);
  }

 private:
  // Asks for the value until the worker that sends it is held up: it may have been evicted again.
  void hold_up(const StallFile& stall) {
    std::string value(kMark);
    value.resize(kStallBytes, 'x');
    const std::string set =
        "set stall 0 0 " + std::to_string(value.size()) + "\r\n" + value + "\r\n";
    const std::string get = "get stall\r\n";
    for (int i = 0; i < 1000; ++i) {
      get_->exchange(set, "STORED\r\n", buffer_);
      if (::send(held_.fd(), get.data(), get.size(), 0) < 0) break;
      pollfd reply{held_.fd(), POLLIN, 0};
      for (int ms = 0; ms < 10'000 && ::poll(&reply, 1, 1) == 0; ++ms) {
        if (stall.is_holding()) return;
      }
      receive_reply();
    }
    throw std::runtime_error("no worker was held up: is the library preloaded?");
  }
  // Of the worker that is or was held up: it ends with END.
  void receive_reply() {
    for (std::string got; !got.ends_with("END\r\n");) {
      char bytes[8192];
      const ssize_t n = ::recv(held_.fd(), bytes, sizeof bytes, 0);
      if (n <= 0) throw std::runtime_error("the server hung up");
      got.append(bytes, static_cast<size_t>(n));
    }
  }

  Run judge(std::vector<double>& latencies) const {
    Run run;
    const auto at = latencies.begin() + static_cast<std::ptrdiff_t>(latencies.size() * 999 / 1000);
    std::nth_element(latencies.begin(), at, latencies.end());
    run.get_p999_us = *at;
    double until = options_.milliseconds / 1e3;
    for (const auto& setter : setters_) {
      for (const Batch& batch : setter->batches()) {
        if (batch.end - batch.begin > kWaitedSeconds && batch.begin < until) {
          until = batch.begin;
          run.waited_after_ms = until * 1e3;
        }
        run.refused += batch.refused;
        const double after_ms = (batch.end - batch.begin) * 1e3;
        if (batch.refused > 0 && (run.refused_after_ms < 0 || after_ms < run.refused_after_ms)) {
          run.refused_after_ms = after_ms;
        }
      }
    }
    double sets = 0;
    for (const auto& setter : setters_) {
      for (const Batch& batch : setter->batches()) sets += batch.end <= until ? kPipeline : 0;
    }
    run.sets_per_second = sets / until;
    return run;
  }

  const StallOptions& options_;
  std::vector<char> buffer_ = std::vector<char>(1 << 16);
  Connection held_;
  std::vector<std::unique_ptr<Setter>> setters_;
  std::vector<std::unique_ptr<Connection>> idle_;  // of the worker that is held up
  std::unique_ptr<Connection> get_;
};

// Stores more than there is memory for.
void fill(int port, size_t value_bytes) {
  const uint64_t items = stat(port, "limit_maxbytes") / value_bytes * 11 / 10;
  Setter setter(port, value_bytes, 0);
  Threads threads;
  threads.add([&](const std::atomic<bool>& stop) { setter.run(Clock::now(), stop); });
  while (stat(port, "total_items") < items) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void print(const char* what, const Run& run) {
  std::printf("  %-9s gets p99.9 %8.0f us; %8.0f sets/s", what, run.get_p999_us,
              run.sets_per_second);
  if (run.waited_after_ms >= 0) {
    std::printf(" until one had to wait, after %.0f ms", run.waited_after_ms);
  }
  if (run.refused > 0) {
    std::printf("; %d refused, after %.0f ms at least", run.refused, run.refused_after_ms);
  }
  std::printf("\n");
}

}  // namespace

void measure_stall(const StallOptions& options) {
  const StallFile file;
  const Server server("/usr/bin/env LD_PRELOAD=" + options.library +
                          " LARDER_STALL_FILE=" + file.path() + " " + options.server,
                      options.server_cpu);
  fill(server.port(), options.value_bytes);
  Clients clients(options, server.port());
  std::vector<double> later_us;
  std::vector<double> ratios;
  for (int r = 0; r < options.rounds; ++r) {
    const Run without = clients.run(nullptr);
    const Run with = clients.run(&file);
    later_us.push_back(with.get_p999_us - without.get_p999_us);
    ratios.push_back(with.sets_per_second / without.sets_per_second);
    print("without:", without);
    print("with:", with);
    std::fflush(stdout);
  }
  std::printf("medians: gets' p99.9 %+.0f us, rate of sets until one has to wait %.2f\n",
              median(later_us), median(ratios));
  const std::string figures = command(server.port(), "stats larder\r\n", "END\r\n");
  for (const char* name : {"overdraft", "rests_for_readers", "reader_scans"}) {
    for (size_t at = 0; (at = figures.find(std::string("STAT ") + name, at)) != std::string::npos;
         ++at) {
      std::printf("%s\n", figures.substr(at + 5, figures.find('\r', at) - at - 5).c_str());
    }
  }
}

}  // namespace larder::bench
