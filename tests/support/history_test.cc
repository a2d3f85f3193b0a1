#include "tests/support/history.h"

#include <catch2/catch.hpp>

namespace {

using namespace larder::history;

// Builds operations as a sentence: op(1, 2, Kind::Set).by(7).met({3}).
struct Written : Operation {
  Written(uint64_t from, uint64_t to, Kind what) {
    start = from;
    end = to;
    kind = what;
  }
  Written by(Tag t) && {
    tag = t;
    return *this;
  }
  Written found(std::vector<Tag> pieces, uint64_t count = 0) && {
    met = Met::Item;
    value.pieces = std::move(pieces);
    value.count = count;
    return *this;
  }
  Written until(Tag expiry) && {
    value.expiry = expiry;
    return *this;
  }
  Written ended(Outcome o) && {
    outcome = o;
    return *this;
  }
  Written read(uint64_t tick) && {
    read_end = tick;
    return *this;
  }
};

Written op(uint64_t start, uint64_t end, Kind kind) { return {start, end, kind}; }

size_t faults(std::vector<Operation> operations, bool is_evicting = false) {
  return find_faults(std::move(operations), is_evicting).size();
}

}  // namespace

TEST_CASE("a history without overlaps is right if each get returns the last store") {
  CHECK(faults({}) == 0);
  CHECK(faults({op(1, 2, Kind::Get).ended(Outcome::Absent), op(3, 4, Kind::Set).by(1),
                op(5, 6, Kind::Get).found({1}), op(7, 8, Kind::Set).by(2).found({1}),
                op(9, 10, Kind::Get).found({2}), op(11, 12, Kind::Delete).found({2}),
                op(13, 14, Kind::Get).ended(Outcome::Absent)}) == 0);
}

TEST_CASE("a get that begins after a set has ended does not return what the set replaced") {
  CHECK(faults({op(1, 2, Kind::Set).by(1), op(3, 4, Kind::Set).by(2),
                op(5, 6, Kind::Get).found({1})}) == 1);
  // They overlap: either value will do, but once the new one was seen, the old one is gone.
  CHECK(faults({op(1, 2, Kind::Set).by(1), op(3, 6, Kind::Set).by(2),
                op(5, 7, Kind::Get).found({1})}) == 0);
  CHECK(faults({op(1, 2, Kind::Set).by(1), op(3, 9, Kind::Set).by(2),
                op(4, 5, Kind::Get).found({2}), op(6, 7, Kind::Get).found({1})}) == 1);
}

TEST_CASE("a get does not return what was deleted, flushed or blanked before it began") {
  for (const Kind kind : {Kind::Delete, Kind::Flush, Kind::Blank}) {
    CHECK(faults({op(1, 2, Kind::Set).by(1), op(3, 4, kind), op(5, 6, Kind::Get).found({1})}) == 1);
    // The set may have come after it.
    CHECK(faults({op(1, 4, Kind::Set).by(1), op(2, 3, kind), op(5, 6, Kind::Get).found({1})}) == 0);
    // Not if the value had been seen before.
    CHECK(faults({op(1, 20, Kind::Set).by(1), op(2, 3, Kind::Get).found({1}), op(4, 5, kind),
                  op(6, 7, Kind::Get).found({1})}) == 1);
  }
}

TEST_CASE("a get that found nothing shows that the value was gone") {
  CHECK(faults({op(1, 2, Kind::Set).by(1), op(3, 4, Kind::Get).ended(Outcome::Absent),
                op(5, 6, Kind::Get).found({1})},
               true) == 1);
}

TEST_CASE("a get does not return what nobody stored, what was refused, or what comes later") {
  CHECK(faults({op(1, 2, Kind::Get).found({1})}) == 1);
  CHECK(faults({op(1, 2, Kind::Set).by(1).ended(Outcome::Refused),
                op(3, 4, Kind::Get).found({1})}) == 1);
  CHECK(faults({op(1, 2, Kind::Get).found({1}), op(3, 4, Kind::Set).by(1)}) == 1);
  Operation torn = op(1, 2, Kind::Get);
  torn.is_whole = false;
  CHECK(faults({torn}) == 1);
}

TEST_CASE("where nothing is evicted, a stored item is met until it is deleted or flushed") {
  const std::vector<Operation> lost = {op(1, 2, Kind::Set).by(1),
                                       op(3, 4, Kind::Get).ended(Outcome::Absent)};
  CHECK(faults(lost) == 1);
  CHECK(faults(lost, true) == 0);
  // A flush that overlaps either of them may have taken it; one that ended before may not.
  CHECK(faults({op(1, 3, Kind::Set).by(1), op(2, 4, Kind::Flush),
                op(5, 6, Kind::Get).ended(Outcome::Absent)}) == 0);
  CHECK(faults({op(1, 2, Kind::Flush), op(3, 4, Kind::Set).by(1),
                op(5, 6, Kind::Get).ended(Outcome::Absent), op(7, 8, Kind::Flush)}) == 1);
  // An add that succeeds says the same as a miss.
  CHECK(faults({op(1, 2, Kind::Set).by(1), op(3, 4, Kind::Add).by(2)}) == 1);
}

