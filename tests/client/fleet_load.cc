// fleet_load: writes and reads through the client library while a fleet changes, and checks what is
// read. For test_fleet.py.
//
//   fleet_load --servers 127.0.0.1:21001,127.0.0.1:21002 --seconds 60
//
// The servers are asked for the list of all, again and again. Every thread has keys of its own, and
// each value its key and a version, one more with each write that is tried. So what is read may be
// missing, but if it is there it is the last version: a lower one is stale, also when the write
// after it failed, since whoever wrote has been told so.
//
// Prints a line of JSON every kReportEvery with the sums so far:
//   at            seconds since 1970
//   nodes         the list in use
//   operations
//   errors        by the node that the key belongs to, and by kind
//   misses        by node, of keys that were stored there last and still belong there
//   moved_misses  of all other keys
//   stale, wrong  and `example`, the first of these
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tools/client/client.h"

namespace {

using namespace larder::client;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kReportEvery{100};
// So that a fleet and its clients fit on two cores.
constexpr std::chrono::microseconds kPause{500};
constexpr unsigned kWritesInTen = 3;

struct Options {
  std::vector<std::string> servers;
  double seconds = 10;
  unsigned threads = 4;
  size_t keys = 500;  // of each thread
  int interval_ms = 200;
  int lease_ms = 600'000;
  bool defaults = false;
};

const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::BadRequest:
      return "bad_request";
    case ErrorKind::Unreachable:
      return "unreachable";
    case ErrorKind::Timeout:
      return "timeout";
    case ErrorKind::Closed:
      return "closed";
    case ErrorKind::Denied:
      return "denied";
    case ErrorKind::Refused:
      return "refused";
    case ErrorKind::TooLarge:
      return "too_large";
    case ErrorKind::Protocol:
      return "protocol";
    case ErrorKind::Ejected:
      return "ejected";
  }
  return "unknown";
}

struct Counts {
  uint64_t operations = 0;
  std::map<std::string, std::map<std::string, uint64_t>> errors;
  std::map<std::string, uint64_t> misses;
  uint64_t moved_misses = 0;
  uint64_t stale = 0;
  uint64_t wrong = 0;
  std::string example;
};

class Tally {
 public:
  template <typename Count>
  void add(Count count) {
    const std::lock_guard lock(mutex_);
    count(counts_);
  }
  Counts counts() {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  std::mutex mutex_;
  Counts counts_;
};

struct Key {
  std::string name;
  uint64_t tried = 0;     // the version of the last write
  bool stored = false;    // which went well
  std::string home = {};  // the node that it went to; empty if the list changed meanwhile
};

class User {
 public:
  User(Client& client, Tally& tally, const Options& options, unsigned number)
      : client_(client), tally_(tally), random_(number) {
    for (size_t i = 0; i < options.keys; ++i) {
      keys_.emplace_back().name = "thread-" + std::to_string(number) + ":" + std::to_string(i);
    }
  }

