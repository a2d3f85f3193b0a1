// larder-client-bench: liblarder-client and libmemcached on the same load.
//
//   larder-client-bench --server 'larderd -u nobody -l 127.0.0.1 -p {port} -t 1 -m 256'
//
// Starts --nodes servers on one core and drives them from another with either library, in rounds
// whose order is reversed each time (A B, B A); one thread asks again when it is answered, for
// --seconds with each library. Prints for every row of work and every dialect that both have the
// time and the library's own CPU time per key, and the ratios of the medians: above 1 the larder
// client is faster.
//
// Both put keys on the same ring (weighted ketama) and verify every reply. libmemcached is set up
// as its manual has it for speed: TCP_NODELAY; a multiget is memcached_mget and
// memcached_fetch_result into one memcached_result_st that all fetches share, because the library
// allocates one for each key otherwise; many stores are memcached_set one by one, since it knows no
// others that are acknowledged.
#include <libmemcached/memcached.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/bench/round_order.h"
#include "tools/bench/server.h"
#include "tools/client/client.h"

namespace {

using larder::bench::median;
using larder::bench::order_of_round;
using larder::bench::Server;
namespace client = larder::client;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string server;
  std::string only;
  int nodes = 3;
  int rounds = 7;
  double seconds = 0.3;
  int server_cpu = 0;
  int client_cpu = 1;
};

constexpr size_t kKeys = 10'000;

// What one library does, a step at a time. Throws std::runtime_error if a reply is wrong.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual void set(std::string_view key, std::string_view value) = 0;
  virtual void get(std::string_view key, std::string_view value) = 0;
  virtual void set_many(const std::vector<std::string_view>& keys, std::string_view value) = 0;
  virtual void get_many(const std::vector<std::string_view>& keys, std::string_view value) = 0;
};

void expect(bool right, const char* what) {
  if (!right) throw std::runtime_error(std::string("a wrong answer to ") + what);
}

class Larder : public Driver {
 public:
  Larder(const std::vector<std::unique_ptr<Server>>& servers, client::Dialect dialect) {
    client::ClientOptions options;
    for (const auto& server : servers) {
      options.servers.push_back({"127.0.0.1", static_cast<uint16_t>(server->port())});
    }
    options.ring = client::RingKind::LibmemcachedKetamaWeighted;
    options.connection.dialect = dialect;
    auto made = client::Client::make(options);
    if (!made) throw std::runtime_error(made.error().text);
    client_ = std::move(*made);
  }
  void set(std::string_view key, std::string_view value) override {
    const auto done = client_->set(key, value);
    expect(done && *done == client::Outcome::Done, "set");
  }
  void get(std::string_view key, std::string_view value) override {
    const auto found = client_->get(key);
    expect(found && *found && (*found)->value == value, "get");
  }
  void set_many(const std::vector<std::string_view>& keys, std::string_view value) override {
    entries_.clear();
    for (const std::string_view key : keys) entries_.push_back({key, value});
    for (const auto& done : client_->set_many(entries_)) {
      expect(done && *done == client::Outcome::Done, "set_many");
    }
  }
  void get_many(const std::vector<std::string_view>& keys, std::string_view value) override {
    operations_.resize(keys.size());
    answers_.resize(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) operations_[i].key = keys[i];
    client_->run(operations_, answers_);
    for (const client::Answer& answer : answers_) {
      expect(answer.outcome == client::Outcome::Done && answer.value == value, "run");
    }
  }

 private:
  std::unique_ptr<client::Client> client_;
  std::vector<client::Entry> entries_;
  std::vector<client::Operation> operations_;  // gets
  std::vector<client::Answer> answers_;        // of the last step; the next one uses their memory
};