TEST_CASE("a value has all pieces that were joined to it, in their order") {
  const Operation stored = op(1, 2, Kind::Set).by(1);
  const Operation appended = op(3, 4, Kind::Append).by(2).found({1});
  const Operation prepended = op(5, 6, Kind::Prepend).by(3).found({1, 2});
  CHECK(faults({stored, appended, prepended, op(7, 8, Kind::Get).found({3, 1, 2})}) == 0);
  CHECK(faults({stored, appended, prepended, op(7, 8, Kind::Get).found({1, 2})}) == 1);
  CHECK(faults({stored, appended, op(5, 6, Kind::Get).found({1})}) == 1);
  CHECK(faults({stored, appended, op(5, 6, Kind::Get).found({2, 1})}) == 1);
  const Operation second = op(5, 6, Kind::Append).by(3);
  CHECK(faults({stored, appended, second, op(7, 8, Kind::Get).found({1, 2, 3})}) == 0);
  CHECK(faults({stored, appended, second, op(7, 8, Kind::Get).found({1, 3, 2})}) == 1);
  CHECK(faults({stored, appended, op(3, 6, Kind::Append).by(3),
                op(7, 8, Kind::Get).found({1, 3, 2})}) == 0);
}

TEST_CASE("increments return each count once and in order") {
  const Operation stored = op(1, 2, Kind::Set).by(1);
  const Operation one = op(3, 4, Kind::Increment).found({1}, 1);
  const Operation two = op(5, 6, Kind::Increment).found({1}, 2);
  CHECK(faults({stored, one, two, op(7, 8, Kind::Get).found({1}, 2)}) == 0);
  CHECK(faults({stored, one, two, op(7, 8, Kind::Get).found({1}, 1)}) == 1);   // one is lost
  CHECK(faults({stored, one, two, op(7, 8, Kind::Get).found({1}, 3)}) == 1);   // one too many
  CHECK(faults({stored, one, op(5, 6, Kind::Increment).found({1}, 1)}) != 0);  // twice
  CHECK(faults({stored, op(3, 4, Kind::Increment).found({1}, 2)}) != 0);       // skipped
  CHECK(faults({stored, op(3, 4, Kind::Get).found({1}, 1)}) == 1);             // from nobody
  CHECK(faults({stored, op(3, 4, Kind::Increment).found({1}, 2),
                op(5, 6, Kind::Increment).found({1}, 1)}) != 0);  // in the wrong order
  CHECK(faults({stored, op(3, 4, Kind::Get).found({1}, 1),
                op(5, 6, Kind::Increment).found({1}, 1)}) == 1);  // before it was made
}

TEST_CASE("a compare-and-set fails once the item has changed since its CAS was read") {
  const Operation stored = op(1, 2, Kind::Set).by(1);
  const Operation read = op(3, 4, Kind::Get).found({1});
  const Operation swapped = op(9, 10, Kind::CompareAndSet).by(2).read(4);
  CHECK(faults({stored, read, swapped}) == 0);
  CHECK(faults({stored, read, op(5, 6, Kind::Touch).by(3), swapped}) == 0);
  for (const Kind kind : {Kind::Set, Kind::Append, Kind::Increment, Kind::Invalidate}) {
    CHECK(faults({stored, read, op(5, 6, kind).by(3), swapped}) == 1);
  }
  CHECK(faults({stored, read, op(5, 9, Kind::Invalidate), swapped}) == 0);
}

TEST_CASE("an item has the expiry of the last touch") {
  const Operation stored = op(1, 2, Kind::Set).by(1);
  const Operation touched = op(3, 4, Kind::Touch).by(2);
  CHECK(faults({stored, touched, op(5, 6, Kind::Get).found({1}).until(2)}) == 0);
  CHECK(faults({stored, touched, op(5, 6, Kind::Get).found({1}).until(1)}) == 1);
  CHECK(faults({stored, touched, op(5, 6, Kind::Get).found({1}).until(kNoExpiry)}) == 1);
  CHECK(faults({stored, op(3, 6, Kind::Touch).by(2),
                op(5, 7, Kind::Get).found({1}).until(kNoExpiry)}) == 0);
  CHECK(faults({stored, touched, op(5, 6, Kind::Touch).by(3),
                op(7, 8, Kind::Get).found({1}).until(2)}) == 1);
  CHECK(faults({stored, op(3, 4, Kind::Get).found({1}).until(9)}) == 1);
}

TEST_CASE("a value is removed once") {
  const Operation stored = op(1, 2, Kind::Set).by(1);
  CHECK(faults({stored, op(3, 6, Kind::Delete).found({1}), op(4, 7, Kind::Delete).found({1})}) ==
        1);
  CHECK(faults({stored, op(3, 6, Kind::Delete).found({1}), op(4, 7, Kind::Set).by(2).found({1})}) ==
        1);
}
