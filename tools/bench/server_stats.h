// What a server says about itself. Redis is asked in RESP, all others by the classic `stats`,
// whatever protocol their load speaks.
//
// Each function opens a connection of its own to a port of this machine, and blocks until the
// server has answered. It throws std::runtime_error with a sentence where the server does not say
// the figure. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tools/bench/dialect.h"

namespace larder::bench {

uint64_t items_of(const Endpoint& server, Dialect::Name protocol);      // it holds now
uint64_t evictions_of(const Endpoint& server, Dialect::Name protocol);  // since it started
// In bytes. Throws also where Redis has no limit.
uint64_t memory_limit_of(int port, Dialect::Name protocol);

// The number in a line "name:number\r\n" in `text`, Redis's INFO; nothing where there is no such
// line.
std::optional<uint64_t> parse_info(std::string_view text, std::string_view name);

}  // namespace larder::bench
