// The command line: from words to Settings (CLI11 finds the words, options.h says what they mean).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/settings.h"

namespace larder::daemon {

struct CommandLine {
  Settings settings;
  std::optional<std::string> print;  // -h, -V, -i: write this to stdout and exit with 0
};

// Reads the whole command line; checks every value, and the values against each other.
//
// machine_memory_bytes  above it -m is refused
//
// Throws SettingsError.
CommandLine parse_command_line(int argc, const char* const* argv, uint64_t machine_memory_bytes);

}  // namespace larder::daemon
