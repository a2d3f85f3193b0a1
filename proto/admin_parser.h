// What stands behind `lru_crawler`, `slabs` and `lru`: the operator's commands.
//
// They are rare, so a Command keeps their words as they came (`args`), and whoever runs it has them
// read here. Words may be shortened to any prefix (`lru_crawler m all`), the first that fits
// counts; a trailing `noreply` is a word like any other.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>

#include "proto/command.h"
#include "proto/errors.h"

namespace larder::proto {

enum class AdminOp : uint8_t {
  None,  // there is no such command: `error`
  CrawlerEnable,
  CrawlerDisable,
  CrawlerSleep,    // number: microseconds
  CrawlerToCrawl,  // number
  Crawl,           // classes
  MetaDump,        // classes
  MgDump,          // classes
  SlabsReassign,   // source, target
  AutomoveLevel,   // number: 0, 1, 2
  AutomoveWindow,  // number: 3 .. 1800
  AutomoveRatio,   // fraction
  AutomoveFreeRatio,
  LruTune,     // hot_percent, warm_percent, hot_factor, warm_factor
  LruMode,     // segmented
  LruTempTtl,  // seconds; below 0: none
};

// A request that is known but wrong has its op and the error: whether the command may be given at
// all comes before what it says.
struct AdminRequest {
  AdminOp op = AdminOp::None;
  ErrorId error = ErrorId::None;
  uint32_t number = 0;
  int32_t source = 0;
  int32_t target = 0;
  double fraction = 0;
  uint32_t hot_percent = 0;
  uint32_t warm_percent = 0;
  double hot_factor = 0;
  double warm_factor = 0;
  bool segmented = false;
  int32_t seconds = 0;
  std::string_view classes;  // for read_class_list; a view into `args`
};

// `op`: Crawler, Slabs or Lru; `args`: the command's.
AdminRequest parse_admin(Op op, std::string_view args) noexcept;

// Slab classes by their number on the wire, from 1.
struct ClassList {
  enum class Kind : uint8_t { Bad, Some, All, Hash };  // Hash: all, in the order of the table
  Kind kind = Kind::Bad;
  std::bitset<256> classes;  // Some
  bool has(uint32_t number) const { return kind != Kind::Some || classes.test(number); }
};

// `all`, `hash`, or numbers from 1 to `largest` (255 at most) with commas between them.
ClassList read_class_list(std::string_view words, uint32_t largest) noexcept;

}  // namespace larder::proto
