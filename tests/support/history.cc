#include "tests/support/history.h"

#include <algorithm>
#include <unordered_map>

namespace larder::history {
namespace {

constexpr size_t kMostFaults = 20;

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::Get:
      return "get";
    case Kind::Set:
      return "set";
    case Kind::Add:
      return "add";
    case Kind::CompareAndSet:
      return "compare-and-set";
    case Kind::Append:
      return "append";
    case Kind::Prepend:
      return "prepend";
    case Kind::Increment:
      return "increment";
    case Kind::Touch:
      return "touch";
    case Kind::Delete:
      return "delete";
    case Kind::Invalidate:
      return "invalidate";
    case Kind::Blank:
      return "blank";
    case Kind::Flush:
      return "flush";
  }
  return "";
}

std::string describe(const Operation& op) {
  std::string text = std::string(name_of(op.kind)) + " of thread " + std::to_string(op.thread) +
                     " [" + std::to_string(op.start) + ", " + std::to_string(op.end) + "]";
  if (op.tag != 0) text += " with tag " + std::to_string(op.tag);
  if (op.met == Met::Item) {
    text += " that met (";
    for (const Tag tag : op.value.pieces) text += " " + std::to_string(tag);
    text += " )";
  }
  return text;
}

bool has(const std::vector<Tag>& tags, Tag tag) {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}
bool stores(const Operation& op) {
  return op.outcome == Outcome::Done &&
         (op.kind == Kind::Set || op.kind == Kind::Add || op.kind == Kind::CompareAndSet);
}
bool joins(const Operation& op) {
  return op.outcome == Outcome::Done && (op.kind == Kind::Append || op.kind == Kind::Prepend);
}
bool removes(const Operation& op) {
  return op.outcome == Outcome::Done && (op.kind == Kind::Delete || op.kind == Kind::Flush);
}
bool touches(const Operation& op) { return op.outcome == Outcome::Done && op.kind == Kind::Touch; }
bool counts(const Operation& op) {
  return op.outcome == Outcome::Done && op.kind == Kind::Increment;
}
// Gives the key another CAS, or none.
bool changes_cas(const Operation& op) {
  return op.outcome == Outcome::Done && op.kind != Kind::Get && op.kind != Kind::Touch;
}
bool met_nothing(const Operation& op) {
  return op.outcome == Outcome::Absent || op.met == Met::Nothing ||
         (op.kind == Kind::Add && op.outcome == Outcome::Done);
}
// An item was there when it ended, unless something else removed it.
bool shows_item(const Operation& op) {
  if (op.outcome == Outcome::Present) return true;
  return op.outcome == Outcome::Done && op.kind != Kind::Delete && op.kind != Kind::Flush;
}
// After it the key leads to no item that was there before it.
bool ends_items(const Operation& op) { return stores(op) || removes(op) || met_nothing(op); }
// A tag that was written before the operation is not part of the value after it.
bool excludes(const Operation& op, Tag tag) {
  if (stores(op) && op.tag == tag) return false;
  if (ends_items(op)) return true;
  if (op.kind == Kind::Blank && op.outcome == Outcome::Done) return true;
  return op.met == Met::Item && !has(op.value.pieces, tag);
}

class Checker {
 public:
  Checker(std::vector<Operation> operations, bool is_evicting)
      : operations_(std::move(operations)), is_evicting_(is_evicting) {
    std::sort(operations_.begin(), operations_.end(),
              [](const Operation& a, const Operation& b) { return a.start < b.start; });
    for (const Operation& op : operations_) {
      if (op.outcome == Outcome::Done && op.tag != 0) {
        written_[op.tag] = &op;
        note_known(known_, op.tag, op);
        note_known(known_expiries_, op.tag, op);
      }
      if (op.met != Met::Item) continue;
      for (const Tag tag : op.value.pieces) note_known(known_, tag, op);
      if (const Tag setter = expiry_setter(op); setter != kUnknown) {
        note_known(known_expiries_, setter, op);
      }
    }
  }

  std::vector<std::string> check() {
    for (const Operation& op : operations_) {
      if (!op.is_whole) fault(op, "found bytes that are no value");
      if (op.met == Met::Item && op.is_whole) check_value(op);
      if (op.kind == Kind::CompareAndSet && op.outcome == Outcome::Done) check_cas(op);
      if (!is_evicting_ && met_nothing(op)) check_absence(op);
    }
    check_removals();
    check_counts();
    return std::move(faults_);
  }

