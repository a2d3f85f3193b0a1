// What a server says in a line of `watch`, as far as it is about items that change.
//
//   ts=1795718825.000012 gid=7 type=item_store key=a%20b status=stored cmd=set ttl=0 clsid=1 cfd=9
//   ts=1795718825.000013 gid=8 type=deleted key=a%20b cmd=md clsid=1 size=3
//   skipped=12
//
// The words are memcached 1.6's, and larderd's `changes` (daemon/README.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace larder::operate {

struct WatchLine {
  enum class Kind : uint8_t {
    Add,      // an add stored the key
    Change,   // the key was changed or removed otherwise, or a delete did not find it
    Flush,    // flush_all
    Other,    // nothing that changes an item
    Skipped,  // lines are missing in front of this one
    Garbage   // no line of a watch, or one of an unknown type: it may be a change
  };

  Kind kind = Kind::Garbage;
  std::string key;  // of Add and Change; decoded: any bytes
};

// line  without its line end
WatchLine parse_watch_line(std::string_view line);

}  // namespace larder::operate
