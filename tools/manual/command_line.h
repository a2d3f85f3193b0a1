// Options of programs that CLI11 parses, as a manual has them.
#pragma once

#include <string>

#include "tools/manual/manual.h"

namespace CLI {
class App;
}

namespace larder::manual {

// As --help has them: options by group, in the order in which groups were first used. What stands
// without an option is left out; the synopsis says it.
Command command_of(const CLI::App& app, std::string name);

}  // namespace larder::manual
