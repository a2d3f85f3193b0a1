// `larder check`: the health of a fleet.
#pragma once

#include "tools/larder/subcommands.h"

namespace larder::operate {

void add_check_command(Subcommands& subcommands);

}  // namespace larder::operate
