// OwedDeletes: what is kept, and when everything is owed instead.
#include "tools/client/owed_deletes.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

using larder::client::OwedDeletes;

namespace {

OwedDeletes owing(const std::vector<std::string>& keys, OwedDeletes::Bounds bounds = {}) {
  OwedDeletes owed(bounds);
  for (const std::string& key : keys) owed.add(key);
  return owed;
}

}  // namespace

TEST_CASE("each key is owed once, and gone when it was taken") {
  OwedDeletes owed = owing({"a", "b", "a", "c"});
  CHECK(owed.keys() == 3);
  std::set<std::string> taken;
  while (!owed.empty()) {
    const OwedDeletes::Part part = owed.take(2);
    CHECK_FALSE(part.everything);
    CHECK(part.keys.size() <= 2);
    taken.insert(part.keys.begin(), part.keys.end());
  }
  CHECK(taken == std::set<std::string>{"a", "b", "c"});
  CHECK(owed.take(2).empty());
}

TEST_CASE("what could not be paid is owed again, with what came meanwhile") {
  OwedDeletes owed = owing({"a", "b"});
  OwedDeletes::Part part = owed.take(10);
  CHECK(owed.empty());
  owed.add("a");
  owed.add("c");
  owed.put_back(std::move(part));
  CHECK(owed.keys() == 3);
}

TEST_CASE("beyond the bound of keys everything is owed, and no key is kept") {
  OwedDeletes owed = owing({"a", "b", "c"}, {.keys = 3, .bytes = 100});
  CHECK_FALSE(owed.everything());
  owed.add("d");
  CHECK(owed.everything());
  CHECK(owed.keys() == 0);
  owed.add("e");
  CHECK(owed.keys() == 0);

  OwedDeletes::Part part = owed.take(1);
  CHECK(part.everything);
  CHECK(part.keys.empty());
  CHECK(owed.empty());
  owed.add("f");
  CHECK(owed.keys() == 1);
  owed.put_back(std::move(part));
  CHECK(owed.everything());
  CHECK(owed.keys() == 0);
}

TEST_CASE("beyond the bound of bytes everything is owed; what was taken does not count") {
  OwedDeletes owed = owing({"12345", "12346"}, {.keys = 100, .bytes = 10});
  CHECK_FALSE(owed.everything());
  CHECK(owed.take(1).keys.size() == 1);
  owed.add("12347");
  CHECK_FALSE(owed.everything());
  owed.add("8");
  CHECK(owed.everything());
}

TEST_CASE("all of another list moves over") {
  OwedDeletes owed = owing({"a"});
  OwedDeletes other = owing({"a", "b"});
  owed.add_all_of(other);
  CHECK(owed.keys() == 2);
  CHECK(other.empty());
  other.add_everything();
  owed.add_all_of(other);
  CHECK(owed.everything());
  CHECK(other.empty());
}