  void run_until(Clock::time_point end) {
    while (Clock::now() < end) {
      Key& key = keys_[random_() % keys_.size()];
      if (key.tried == 0 || random_() % 10 < kWritesInTen) {
        write(key);
      } else {
        read(key);
      }
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  static std::string value_of(const Key& key) {
    return key.name + "=" + std::to_string(key.tried) + ";" + std::string(key.tried % 200, '.');
  }

  // node  of the key when this began
  void fail(const std::string& node, const Error& error) {
    tally_.add([&](Counts& counts) {
      ++counts.errors[node][name_of(error.kind)];
      if (counts.example.empty() && error.kind == ErrorKind::Protocol) counts.example = error.text;
    });
  }

  void write(Key& key) {
    ++key.tried;
    const std::string node = client_.node_of(key.name);
    const Result<Outcome> done = client_.set(key.name, value_of(key));
    key.stored = done && *done == Outcome::Done;
    key.home = client_.node_of(key.name) == node ? node : "";
    tally_.add([](Counts& counts) { ++counts.operations; });
    if (!done) fail(node, done.error());
  }

  void read(Key& key) {
    const std::string node = client_.node_of(key.name);
    const Result<std::optional<Item>> found = client_.get(key.name);
    tally_.add([](Counts& counts) { ++counts.operations; });
    if (!found) return fail(node, found.error());
    if (!*found) {
      const bool here = key.stored && node == key.home && client_.node_of(key.name) == node;
      tally_.add([&](Counts& counts) { here ? ++counts.misses[key.home] : ++counts.moved_misses; });
      return write(key);
    }
    const std::string& value = (*found)->value;
    if (value == value_of(key)) return;
    tally_.add([&](Counts& counts) {
      ++(value.starts_with(key.name + "=") ? counts.stale : counts.wrong);
      if (!counts.example.empty()) return;
      counts.example = value.substr(0, value.find(';')) + " of " + client_.node_of(key.name) +
                       " where " + std::to_string(key.tried) + " was written last, " +
                       (key.stored ? "to " + key.home : "in vain");
    });
  }

  Client& client_;
  Tally& tally_;
  std::minstd_rand random_;
  std::vector<Key> keys_;
};

void report(const Client& client, Tally& tally) {
  const Counts counts = tally.counts();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const nlohmann::ordered_json line{
      {"at", std::chrono::duration<double>(now).count()},
      {"nodes", client.nodes()},
      {"operations", counts.operations},
      {"errors", counts.errors},
      {"misses", counts.misses},
      {"moved_misses", counts.moved_misses},
      {"stale", counts.stale},
      {"wrong", counts.wrong},
      {"example", counts.example},
  };
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

Server server_of(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) throw CLI::ValidationError("--servers", text + " has no port");
  Server server;
  server.host = text.substr(0, colon);
  server.port = static_cast<uint16_t>(std::stoul(text.substr(colon + 1)));
  return server;
}

int run(const Options& options) {
  ClientOptions with;
  for (const std::string& text : options.servers) with.servers.push_back(server_of(text));
  with.discovery.enabled = true;
  with.discovery.interval = std::chrono::milliseconds(options.interval_ms);
  with.lease = std::chrono::milliseconds(options.lease_ms);
  if (!options.defaults) {  // a fleet of a test comes and goes in seconds
    with.request_timeout = std::chrono::milliseconds(500);
    with.connect_timeout = std::chrono::milliseconds(250);
    with.health.first_ejection = std::chrono::milliseconds(300);
    with.health.longest_ejection = std::chrono::milliseconds(1000);
  }
  const Result<std::unique_ptr<Client>> made = Client::make(with);
  if (!made) {
    std::fprintf(stderr, "fleet_load: %s\n", made.error().text.c_str());
    return 1;
  }
  Client& client = **made;
  Tally tally;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(options.seconds));
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < options.threads; ++number) {
    threads.emplace_back([&, number] { User(client, tally, options, number).run_until(end); });
  }
  while (Clock::now() < end) {
    report(client, tally);
    std::this_thread::sleep_for(kReportEvery);
  }
  for (std::thread& thread : threads) thread.join();
  report(client, tally);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Checks what a client reads while a fleet changes."};
  app.add_option("--servers", options.servers, "whom to ask for the list")
      ->required()
      ->delimiter(',');
  app.add_option("--seconds", options.seconds, "how long");
  app.add_option("--threads", options.threads, "of the one client");
  app.add_option("--keys", options.keys, "of each thread");
  app.add_option("--interval", options.interval_ms, "ms between two questions for the list");
  app.add_option("--lease", options.lease_ms, "ms; a node that was away for longer is flushed");
  app.add_flag("--defaults", options.defaults,
               "the client's own timeouts and ejections, not those of a fleet in a hurry");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fleet_load: %s\n", error.what());
    return 1;
  }
}
