// History: what several threads did to one key, and whether a cache can have answered so.
//
// Every operation is recorded with two ticks of a common clock, one taken before it began and one
// after it ended. Of two operations that overlap either may have come first. An operation that
// ended before another began came first, and find_faults() holds the answers against that:
//
//  1. No operation meets a value that an earlier one had replaced, deleted or flushed.
//  2. No operation meets a piece that nobody stored, that was refused, or that came later.
//  3. A value has every append and prepend that was acknowledged since it was stored, each on its
//     side and in the order of those that did not overlap.
//  4. Increments of one number return each count once, in the order of those that did not overlap,
//     and every later read of the number sees them.
//  5. A compare-and-set succeeds only if nothing changed the item since its CAS was read.
//  6. An item has the expiry of the last touch.
//  7. A value leaves the key once.
//  8. Where nothing is evicted, every operation meets an item until it is deleted or flushed.
//
// Each write carries a tag of its own, so that a value tells which operations made it. Tags and
// ticks mean nothing to a cache; how values encode tags is the caller's choice.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace larder::history {

using Tag = uint64_t;              // from 1
constexpr Tag kUnknown = 0;        // as an expiry
constexpr Tag kNoExpiry = ~Tag{};  // as an expiry: the item has none, as it was stored

// Any thread.
class Clock {
 public:
  // Whatever a thread did before its tick happens before what another does after a later one.
  // Clients order their requests in the same way, by messages.
  uint64_t tick() noexcept { return now_.fetch_add(1, std::memory_order_acq_rel); }

 private:
  std::atomic<uint64_t> now_{1};
};

enum class Kind : uint8_t {
  Get,
  Set,
  Add,
  CompareAndSet,
  Append,
  Prepend,
  Increment,  // by one
  Touch,      // with an expiry of its own
  Delete,
  Invalidate,  // the item stays, with another CAS
  Blank,       // likewise, without its value
  Flush
};

enum class Outcome : uint8_t {
  Done,     // of a get: a hit
  Absent,   // no item was there, and the operation needs one
  Present,  // an item was there, and the operation did nothing
  Refused   // for want of memory; nothing changed
};

// What an item holds.
struct Value {
  std::vector<Tag> pieces;  // from left to right; none if it was blanked
  uint64_t count = 0;       // of a number: how often it was incremented since it was stored
  Tag expiry = kUnknown;    // of the store or touch that set it
};

enum class Met : uint8_t { Unknown, Nothing, Item };

struct Operation {
  uint32_t thread = 0;
  uint64_t start = 0;  // ticks
  uint64_t end = 0;
  Kind kind = Kind::Get;
  Outcome outcome = Outcome::Done;
  Tag tag = 0;  // of what it writes
  Met met = Met::Unknown;
  Value value{};          // if it met an item; an increment has the count that it returned
  uint64_t read_end = 0;  // of a compare-and-set: a tick after the read that gave the CAS
  bool is_whole = true;   // false: the bytes that it met are no value
};

// operations   of one key, flushes among them, in any order
// is_evicting  items may go by themselves, so rule 8 does not hold
// returns      a sentence for each fault, at most 20; none if the history can be true
std::vector<std::string> find_faults(std::vector<Operation> operations, bool is_evicting);

}  // namespace larder::history
