// `larder where` and `larder ring`: what is known of keys and nodes without asking one.
#pragma once

#include "tools/larder/subcommands.h"

namespace larder::operate {

void add_ring_commands(Subcommands& subcommands);

}  // namespace larder::operate
