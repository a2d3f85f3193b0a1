// What a load asks for.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tools/bench/dialect.h"
#include "tools/bench/distribution.h"
#include "tools/bench/exchange.h"
#include "tools/bench/popularity.h"

namespace larder::bench {

// Weights of get, set, delete, incr, cas and touch: what a load draws its operations from.
struct Mix {
  std::array<uint32_t, kKinds> weights{1};  // by Kind; cas is drawn as Gets

  // "get=10,set=1". Throws std::invalid_argument with a sentence about `text`.
  static Mix parse(std::string_view text);
  std::string text() const;
  uint32_t total() const;
  bool has(Kind kind) const { return weights[static_cast<size_t>(kind)] > 0; }
};

struct Workload {
  Dialect::Name dialect = Dialect::Name::Classic;
  Mix mix;
  uint64_t keys = 10'000;
  uint64_t first_key = 0;  // where sequential and unique begin
  std::string key_word = "key-";
  Popularity popularity;
  Distribution key_bytes{20};
  Distribution value_bytes{100};
  Distribution ttl_seconds{0};
  int pipeline = 1;      // requests of an exchange
  int multiget = 1;      // keys of a get
  bool noreply = false;  // set, delete, incr, touch
  bool fill_on_miss = false;
  uint64_t seed = 1;

  // Its keys and values; throws std::invalid_argument where they cannot be.
  Data data() const;
  // Operations of one exchange, on average.
  double ops_per_exchange() const;
};

// A sentence that says why the dialect cannot ask for the workload, and names the option to change;
// nothing where it can. RESP has neither cas nor noreply.
std::optional<std::string> refusal_of(const Workload& workload);

// Creates the counters that incr asks for.
Workload counters_of(const Workload& workload);

// Stores every key once: what a workload needs before its gets can hit. Pipelined, in exchanges of
// up to `exchange_bytes`: enough that system calls cost little, and no more than sockets take.
// For fill_of() over TLS. Half of a TLS record: memcached 1.6.18 leaves some of pipelined requests
// unanswered where they reach over several records.
constexpr double kTlsFillBytes = 8 * 1024;
Workload fill_of(const Workload& workload, double exchange_bytes = 64 * 1024);

}  // namespace larder::bench
