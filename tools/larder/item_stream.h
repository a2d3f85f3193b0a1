// The items of a node with their values, some at a time.
#pragma once

#include <cstdint>
#include <functional>

#include "tools/client/result.h"
#include "tools/larder/dump_format.h"
#include "tools/larder/fleet.h"
#include "tools/larder/key_filter.h"

namespace larder::operate {

// What is read or stored at once: so many items, or fewer if they are large.
constexpr size_t kBatchItems = 128;
constexpr uint64_t kBatchBytes = 4u << 20;

// Reads all items that the filter wants: their keys as stream_keys() tells them, their values by
// pipelined gets, which count as reads like any others. An item that was deleted in between is
// passed over; one that was stored anew has its new value with its former expiry.
//
// on_item  takes each; an error ends it all
client::Result<void> stream_items(
    Fleet& fleet, size_t node, const KeyFilter& filter,
    const std::function<client::Result<void>(DumpItem&& item)>& on_item);

}  // namespace larder::operate
