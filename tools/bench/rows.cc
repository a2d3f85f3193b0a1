#include "tools/bench/rows.h"

#include <algorithm>
#include <cmath>

namespace larder::bench {
namespace {

constexpr uint64_t kWarmupsOfAKey = 5;
constexpr uint64_t kMostWarmupOperations = 200'000;
constexpr double kMostWarmupBytes = 256 << 20;

Row row(std::string name, std::string_view mix, int pipeline = 1, int multiget = 1) {
  Row r;
  r.name = std::move(name);
  r.workload.mix = Mix::parse(mix);
  r.workload.pipeline = pipeline;
  r.workload.multiget = multiget;
  return r;
}

}  // namespace

bool Row::same_data(const Row& other) const {
  return memory_mib == other.memory_mib && evicting == other.evicting &&
         workload.keys == other.workload.keys && workload.key_word == other.workload.key_word &&
         workload.key_bytes.table() == other.workload.key_bytes.table() &&
         workload.value_bytes.table() == other.workload.value_bytes.table();
}

uint64_t warmup_operations(const Workload& workload) {
  const uint64_t by_keys = std::min(workload.keys, kMostWarmupOperations) * kWarmupsOfAKey;
  const double value_bytes = std::max(workload.value_bytes.mean(), 1.0);
  const auto by_bytes = static_cast<uint64_t>(kMostWarmupBytes / value_bytes);
  const uint64_t wanted = std::min({by_keys, kMostWarmupOperations, by_bytes});
  return std::max(wanted, static_cast<uint64_t>(std::ceil(workload.ops_per_exchange())));
}

// Rows with the same data stand together, so that servers are filled once for them.
std::vector<Row> comparison_rows() {
  std::vector<Row> rows;
  const auto add = [&](Row r) -> Row& { return rows.emplace_back(std::move(r)); };
  const auto singles = [&](const std::string& suffix) {
    std::vector<Row> three{row("get, single" + suffix, "get"), row("set, single" + suffix, "set"),
                           row("mix 10:1, single" + suffix, "get=10,set=1")};
    return three;
  };
  for (Row& r : singles("")) add(r);
  for (Row& r : singles(", 400 connections")) add(r).connections = 400;
  add(row("get, pipelined 32", "get", 32));
  add(row("set, pipelined 32", "set", 32));
  add(row("mg, pipelined 32", "get", 32)).workload.dialect = Dialect::Name::Meta;
  add(row("multiget 50", "get", 1, 50));
  add(row("multiget 100", "get", 1, 100));
  add(row("binary getq 50", "get", 1, 50)).workload.dialect = Dialect::Name::Binary;
  for (Row& r : singles(", 1 KB values")) add(r).workload.value_bytes = Distribution(1000);
  for (Row r : {row("get, pipelined 32, zipf 1000", "get", 32),
                row("multiget 50, zipf 1000", "get", 1, 50)}) {
    r.workload.keys = 1000;
    r.workload.popularity = {Popularity::Kind::Zipf, 1.0};
    add(r);
  }
  for (Row r :
       {row("set, single, evicting", "set"), row("set, pipelined 32, evicting", "set", 32)}) {
    r.workload.popularity = {Popularity::Kind::Unique};
    r.memory_mib = 64;
    r.evicting = true;
    add(r);
  }
  for (Row r : {row("get, pipelined 32, 10 M items", "get", 32),
                row("multiget 50, 10 M items", "get", 1, 50)}) {
    r.workload.keys = kManyItems;
    r.memory_mib = 4096;
    add(r);
  }
  // A little below the limit of an item, 1 MiB.
  struct Large {
    const char* name;
    uint32_t value_bytes;
    uint64_t keys;
  };
  for (const Large& large : {Large{"get 64 KB", 64'000, 200}, Large{"get 1 MB", 1'000'000, 40}}) {
    Row& r = add(row(large.name, "get"));
    r.workload.value_bytes = Distribution(large.value_bytes);
    r.workload.keys = large.keys;
    r.connections = 8;
  }
  return rows;
}

}  // namespace larder::bench
