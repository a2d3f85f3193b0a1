// Completions: what a shell offers behind the program's name.
#pragma once

#include <string>

#include "tools/manual/manual.h"

namespace larder::manual {

// Options, subcommands, files, users and the words of the list option. Needs nothing but bash.
std::string bash_completion(const Manual& manual);

// Likewise, with the help of each; the file _PROGRAM in a folder of fpath.
std::string zsh_completion(const Manual& manual);

}  // namespace larder::manual
