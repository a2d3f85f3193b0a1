// KeyFilter: which of the keys that a node holds are wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/larder/metadump.h"

namespace CLI {
class App;
}

namespace larder::operate {

struct KeyFilter {
  std::string prefix;
  bool encoded = false;              // `prefix` is as key_text.h has it; see resolved()
  std::optional<uint64_t> min_size;  // DumpedKey::size
  std::optional<uint64_t> max_size;
  std::optional<int64_t> min_ttl;  // seconds; what never expires lives longest
  std::optional<int64_t> max_ttl;

  // The filter must live until the command line was parsed.
  void add_to(CLI::App& command);

  // The filter with the bytes of its prefix. Throws CLI::ValidationError where it is to be decoded
  // and cannot be.
  KeyFilter resolved() const;

  // Of a resolved filter. now: unix time
  bool wants(const DumpedKey& key, int64_t now) const;
};

}  // namespace larder::operate
