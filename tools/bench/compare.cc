// larder-compare: server CPU per key of two memcached-compatible servers, measured in turn.
//
//   larder-compare --a 'larderd -u root -l 127.0.0.1 -p {port} -t 1' --b '...'
//
// Starts both servers on loopback, each pinned to one core while the load runs on another, fills
// them with the same keys, and runs each workload A B A B ... for a fixed time. Every reply is
// checked byte for byte. Prints for each workload the medians of the servers' own CPU time per key
// (/proc/<pid>/task/*/schedstat) and the ratio B / A: above 1, A is cheaper.
//
//   larder-compare --fill 10 --fill 100 --a '...' --b '...'
//
// Instead: starts the servers one after the other, stores 1.3 times as many keys with values of
// these sizes as would fit if only keys and values took room, and prints how many each server holds
// in the end, how many sets it refused, its memory and its CPU time.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tools/bench/server.h"

namespace {

using namespace larder::bench;

using Clock = std::chrono::steady_clock;

struct Options {
  std::string command_a;
  std::string command_b;
  int rounds = 5;
  double seconds = 1.0;  // of one run
  uint64_t keys = 10'000;
  size_t value_bytes = 100;
  int connections = 50;
  int server_cpu = 0;
  int client_cpu = 1;
  std::vector<std::string> only;
  std::vector<size_t> fill_value_bytes;
};

struct Workload {
  const char* name;
  bool is_set;
  int keys_per_request;  // of one get
  int pipeline;          // requests sent at once
};

constexpr Workload kWorkloads[] = {
    {"get, single", false, 1, 1},        {"set, single", true, 1, 1},
    {"get, pipelined 32", false, 1, 32}, {"set, pipelined 32", true, 1, 32},
    {"multiget 50", false, 50, 1},
};

// Requests are made up front, so that the load costs little.
struct Exchange {
  std::string request;
  std::string reply;
};

std::vector<Exchange> make_exchanges(const Workload& workload, const Options& options) {
  std::mt19937_64 random(1);
  std::vector<Exchange> exchanges(512);
  for (Exchange& e : exchanges) {
    for (int p = 0; p < workload.pipeline; ++p) {
      if (workload.is_set) {
        const uint64_t n = random() % options.keys;
        e.request += "set " + key_of(n) + " 0 0 " + std::to_string(options.value_bytes) + "\r\n" +
                     value_of(n, options.value_bytes) + "\r\n";
        e.reply += "STORED\r\n";
        continue;
      }
      e.request += "get";
      for (int k = 0; k < workload.keys_per_request; ++k) {
        const uint64_t n = random() % options.keys;
        e.request += " " + key_of(n);
        e.reply += "VALUE " + key_of(n) + " 0 " + std::to_string(options.value_bytes) + "\r\n" +
                   value_of(n, options.value_bytes) + "\r\n";
      }
      e.request += "\r\n";
      e.reply += "END\r\n";
    }
  }
  return exchanges;
}

void fill(int port, const Options& options) {
  Connection connection(port);
  std::vector<char> buffer(1 << 16);
  for (uint64_t n = 0; n < options.keys;) {
    std::string request;
    std::string expected;
    for (int i = 0; i < 100 && n < options.keys; ++i, ++n) {
      request += "set " + key_of(n) + " 0 0 " + std::to_string(options.value_bytes) + "\r\n" +
                 value_of(n, options.value_bytes) + "\r\n";
      expected += "STORED\r\n";
    }
    connection.exchange(request, expected, buffer);
  }
}

// Nanoseconds of server CPU per key.
double run(const Server& server, const Workload& workload, const Options& options,
           const std::vector<Exchange>& exchanges) {
  std::vector<std::unique_ptr<Connection>> connections;
  const int epoll = epoll_create1(0);
  for (int i = 0; i < options.connections; ++i) {
    connections.push_back(std::make_unique<Connection>(server.port()));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(i);
    epoll_ctl(epoll, EPOLL_CTL_ADD, connections.back()->fd(), &event);
  }
  std::vector<char> buffer(1 << 20);
  size_t next = 0;
  const auto send_next = [&](Connection& c) {
    const Exchange& e = exchanges[next++ % exchanges.size()];
    c.send(e.request, e.reply);
  };
  const double keys_per_exchange = double(workload.pipeline) * workload.keys_per_request;
  double keys = 0;
  double cpu_before = 0;
  const auto start = Clock::now();
  const auto warm = start + std::chrono::milliseconds(100);
  const auto end = warm + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(options.seconds));
  bool counting = false;
  for (const auto& c : connections) send_next(*c);
  size_t waiting = connections.size();
  while (waiting > 0) {
    epoll_event events[64];
    const int n = epoll_wait(epoll, events, 64, 2000);
    if (n <= 0) throw std::runtime_error("no reply for two seconds");
    const auto now = Clock::now();
    if (!counting && now >= warm) {
      counting = true;
      keys = 0;
      cpu_before = server.cpu_nanoseconds();
    }
    for (int i = 0; i < n; ++i) {
      Connection& c = *connections[events[i].data.u32];
      if (!c.receive(buffer)) continue;
      keys += keys_per_exchange;
      if (now < end) {
        send_next(c);
      } else {
        --waiting;
      }
    }
  }
  const double cpu = server.cpu_nanoseconds() - cpu_before;
  close(epoll);
  return cpu / keys;
}

