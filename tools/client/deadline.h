// Deadline: when what blocks has to be over. What never ends of itself has Deadline::max().
#pragma once

#include <chrono>

namespace larder::client {

using Deadline = std::chrono::steady_clock::time_point;

// For poll(): 0 exactly if the deadline has passed, else rounded up and at most a minute.
int milliseconds_until(Deadline deadline);

}  // namespace larder::client
