// The command `run`: a load on one server, and its report.
#pragma once

#include <atomic>

#include "tools/bench/options.h"

namespace larder::bench {

// The exit status: 1 where a reply was wrong. Throws CLI::ValidationError and std::runtime_error.
int run_loads(RunOptions& options, const std::atomic<bool>& interrupted);

}  // namespace larder::bench
