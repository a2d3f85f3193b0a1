// ConfigFile: options from a file (--config), in the format of Debian's /etc/memcached.conf, so
// that an existing one can be used as it is.
//
// A line is an option with its value, as on the command line. # begins a comment, anywhere in a
// line. Blanks part words; quotes and backslashes work as in a shell, and nothing else does:
// nothing is run or replaced. As with the script that reads the file for memcached, -d and -h are
// left out (the service manager does the one, and nobody would see the other), and so are lines
// that do not begin with a dash (`logfile`, whose place the journal takes).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace larder::daemon {

struct ConfigFile {
  std::vector<std::string> words;    // as after the program's name on a command line
  std::vector<std::string> remarks;  // sentences for the log: lines without effect
};

// Throws SettingsError, whose sentence names the file and, where there is one, the line.
ConfigFile read_config_file(const std::string& path);

// name  of the file, for sentences
ConfigFile parse_config(std::string_view text, const std::string& name);

}  // namespace larder::daemon