 private:
  using Ticks = std::unordered_map<Tag, uint64_t>;

  void fault(const Operation& op, const std::string& what) {
    if (faults_.size() < kMostFaults) faults_.push_back(describe(op) + " " + what);
  }
  static void note_known(Ticks& known, Tag tag, const Operation& op) {
    const auto [at, is_new] = known.try_emplace(tag, op.end);
    if (!is_new) at->second = std::min(at->second, op.end);
  }
  const Operation* writer_of(Tag tag) const {
    const auto found = written_.find(tag);
    return found == written_.end() ? nullptr : found->second;
  }
  Tag expiry_setter(const Operation& op) const {
    if (op.value.expiry != kNoExpiry) return op.value.expiry;
    for (const Tag tag : op.value.pieces) {
      const Operation* writer = writer_of(tag);
      if (writer != nullptr && stores(*writer)) return tag;
    }
    return kUnknown;
  }
  // The operation that ended first of those that began after `after` and of which `is_end` holds.
  template <class IsEnd>
  const Operation* first_end(uint64_t after, IsEnd is_end) const {
    const Operation* first = nullptr;
    auto at = std::upper_bound(operations_.begin(), operations_.end(), after,
                               [](uint64_t tick, const Operation& op) { return tick < op.start; });
    for (; at != operations_.end(); ++at) {
      if (first != nullptr && at->start > first->end) break;
      if (is_end(*at) && (first == nullptr || at->end < first->end)) first = &*at;
    }
    return first;
  }
  template <class IsEnd>
  const Operation* memo(std::unordered_map<Tag, const Operation*>& ends, Tag tag, uint64_t known,
                        IsEnd is_end) {
    const auto [at, is_new] = ends.try_emplace(tag, nullptr);
    if (is_new) at->second = first_end(known, is_end);
    return at->second;
  }

  void check_value(const Operation& op) {
    uint64_t since = UINT64_MAX;  // one of the pieces was there at this tick
    for (const Tag tag : op.value.pieces) {
      const Operation* writer = writer_of(tag);
      if (writer == nullptr) {
        fault(op, "met " + std::to_string(tag) + ", which nobody stored");
        return;
      }
      if (writer->start > op.end) fault(op, "met what came later: " + describe(*writer));
      const uint64_t known = known_.at(tag);
      since = std::min(since, known);
      const Operation* end =
          memo(ends_, tag, known, [&](const Operation& x) { return excludes(x, tag); });
      if (end != nullptr && end->end < op.start) {
        fault(op, "met " + std::to_string(tag) + ", which was gone after: " + describe(*end));
      }
    }
    check_joins(op, since);
    check_order(op);
    check_expiry(op);
  }

  void check_joins(const Operation& op, uint64_t since) {
    auto at = std::upper_bound(operations_.begin(), operations_.end(), since,
                               [](uint64_t tick, const Operation& x) { return tick < x.start; });
    for (; at != operations_.end() && at->start < op.start; ++at) {
      if (joins(*at) && at->end < op.start && !has(op.value.pieces, at->tag)) {
        fault(op, "misses what was joined: " + describe(*at));
      }
    }
  }

  void check_order(const Operation& op) {
    // Prepended pieces, the later the further left; what was stored; appended pieces.
    enum { Left, Middle, Right } part = Left;
    uint64_t first_end = UINT64_MAX;  // of the prepends so far
    uint64_t last_start = 0;          // of the appends so far
    for (const Tag tag : op.value.pieces) {
      const Operation& writer = *writer_of(tag);
      if (stores(writer)) {
        if (part != Left) fault(op, "has " + std::to_string(tag) + " in the wrong place");
        part = Middle;
      } else if (writer.kind == Kind::Prepend) {
        if (part != Left || writer.start > first_end) {
          fault(op, "has " + std::to_string(tag) + " in the wrong place");
        }
        first_end = std::min(first_end, writer.end);
      } else {
        part = Right;
        if (writer.end < last_start) {
          fault(op, "has " + std::to_string(tag) + " in the wrong place");
        }
        last_start = std::max(last_start, writer.start);
      }
    }
  }