class Libmemcached : public Driver {
 public:
  Libmemcached(const std::vector<std::unique_ptr<Server>>& servers, bool binary)
      : handle_(memcached_create(nullptr)) {
    memcached_behavior_set(handle_, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    memcached_behavior_set(handle_, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    memcached_behavior_set(handle_, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, binary ? 1 : 0);
    for (const auto& server : servers) {
      memcached_server_add(handle_, "127.0.0.1", static_cast<in_port_t>(server->port()));
    }
    memcached_result_create(handle_, &result_);
  }
  ~Libmemcached() override {
    memcached_result_free(&result_);  // before its handle, whose allocator it uses
    memcached_free(handle_);
  }
  void set(std::string_view key, std::string_view value) override {
    expect(memcached_set(handle_, key.data(), key.size(), value.data(), value.size(), 0, 0) ==
               MEMCACHED_SUCCESS,
           "memcached_set");
  }
  void get(std::string_view key, std::string_view value) override {
    size_t bytes = 0;
    uint32_t flags = 0;
    memcached_return_t status;
    char* const found = memcached_get(handle_, key.data(), key.size(), &bytes, &flags, &status);
    const bool right = found != nullptr && std::string_view(found, bytes) == value;
    std::free(found);
    expect(right, "memcached_get");
  }
  void set_many(const std::vector<std::string_view>& keys, std::string_view value) override {
    for (const std::string_view key : keys) set(key, value);
  }
  void get_many(const std::vector<std::string_view>& keys, std::string_view value) override {
    names_.clear();
    sizes_.clear();
    for (const std::string_view key : keys) {
      names_.push_back(key.data());
      sizes_.push_back(key.size());
    }
    expect(
        memcached_mget(handle_, names_.data(), sizes_.data(), names_.size()) == MEMCACHED_SUCCESS,
        "memcached_mget");
    memcached_return_t status;
    size_t found = 0;
    while (memcached_fetch_result(handle_, &result_, &status) != nullptr) {
      found += std::string_view(memcached_result_value(&result_),
                                memcached_result_length(&result_)) == value;
    }
    expect(found == keys.size(), "memcached_mget");
  }

 private:
  memcached_st* const handle_;
  memcached_result_st result_{};  // of the last fetch; its buffer is used again by the next one
  std::vector<const char*> names_;
  std::vector<size_t> sizes_;
};

struct Row {
  const char* name;
  size_t value_bytes;
  size_t keys;  // in a step
  bool store;
};

constexpr Row kRows[] = {
    {"get, 100 B", 100, 1, false},          {"get, 4 KB", 4096, 1, false},
    {"get, 64 KB", 65536, 1, false},        {"set, 100 B", 100, 1, true},
    {"set, 4 KB", 4096, 1, true},           {"set, 64 KB", 65536, 1, true},
    {"get 50 keys, 100 B", 100, 50, false}, {"get 100 keys, 1 KB", 1024, 100, false},
    {"set 50 keys, 100 B", 100, 50, true},
};

struct Dialects {
  const char* name;
  client::Dialect ours;
  bool binary;  // libmemcached's, else text
};

constexpr Dialects kDialects[] = {
    {"classic, text", client::Dialect::Classic, false},
    {"meta, text", client::Dialect::Meta, false},
    {"binary, binary", client::Dialect::Binary, true},
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

struct Cost {
  std::vector<double> wall_us;  // per key, of each turn
  std::vector<double> cpu_us;
};

class Bench {
 public:
  Bench(const Options& options, const std::vector<std::string>& keys)
      : options_(options), keys_(keys) {}

  // One turn.
  void run(Driver& driver, const Row& row, const std::string& value, Cost& cost) {
    std::vector<std::string_view> step(row.keys);
    const size_t keys = row.value_bytes > 10'000 ? kKeys / 100 : kKeys;
    const auto start = Clock::now();
    const double cpu_start = cpu_seconds();
    const auto end = start + std::chrono::duration<double>(options_.seconds);
    uint64_t done = 0;
    while (Clock::now() < end) {
      for (std::string_view& key : step) key = keys_[next_++ * 7919 % keys];
      if (row.keys == 1) {
        row.store ? driver.set(step[0], value) : driver.get(step[0], value);
      } else {
        row.store ? driver.set_many(step, value) : driver.get_many(step, value);
      }
      done += row.keys;
    }
    const double wall = std::chrono::duration<double>(Clock::now() - start).count();
    cost.wall_us.push_back(wall / static_cast<double>(done) * 1e6);
    cost.cpu_us.push_back((cpu_seconds() - cpu_start) / static_cast<double>(done) * 1e6);
  }

  void fill(Driver& driver, const Row& row, const std::string& value) {
    const size_t keys = row.value_bytes > 10'000 ? kKeys / 100 : kKeys;
    for (size_t i = 0; i < keys; ++i) driver.set(keys_[i], value);
  }

 private:
  const Options& options_;
  const std::vector<std::string>& keys_;
  uint64_t next_ = 0;
};

void measure(const Options& options) {
  std::vector<std::unique_ptr<Server>> servers;
  for (int i = 0; i < options.nodes; ++i) {
    servers.push_back(std::make_unique<Server>(options.server, options.server_cpu));
  }
  std::vector<std::string> keys;
  for (size_t i = 0; i < kKeys; ++i) keys.push_back(larder::bench::key_of(i));
  std::printf(
      "| %-18s | %-14s | larder us | libmemcached us | ratio | larder CPU us | "
      "libmemcached CPU us | ratio |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
      "row", "dialects");
  Bench bench(options, keys);
  for (const Row& row : kRows) {
    if (std::string_view(row.name).find(options.only) == std::string_view::npos) continue;
    const std::string value = larder::bench::value_of(0, row.value_bytes);
    for (const Dialects& dialects : kDialects) {
      Larder larder(servers, dialects.ours);
      Libmemcached libmemcached(servers, dialects.binary);
      bench.fill(larder, row, value);
      Driver* const drivers[] = {&larder, &libmemcached};
      Cost costs[std::size(drivers)];
      for (int round = 0; round < options.rounds; ++round) {
        for (const size_t i : order_of_round(std::size(drivers), static_cast<size_t>(round))) {
          bench.run(*drivers[i], row, value, costs[i]);
        }
      }
      const auto& [ours, theirs] = costs;
      const double wall = median(ours.wall_us);
      const double their_wall = median(theirs.wall_us);
      const double cpu = median(ours.cpu_us);
      const double their_cpu = median(theirs.cpu_us);
      std::printf("| %-18s | %-14s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", row.name,
                  dialects.name, wall, their_wall, their_wall / wall, cpu, their_cpu,
                  their_cpu / cpu);
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Compares liblarder-client with libmemcached."};
  app.add_option("--server", options.server, "a server's command, with {port}")->required();
  app.add_option("--only", options.only, "only rows whose names have this in them");
  app.add_option("--nodes", options.nodes, "how many servers (3)")->check(CLI::Range(1, 100));
  app.add_option("--rounds", options.rounds, "turns of each (7)")->check(CLI::Range(1, 1000));
  app.add_option("--seconds", options.seconds, "of a turn (0.3)")->check(CLI::Range(0.001, 600.0));
  app.add_option("--server-cpu", options.server_cpu, "core of the servers (0)");
  app.add_option("--client-cpu", options.client_cpu, "core of the clients (1)");
  CLI11_PARSE(app, argc, argv);
  try {
    larder::bench::pin(0, options.client_cpu);
    measure(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "larder-client-bench: %s\n", error.what());
    return 1;
  }
}
