// TurnBreak: how a long call ends its caller's turn in between.
//
// A copy of a large value evicts as much as it takes, and what it evicts comes free only when every
// turn that could see it has ended, the copier's own among them. So beyond what a cache can borrow
// a copy in one turn waits for itself.
#pragma once

namespace larder::core {

class TurnBreak {
 public:
  // Ends the worker's turn and begins the next: pointers into the cache that the worker found
  // before are void, unless it holds the item. May rest for a moment, so that others' turns end.
  // False: the caller should give up for now. Something that cannot be sent refers to what was
  // found in the turn, or others' turns do not end.
  virtual bool break_turn() = 0;

 protected:
  TurnBreak() = default;
  TurnBreak(const TurnBreak&) = default;
  TurnBreak& operator=(const TurnBreak&) = default;
  ~TurnBreak() = default;
};

}  // namespace larder::core
