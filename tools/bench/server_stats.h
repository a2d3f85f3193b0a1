// What a server says about itself. Redis is asked in RESP, all others by the classic `stats`,
// whatever protocol their load speaks.
//
// Each function opens a connection of its own, and blocks until the server has answered. It throws
// std::runtime_error with a sentence where the server does not say the figure. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tools/bench/dialect.h"
#include "tools/bench/stream.h"

namespace larder::bench {

uint64_t items_of(const Endpoint& at, Dialect::Name protocol);      // it holds now
uint64_t evictions_of(const Endpoint& at, Dialect::Name protocol);  // since it started
// In bytes. Throws also where Redis has no limit.
uint64_t memory_limit_of(const Endpoint& at, Dialect::Name protocol);

// The number in a line "name:number\r\n" in `text`, Redis's INFO; nothing where there is no such
// line.
std::optional<uint64_t> parse_info(std::string_view text, std::string_view name);

}  // namespace larder::bench