  void check_expiry(const Operation& op) {
    const Tag setter = expiry_setter(op);
    if (setter == kUnknown) return;
    const Operation* writer = writer_of(setter);
    if (writer == nullptr) {
      fault(op, "met an expiry that nobody set");
      return;
    }
    const auto is_end = [&](const Operation& x) {
      if ((stores(x) || touches(x)) && x.tag == setter) return false;
      if (ends_items(x) || touches(x)) return true;
      const Tag met = x.met == Met::Item ? expiry_setter(x) : kUnknown;
      return met != kUnknown && met != setter;
    };
    const Operation* end = memo(expiry_ends_, setter, known_expiries_.at(setter), is_end);
    if (end != nullptr && end->end < op.start) {
      fault(op, "met the expiry of " + std::to_string(setter) +
                    ", which was gone after: " + describe(*end));
    }
  }

  void check_cas(const Operation& op) {
    const Operation* change = first_end(op.read_end, changes_cas);
    if (change != nullptr && change->end < op.start) {
      fault(op, "succeeded after a change: " + describe(*change));
    }
  }

  void check_absence(const Operation& op) {
    const Operation* seen = nullptr;
    for (const Operation& x : operations_) {
      if (x.start >= op.start) break;
      if (x.end < op.start && shows_item(x)) seen = &x;  // the last to begin
    }
    if (seen == nullptr) return;
    const bool may_be_removed =
        std::any_of(operations_.begin(), operations_.end(), [&](const Operation& x) {
          return &x != &op && removes(x) && x.end > seen->start && x.start < op.end;
        });
    if (!may_be_removed) fault(op, "met nothing, though nothing removed: " + describe(*seen));
  }

  void check_removals() {
    std::unordered_map<Tag, const Operation*> removers;
    for (const Operation& op : operations_) {
      if (op.met != Met::Item || !(stores(op) || removes(op))) continue;
      for (const Tag tag : op.value.pieces) {
        const auto [at, is_new] = removers.try_emplace(tag, &op);
        if (!is_new) {
          fault(op, "removed " + std::to_string(tag) + ", and so did: " + describe(*at->second));
        }
      }
    }
  }

  void check_counts() {
    std::unordered_map<Tag, std::vector<const Operation*>> increments;
    for (const Operation& op : operations_) {
      if (counts(op) && !op.value.pieces.empty()) {
        increments[op.value.pieces.front()].push_back(&op);
      }
    }
    for (auto& [base, ops] : increments) {
      std::sort(ops.begin(), ops.end(), [](const Operation* a, const Operation* b) {
        return a->value.count < b->value.count;
      });
      uint64_t expected = 0;
      for (const Operation* op : ops) {
        if (op->value.count != ++expected) {
          fault(*op, "returned the count " + std::to_string(op->value.count) + " instead of " +
                         std::to_string(expected));
          break;
        }
      }
    }
    for (const Operation& op : operations_) {
      if (op.met != Met::Item || op.value.pieces.size() != 1) continue;
      const auto found = increments.find(op.value.pieces.front());
      if (found == increments.end()) {
        if (op.value.count != 0) fault(op, "met a count that nobody made");
        continue;
      }
      const uint64_t count = op.value.count;
      if (count > found->second.size()) fault(op, "met a count that nobody made");
      for (const Operation* x : found->second) {
        if (x->value.count > count && x->end < op.start) {
          fault(op, "misses the count of: " + describe(*x));
        }
        if (x->value.count <= count && x->start > op.end) {
          fault(op, "met the count of what came later: " + describe(*x));
        }
      }
    }
  }

  std::vector<Operation> operations_;  // in the order in which they began
  const bool is_evicting_;
  std::unordered_map<Tag, const Operation*> written_;
  Ticks known_;  // the first tick at which the tag's write had certainly happened
  Ticks known_expiries_;
  std::unordered_map<Tag, const Operation*> ends_;  // first to show that the tag is gone
  std::unordered_map<Tag, const Operation*> expiry_ends_;
  std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> find_faults(std::vector<Operation> operations, bool is_evicting) {
  return Checker(std::move(operations), is_evicting).check();
}

}  // namespace larder::history
