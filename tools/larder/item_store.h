// ItemStore: puts items on the nodes that the ring says, many at once, and counts what became of
// them. A node that cannot be reached costs its own items and no others. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tools/client/operation.h"
#include "tools/client/result.h"
#include "tools/larder/dump_format.h"
#include "tools/larder/fill_guard.h"
#include "tools/larder/fleet.h"
#include "tools/larder/report.h"

namespace larder::operate {

struct StoreCounts {
  uint64_t stored = 0;
  uint64_t there = 0;         // of Add: the key was there
  uint64_t expired = 0;       // it had no time left, and was not sent
  uint64_t changed = 0;       // of Add with a guard: the key has changed, and was not sent
  uint64_t refused = 0;       // too large, no memory ...
  std::string first_refusal;  // a sentence
  uint64_t unreached = 0;     // of nodes that did not answer: some of them may be stored

  // "3 stored, 0 were there, ..."
  std::string text() const;
  Json json() const;  // without `changed`
};

class ItemStore {
 public:
  // verb   Set or Add
  // guard  of the fleet's nodes, where verb is Add; null: none. Lost nodes are given up, and what
  //        was added there is deleted at once. Outlives this.
  // go_on  is asked before items are sent again; false ends it all. Empty: it is not asked
  ItemStore(Fleet& fleet, client::Verb verb, FillGuard* guard = nullptr,
            std::function<bool()> go_on = {})
      : fleet_(fleet),
        verb_(verb),
        guard_(guard),
        go_on_(std::move(go_on)),
        failures_(fleet.size()) {}

  // Takes the item; it is sent with others. False: all nodes were given up, or go_on() has said
  // false, and more items would only be counted. Throws std::system_error where the guard does.
  bool store(DumpItem&& item);
  // Sends the items that are left, once where go_on() says false.
  void finish();

  const StoreCounts& counts() const noexcept { return counts_; }
  // Why nodes could not be reached: the last error of each that had any, by node.
  const std::map<size_t, client::Error>& errors() const noexcept { return errors_; }

 private:
  Fleet& fleet_;
  const client::Verb verb_;
  FillGuard* const guard_;
  const std::function<bool()> go_on_;
  bool stopped_ = false;         // by go_on_()
  std::vector<DumpItem> items_;  // not sent yet
  uint64_t bytes_ = 0;           // in them
  StoreCounts counts_;
  std::map<size_t, client::Error> errors_;
  // By node: batches in a row of which it answered none, or not all in time.
  std::vector<int> failures_;
  size_t given_up_ = 0;  // nodes with kMostFailures

  void send();
  void send_once();
  bool goes_on();
  void send_permitted();
  void fail_late_barrier(size_t node);
  void drop_not_permitted();
  bool is_given_up(size_t node) const;
};

}  // namespace larder::operate
