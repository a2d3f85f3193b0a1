// `larder flush`, `stats`, `slabs`, `version` and `ping`: what every node is asked.
#pragma once

#include "tools/larder/subcommands.h"

namespace larder::operate {

void add_node_commands(Subcommands& subcommands);

}  // namespace larder::operate