// Stores keys until 1.3 times the memory limit has gone in; returns how many sets were refused.
uint64_t overfill(int port, size_t value_bytes, uint64_t keys) {
  const int fd = connect_to(port);
  if (fd < 0) throw std::runtime_error("cannot connect");
  const std::string value = value_of(0, value_bytes);
  uint64_t refused = 0;
  std::string request;
  std::vector<char> buffer(1 << 16);
  for (uint64_t n = 0; n < keys;) {
    request.clear();
    uint64_t waiting = 0;
    for (; waiting < 64 && n < keys; ++waiting, ++n) {
      request += "set " + key_of(n) + " 0 0 " + std::to_string(value_bytes) + "\r\n";
      request += value;
      request += "\r\n";
    }
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
    bool line_begins = true;
    while (waiting > 0) {
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) throw std::runtime_error("the server closed the connection");
      for (ssize_t i = 0; i < got; ++i) {
        const char c = buffer[static_cast<size_t>(i)];
        if (line_begins && c != 'S') throw std::runtime_error("not a reply to set");
        // STORED or SERVER_ERROR.
        if (c == 'V') ++refused;
        line_begins = c == '\n';
        if (line_begins) --waiting;
      }
    }
  }
  close(fd);
  return refused;
}

void compare_fill(const Options& options) {
  std::printf("%-12s %-2s %12s %14s %8s %8s %8s\n", "value bytes", "", "items", "bytes over kv",
              "refused", "RSS MiB", "CPU s");
  for (const size_t value_bytes : options.fill_value_bytes) {
    for (const bool is_a : {true, false}) {
      const Server server(is_a ? options.command_a : options.command_b, options.server_cpu);
      const uint64_t limit = stat(server.port(), "limit_maxbytes");
      const size_t raw_bytes = key_of(0).size() + value_bytes;
      const uint64_t keys = limit / raw_bytes * 13 / 10;
      const uint64_t refused = overfill(server.port(), value_bytes, keys);
      const double cpu_s = server.cpu_nanoseconds() / 1e9;
      const uint64_t items = stat(server.port(), "curr_items");
      std::printf(
          "%-12zu %-2s %12llu %14.1f %8llu %8.0f %8.1f\n", value_bytes, is_a ? "A" : "B",
          static_cast<unsigned long long>(items),
          static_cast<double>(limit) / static_cast<double>(items) - static_cast<double>(raw_bytes),
          static_cast<unsigned long long>(refused), server.resident_mib(), cpu_s);
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    CLI::App app{"Compares the CPU per key of two memcached-compatible servers on this machine."};
    app.add_option("--a", options.command_a, "server A, with {port}")->required();
    app.add_option("--b", options.command_b, "server B, with {port}")->required();
    app.add_option("--rounds", options.rounds, "runs of each")->check(CLI::Range(1, 1000));
    app.add_option("--seconds", options.seconds, "of one run")->check(CLI::Range(0.1, 600.0));
    app.add_option("--keys", options.keys, "stored in each server");
    app.add_option("--value-bytes", options.value_bytes, "of each value");
    app.add_option("--connections", options.connections, "of the load");
    app.add_option("--server-cpu", options.server_cpu, "core of the servers");
    app.add_option("--client-cpu", options.client_cpu, "core of the load");
    app.add_option("--only", options.only, "workloads whose names contain one of these");
    app.add_option("--fill", options.fill_value_bytes,
                   "instead: count the items held with values of so many bytes");
    CLI11_PARSE(app, argc, argv);
    pin(0, options.client_cpu);
    if (!options.fill_value_bytes.empty()) {
      compare_fill(options);
      return 0;
    }
    const Server a(options.command_a, options.server_cpu);
    const Server b(options.command_b, options.server_cpu);
    fill(a.port(), options);
    fill(b.port(), options);
    std::printf(
        "%-20s %12s %12s %8s   (ns of server CPU per key; %llu keys, %zu-byte values, "
        "%d connections, %d runs)\n",
        "workload", "A", "B", "B / A", static_cast<unsigned long long>(options.keys),
        options.value_bytes, options.connections, options.rounds);
    for (const Workload& workload : kWorkloads) {
      if (!options.only.empty() &&
          std::none_of(options.only.begin(), options.only.end(), [&](const std::string& part) {
            return std::string(workload.name).find(part) != std::string::npos;
          })) {
        continue;
      }
      const std::vector<Exchange> exchanges = make_exchanges(workload, options);
      std::vector<double> cost_a;
      std::vector<double> cost_b;
      std::vector<double> ratio;
      for (int r = 0; r < options.rounds; ++r) {
        cost_a.push_back(run(a, workload, options, exchanges));
        cost_b.push_back(run(b, workload, options, exchanges));
        ratio.push_back(cost_b.back() / cost_a.back());
      }
      std::printf("%-20s %12.0f %12.0f %8.2f   pairs %.2f .. %.2f\n", workload.name, median(cost_a),
                  median(cost_b), median(cost_b) / median(cost_a),
                  *std::min_element(ratio.begin(), ratio.end()),
                  *std::max_element(ratio.begin(), ratio.end()));
      std::fflush(stdout);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "larder-compare: %s\n", e.what());
    return 1;
  }
  return 0;
}
