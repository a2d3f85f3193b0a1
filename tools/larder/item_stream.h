// The items of a node with their values, some at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/client/result.h"
#include "tools/larder/dump_format.h"
#include "tools/larder/fleet.h"
#include "tools/larder/key_filter.h"
#include "tools/larder/report.h"

namespace larder::operate {

// What is read or stored at once: so many items, or fewer if they are large.
constexpr size_t kBatchItems = 128;
constexpr uint64_t kBatchBytes = 4u << 20;

// The items of nodes that stream_items() did not hand on.
struct LeftOut {
  // So many sentences are kept; the others are counted.
  static constexpr size_t kMostSentences = 10;

  uint64_t stale = 0;           // invalidated: the value is out of date
  uint64_t being_computed = 0;  // some client has won it: a placeholder, or a value about to change
  uint64_t unreadable = 0;      // the server refused it, the dialect cannot say its key, too large
  std::vector<std::string> sentences;  // one for an unreadable item, with its key

  void add_unreadable(std::string_view key, const std::string& reason);
  // "12 stale items were left out"; empty if there were none.
  std::string text() const;
  void add_to(Json& json) const;  // the three counts
  // Complains of the unreadable; kRefused if there are any, else kFine.
  int complain_of_unreadable() const;
};

// Reads all items that the filter (resolved) wants: their keys as stream_keys() tells them, their
// values by pipelined gets, which count as reads like any others. An item that was deleted in
// between is passed over; one that was stored anew has its new value with its former expiry.
//
// Items that are stale, or that some client has won, are left out: their values are no values for
// others. No request of memcached tells a stale item without taking its win, so that the win is
// given back at once (an invalidation of that very version, which gives the item a new version).
// For a round trip other readers see it as won.
//
// left_out  is added to
// go_on     is asked before each key, also those that the filter does not want, and before each
//           round of gets; false ends it all
// on_item   takes each item; likewise. That is no error.
//
// An item that cannot be read ends nothing. Fails where the node cannot be asked any more; on_item
// has had the items before.
client::Result<void> stream_items(Fleet& fleet, size_t node, const KeyFilter& filter,
                                  LeftOut& left_out, const std::function<bool()>& go_on,
                                  const std::function<bool(DumpItem&& item)>& on_item);

}  // namespace larder::operate
