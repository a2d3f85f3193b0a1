// `larder dump`, `load` and `copy`: items out of nodes and into nodes.
#pragma once

#include "tools/larder/subcommands.h"

namespace larder::operate {

void add_copy_commands(Subcommands& subcommands);

}  // namespace larder::operate
