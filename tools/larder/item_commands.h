// `larder get`, `set`, `add`, `replace`, `delete`, `incr`, `decr`, `touch` and `gat`: items by
// their keys.
#pragma once

#include "tools/larder/subcommands.h"

namespace larder::operate {

void add_item_commands(Subcommands& subcommands);

}  // namespace larder::operate
