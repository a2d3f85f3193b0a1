// Compares servers by what a key costs them: server CPU, from the kernel's own count.
//
// All servers run at once, each pinned to the same core while the load runs on another, hold the
// same keys, and are measured in rounds, so that what changes on the machine meets all of them.
// Each round has an order of its own (round_order.h). Before a row, each server gets time to catch
// up with what came before it (settling.h); before a run, it is warmed up. The figure of a row is
// the ratio of medians; its spread is that of the pairs of a round.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/load.h"
#include "tools/bench/rows.h"
#include "tools/bench/server.h"

namespace larder::bench {

struct ServerCommand {
  std::string command;                      // with {port} or {socket}, maybe {memory}
  bool many_items_only = false;             // measured only in rows of kManyItems items or more
  std::optional<Dialect::Name> protocol{};  // in the place of each row's own
};

// The row as this server is asked: with the server's protocol where it has one.
Row row_for(const ServerCommand& server, const Row& row);
// False where the row is not one of many items and the server is there for those alone, and where
// the server's protocol cannot ask for the row's workload (refusal_of()).
bool takes_part(const ServerCommand& server, const Row& row);

struct ComparePlan {
  std::vector<ServerCommand> servers;  // the first is A, which is measured in all rows
  int rounds = 5;
  double seconds = 1;            // of one run
  double warmup_seconds = 0.25;  // over the measured connections, after warmup_operations()
  int threads = 1;
  int server_cpu = 0;               // below 0: any
  int client_cpu = 1;               // of the first thread; the others run anywhere
  std::shared_ptr<TlsContext> tls;  // null: plain
  std::vector<double> rates;        // operations a second; empty: closed loop
  const std::atomic<bool>* stop = nullptr;
};

// What one run on one server has shown.
struct Cost {
  double cpu_ns = 0;  // of the server, per key
  double keys_per_second = 0;
  double p50_us = 0, p99_us = 0, p999_us = 0;
  double server_busy = 0;    // of one core; above 1 with several threads
  double client_busy = 0;    // the busiest thread of the load
  double client_cpu_ns = 0;  // of the load, per key
  double hit_ratio = 1;      // of gets
  uint64_t unsent = 0;
  uint64_t errors = 0;  // wrong replies, also of the warm-up
};

// What one server has shown in a row.
struct ServerRuns {
  std::vector<Cost> runs;  // of each round; empty where the server has no part in the row
  // What it was like before the first round.
  bool settled = true;                   // false: it still used CPU when the wait ended
  std::optional<double> huge_pages_mib;  // nothing: unknown
};

// A row as measured.
struct Comparison {
  std::string name;
  double rate = 0;
  std::vector<ServerRuns> servers;  // as many, and in the same order, as in the plan

  std::vector<std::string> orders;  // of each round, the letters of the servers as they ran: "BA"

  bool measured(size_t server) const { return !servers[server].runs.empty(); }
  // These ask for a server that was measured. Of one server, the median of a figure.
  double median_of(size_t server, double Cost::*figure) const;
  double lowest_hit_ratio(size_t server) const;  // of its runs
  // How many times A's cost per key another server has; of medians, and of each pair of runs.
  double ratio(size_t server) const;
  std::vector<double> pair_ratios(size_t server) const;  // in rising order
  // The load was busy all the time and a server was not: its figure is right, its keys/s are not.
  bool client_was_limit() const;
  bool keeps_up(size_t server) const;  // with the rate, within 2 %
  uint64_t wrong_replies(size_t server) const;
  bool failed() const;  // a server gave a wrong reply
};

// The exit status of a comparison: 1 where a server gave a wrong reply in any row, else 0.
int exit_status_of(const std::vector<Comparison>& rows);

// One thread.
class Comparer {
 public:
  explicit Comparer(const ComparePlan& plan);
  ~Comparer();

  // Starts and fills the servers where the row needs others than the last one, waits until each has
  // settled, then measures.
  // Throws std::runtime_error with a sentence.
  Comparison measure(const Row& row, double rate);

 private:
  struct Subject;
  class Running;

  Endpoint endpoint_of(const Subject& subject) const;
  void prepare(const Row& row);
  ServerRuns settle(const Subject& subject) const;
  Cost run(Subject& subject, const Row& row, double rate);

  const ComparePlan& plan_;
  std::vector<std::unique_ptr<Subject>> subjects_;  // null where a server has no part in the row
  std::unique_ptr<Row> filled_;                     // what they hold
};

// Stores the row's data in a server, in the row's protocol, and makes sure that it is there.
// first_key   of an evicting row: where its keys begin; moved on
void fill_server(const Endpoint& server, const Row& row, uint64_t& first_key);

}  // namespace larder::bench
