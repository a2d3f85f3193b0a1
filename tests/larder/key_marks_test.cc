#include "tools/larder/key_marks.h"

#include <catch2/catch.hpp>
#include <functional>
#include <string>

using larder::operate::KeyMarks;

TEST_CASE("every key that was marked is there, and hardly another one") {
  KeyMarks marks;
  const auto hash = [](int i) { return std::hash<std::string>()("key:" + std::to_string(i)); };
  constexpr int kKeys = 1'000'000;
  for (int i = 0; i < kKeys; ++i) marks.mark(hash(i));
  int missing = 0;
  for (int i = 0; i < kKeys; ++i) missing += marks.has(hash(i)) ? 0 : 1;
  CHECK(missing == 0);
  int others = 0;
  for (int i = kKeys; i < 2 * kKeys; ++i) others += marks.has(hash(i)) ? 1 : 0;
  CHECK(others < kKeys / 10'000);
}
