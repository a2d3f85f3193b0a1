#include "core/expiry_index.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <vector>

using namespace larder::core;

TEST_CASE("nothing is due in an empty index, nor where nothing expires") {
  ExpiryIndex index;
  CHECK(index.find_due(UINT32_MAX - 1) == ExpiryIndex::kNone);
  CHECK(index.earliest() == ExpiryIndex::kLater);
  for (int i = 0; i < 100; ++i) index.add();
  CHECK(index.find_due(UINT32_MAX - 1) == ExpiryIndex::kNone);
  index.check_invariants();
}

TEST_CASE("the page that is due is found, and no other") {
  ExpiryIndex index;
  for (int i = 0; i < 5000; ++i) index.add();
  index.lower(4321, 50);
  CHECK(index.find_due(49) == ExpiryIndex::kNone);
  CHECK(index.find_due(50) == 4321);
  index.lower(4321, 60);  // it was earlier already
  CHECK(index.of(4321) == 50);
  index.set(4321, 60);
  CHECK(index.find_due(50) == ExpiryIndex::kNone);
  CHECK(index.earliest() == 60);
  index.check_invariants();
}

TEST_CASE("the last page takes the place of one that leaves") {
  ExpiryIndex index;
  for (uint32_t i = 0; i < 17; ++i) {
    index.add();
    index.lower(i, 100 + i);
  }
  index.remove(0);
  CHECK(index.size() == 16);
  CHECK(index.of(0) == 116);
  CHECK(index.earliest() == 101);
  index.check_invariants();
  for (uint32_t left = 16; left > 0; --left) {
    index.remove(left - 1);
    index.check_invariants();
  }
  CHECK(index.earliest() == ExpiryIndex::kLater);
}

TEST_CASE("it agrees with a plain list, whatever is done") {
  std::mt19937_64 random(7);
  ExpiryIndex index;
  std::vector<Seconds> list;
  for (int i = 0; i < 200'000; ++i) {
    // Grows to some thousands, shrinks again, and so on.
    const bool growing = i / 20'000 % 2 == 0;
    const uint64_t what = random() % 8;
    if (list.empty() || (growing && what == 0)) {
      index.add();
      list.push_back(ExpiryIndex::kLater);
    } else if (!growing && what == 0) {
      const uint32_t page = static_cast<uint32_t>(random() % list.size());
      index.remove(page);
      list[page] = list.back();
      list.pop_back();
    } else {
      const uint32_t page = static_cast<uint32_t>(random() % list.size());
      const Seconds expiry =
          what == 1 ? ExpiryIndex::kLater : static_cast<Seconds>(random() % 1'000'000);
      if (what < 4) {
        index.set(page, expiry);
        list[page] = expiry;
      } else {
        index.lower(page, expiry);
        list[page] = std::min(list[page], expiry);
      }
    }
    if (i % 97 == 0) {
      const Seconds earliest =
          list.empty() ? ExpiryIndex::kLater : *std::min_element(list.begin(), list.end());
      REQUIRE(index.earliest() == earliest);
      const Seconds now = static_cast<Seconds>(random() % 1000);
      const uint32_t due = index.find_due(now);
      REQUIRE((due != ExpiryIndex::kNone) == (earliest <= now));
      if (due != ExpiryIndex::kNone) REQUIRE(list[due] <= now);
    }
    if (i % 5000 == 0) index.check_invariants();
  }
  index.check_invariants();
}
