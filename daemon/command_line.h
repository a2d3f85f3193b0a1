// The command line: from words to Settings (CLI11 finds the words, options.h says what they mean).
#pragma once

#include <optional>
#include <string>

#include "daemon/machine_memory.h"
#include "daemon/settings.h"

namespace larder::daemon {

struct CommandLine {
  Settings settings;
  std::optional<std::string> print;  // -h, -V, -i: write this to stdout and exit with 0
};

// Reads the whole command line; checks every value, and the values against each other.
//
// Options of a --config file come first, as if they stood before all others: what may be given once
// only is overridden by the command line, and the rest (-l, -v, -o) adds up.
//
// memory  above the machine's -m is refused; `-m 50%` and `-m auto` are parts of it
//
// Throws SettingsError.
CommandLine parse_command_line(int argc, const char* const* argv, const MachineMemory& memory);

}  // namespace larder::daemon
