// larder-ring-table [RING...]: prints the table of rings in README.md, or only some rows. How
// evenly each spreads keys and how many it moves, as means over several sets of hosts, because
// where the points of a ring fall is a matter of names.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/client/ring.h"
#include "tools/client/ring_quality.h"

namespace {

using namespace larder::client;

constexpr uint32_t kKeys = 1'000'000;
constexpr uint32_t kHostSets = 5;
constexpr uint32_t kSizes[] = {3, 10, 100};

std::vector<RingNode> hosts(uint32_t set, uint32_t count, bool weighted) {
  std::vector<RingNode> nodes;
  for (uint32_t i = 0; i < count; ++i) {
    nodes.push_back({"10.0." + std::to_string(set) + "." + std::to_string(i + 1), 11211,
                     weighted ? 1 + i % 3 : 1});
  }
  return nodes;
}

std::vector<RingNode> without_the_middle(std::vector<RingNode> nodes) {
  nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(nodes.size() / 2));
  return nodes;
}

Ring ring_of(RingKind kind, std::vector<RingNode> nodes) {
  RingResult made = Ring::make(kind, std::move(nodes));
  if (!made.ring) {
    std::fprintf(stderr, "%s\n", made.error.c_str());
    std::exit(1);
  }
  return std::move(*made.ring);
}

struct Cell {
  double max_over_mean = 0;  // means over the sets of hosts
  double added = 0;          // share of keys that one node more moves
  double taken = 0;          // share that a node moves that goes from the middle of one more
  double least_added = 0;
  double least_taken = 0;
};

Cell measure(RingKind kind, uint32_t size, bool weighted) {
  Cell cell;
  for (uint32_t set = 0; set < kHostSets; ++set) {
    const Ring before = ring_of(kind, hosts(set, size, weighted));
    const Ring after = ring_of(kind, hosts(set, size + 1, weighted));
    const Ring without = ring_of(kind, without_the_middle(after.nodes()));
    cell.max_over_mean += max_over_mean_load(before, kKeys) / kHostSets;
    cell.added += share_of_keys_moved(before, after, kKeys) / kHostSets;
    cell.taken += share_of_keys_moved(after, without, kKeys) / kHostSets;
    cell.least_added += least_share_moved(before, after) / kHostSets;
    cell.least_taken += least_share_moved(after, without) / kHostSets;
  }
  return cell;
}

void print_row(std::string_view name, const std::vector<Cell>& cells) {
  std::printf("| %.*s |", static_cast<int>(name.size()), name.data());
  for (const Cell& cell : cells) std::printf(" %.3f |", cell.max_over_mean);
  for (const Cell& cell : cells) std::printf(" %.1f%% |", 100 * cell.added);
  for (const Cell& cell : cells) std::printf(" %.1f%% |", 100 * cell.taken);
  std::printf("\n");
  std::fflush(stdout);
}

// Those that follow weights or ignore them.
std::vector<RingKind> that_take_weights(const std::vector<RingKind>& kinds) {
  std::vector<RingKind> takers;
  for (const RingKind kind : kinds) {
    if (row_of(kind).weights != RingWeights::Refused) takers.push_back(kind);
  }
  return takers;
}

// kinds  not empty
void print_table(const std::vector<RingKind>& kinds, bool weighted) {
  std::printf(
      "| %s | 3 | 10 | 100 | 3 -> 4 | 10 -> 11 | 100 -> 101 | 4 -> 3 | 11 -> 10 | 101 -> 100 |\n"
      "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
      weighted ? "weights 1, 2, 3, 1, ..." : "equal weights");
  std::vector<Cell> least;
  for (const RingKind kind : kinds) {
    std::vector<Cell> cells;
    for (const uint32_t size : kSizes) cells.push_back(measure(kind, size, weighted));
    print_row(name_of(kind), cells);
    least.clear();
    for (const Cell& cell : cells) {
      least.push_back({1, cell.least_added, cell.least_taken, 0, 0});
    }
  }
  print_row("*the least there is*", least);
}

}  // namespace

int main(int count, char** words) {
  std::vector<RingKind> kinds;
  for (int i = 1; i < count; ++i) {
    const auto kind = parse_ring_kind(words[i]);
    if (!kind) {
      std::fprintf(stderr, "'%s' is no ring; there are %s\n", words[i], ring_kind_names().c_str());
      return 2;
    }
    kinds.push_back(*kind);
  }
  if (kinds.empty()) {
    for (const RingKindRow& row : ring_kinds()) kinds.push_back(row.kind);
  }
  print_table(kinds, false);
  const std::vector<RingKind> weighted = that_take_weights(kinds);
  if (weighted.empty()) return 0;
  std::printf("\n");
  print_table(weighted, true);
}
