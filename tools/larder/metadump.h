// What a server tells of an item in a line of `lru_crawler metadump`.
//
//   key=user%3A42 exp=1795718825 la=1795718725 cas=2 fetch=no cls=2 size=28 flags=5
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace larder::operate {

struct DumpedKey {
  std::string key;       // decoded: any bytes
  int64_t expires = -1;  // unix time; not positive: never
  int64_t last_used = 0;
  uint64_t size = 0;  // bytes of the item as this server counts them: key, value, its own header
};

// Null for what is no such line: no key, %-codes cut short, figures that are none. Words that are
// not known are passed over.
std::optional<DumpedKey> parse_metadump(std::string_view line);

}  // namespace larder::operate
