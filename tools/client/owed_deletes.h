// OwedDeletes: what has to go from a node before anything may be read from it: the keys whose
// writes failed there, or everything, once these have become too many to remember.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace larder::client {

// One thread at a time. Invariant: while everything is owed no key is kept. Where there is no
// memory for a key, everything is owed.
class OwedDeletes {
 public:
  struct Bounds {
    size_t keys = 100'000;
    size_t bytes = 8u << 20;  // of keys alone
  };

  // What one round pays. Until it is paid or put back it is nowhere but here.
  struct Part {
    bool everything = false;
    std::vector<std::string> keys;

    bool empty() const noexcept { return !everything && keys.empty(); }
  };

  explicit OwedDeletes(Bounds bounds) : bounds_(bounds) {}

  // Each key once; beyond either bound everything is owed instead.
  void add(std::string_view key) noexcept;
  void add_everything() noexcept;
  // What another has, which is left empty.
  void add_all_of(OwedDeletes& other) noexcept;

  bool empty() const noexcept { return !everything_ && keys_.empty(); }
  bool everything() const noexcept { return everything_; }
  size_t keys() const noexcept { return keys_.size(); }

  // Takes out: everything, or up to `most` keys. std::bad_alloc, and nothing is taken.
  Part take(size_t most);
  // What could not be paid.
  void put_back(const Part& part) noexcept;

 private:
  Bounds bounds_;
  std::unordered_set<std::string> keys_;
  size_t bytes_ = 0;
  bool everything_ = false;
};

}  // namespace larder::client
