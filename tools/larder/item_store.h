// ItemStore: puts items on the nodes that the ring says, many at once, and counts what became of
// them. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/client/operation.h"
#include "tools/client/result.h"
#include "tools/larder/dump_format.h"
#include "tools/larder/fleet.h"
#include "tools/larder/report.h"

namespace larder::operate {

struct StoreCounts {
  uint64_t stored = 0;
  uint64_t there = 0;         // of Add: the key was there
  uint64_t expired = 0;       // it had no time left, and was not sent
  uint64_t refused = 0;       // too large, no memory ...
  std::string first_refusal;  // a sentence

  std::string text() const;
  Json json() const;
};

class ItemStore {
 public:
  // verb  Set or Add
  ItemStore(Fleet& fleet, client::Verb verb) : fleet_(fleet), verb_(verb) {}

  // Takes the item; it is sent with others. Fails where a node cannot be reached, was too slow or
  // wants a login: what was not counted by then may or may not be stored.
  client::Result<void> store(DumpItem&& item);
  // Sends what is left.
  client::Result<void> finish();

  const StoreCounts& counts() const noexcept { return counts_; }

 private:
  Fleet& fleet_;
  const client::Verb verb_;
  std::vector<DumpItem> items_;  // not sent yet
  uint64_t bytes_ = 0;           // in them
  StoreCounts counts_;
};

}  // namespace larder::operate
