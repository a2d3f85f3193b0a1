// Stats: what a server says to `stats` or `stats GROUP`, row by row.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/client/result.h"
#include "tools/larder/fleet.h"

namespace larder::operate {

class Stats {
 public:
  // More rows than this are not kept: `stats conns` of 100,000 connections has fewer.
  static constexpr size_t kMostRows = 1'000'000;

  // text  lines as they came, "STAT name value", also "ITEM" and "PREFIX" for STAT; a last one like
  //       END, RESET or OK has no row. Of several rows of one name the first counts.
  static Stats parse(std::string_view text);

  // In their order, each name once.
  const std::vector<std::pair<std::string, std::string>>& rows() const noexcept { return rows_; }
  // Rows beyond kMostRows were left out.
  bool is_cut() const noexcept { return cut_; }
  // Of a name, in constant time; null if there is none.
  const std::string* find(std::string_view name) const;
  // Null also where the value is no number from 0 to 2^64 - 1.
  std::optional<uint64_t> number(std::string_view name) const;
  // 0 where there is none: rows that older servers do not have.
  uint64_t number_or_zero(std::string_view name) const { return number(name).value_or(0); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };

  std::vector<std::pair<std::string, std::string>> rows_;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> places_;  // in rows_, by name
  bool cut_ = false;
};

std::optional<uint64_t> whole_number(std::string_view text);

// group  "" or "slabs" ...; without control characters. A reply of more than Stats::kMostRows rows
// is a Protocol error.
client::Result<Stats> ask_stats(Fleet& fleet, size_t node, const std::string& group);

// What of all requests to read found something, 0 to 1; null if there were none.
std::optional<double> hit_ratio(uint64_t hits, uint64_t misses);

}  // namespace larder::operate
