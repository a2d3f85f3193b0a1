// `larder top`: a live screen of what nodes do.
#pragma once

#include "tools/larder/subcommands.h"

namespace larder::operate {

void add_top_command(Subcommands& subcommands);

}  // namespace larder::operate
