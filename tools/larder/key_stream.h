// The keys of a node, one after the other as they come: nothing is kept.
#pragma once

#include <functional>

#include "tools/client/result.h"
#include "tools/larder/fleet.h"
#include "tools/larder/metadump.h"

namespace larder::operate {

// Asks the node for all its keys, on a connection of its own, in the order that the server has them
// in: that of its hash table; where a memcached cannot tell that, being old, or while the table
// grows, that of its LRUs, class by class. What comes or goes meanwhile may be among them.
//
// on_key  gets each; false: no more are wanted
//
// Fails with Timeout if nothing came for the fleet's timeout (the time that on_key takes does not
// count), or if another's dump, which is one at a time in memcached, did not end within it; with
// Protocol, after all keys were told, if lines among them could not be read.
client::Result<void> stream_keys(const Fleet& fleet, size_t node,
                                 const std::function<bool(const DumpedKey&)>& on_key);

}  // namespace larder::operate
