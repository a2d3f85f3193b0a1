// `larder keys`: the keys that nodes hold.
#pragma once

#include "tools/larder/subcommands.h"

namespace larder::operate {

void add_keys_command(Subcommands& subcommands);

}  // namespace larder::operate
