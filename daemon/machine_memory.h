// MachineMemory: how much memory there is for larderd, which is what `-m 50%` and `-m auto` are
// about.
//
// Read once, at the start, before any thread exists.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace larder::daemon {

struct MachineMemory {
  uint64_t bytes = 0;  // of the machine
  // The least that this process' cgroup or one above it allows; that of the machine or more: none.
  uint64_t limit_bytes = std::numeric_limits<uint64_t>::max();

  bool limited() const noexcept { return limit_bytes < bytes; }
  // What is there for all that runs beside larderd, too.
  uint64_t available_bytes() const noexcept { return limited() ? limit_bytes : bytes; }
};

// Asks the kernel: cgroups of both versions, where they are mounted as systemd and container
// engines do. What cannot be read limits nothing.
//
// root  where /proc and /sys are to be found, for tests
MachineMemory machine_memory(const std::string& root = "");

}  // namespace larder::daemon
