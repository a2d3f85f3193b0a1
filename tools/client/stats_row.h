// A row of what `stats` tells: "STAT name number".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace larder::client {

// The number of the row with this name among these lines, each with its line end; nothing if there
// is none. Any thread.
std::optional<uint64_t> row_of(std::string_view lines, std::string_view name);

}  // namespace larder::client
