#include "core/hash_table.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/item_writer.h"

namespace {

using namespace larder::core;

// A table over items of 32 bytes in a pool of their own.
class Fixture {
 public:
  Fixture() { REQUIRE(table.start(false)); }

  KeyHash hash(const std::string& key) const { return hash_key(key, 1); }

  Ref make(const std::string& key) {
    if (next_ == 0 || next_ % kPageUnits == 0) {
      const PageNumber page = pool.take(false);
      REQUIRE(page != kNoPage);
      next_ = Ref{page} << kPageShift;
    }
    const Ref ref = next_;
    next_ += 8;
    const ItemShape shape;
    const ItemLayout layout = ItemWriter::layout(key.size(), shape, false);
    ItemWriter::begin(pool.at(ref), layout, key, shape, 0, kFirstSecond);
    return ref;
  }

  PagePool pool{256_MiB, 256_MiB, false};
  Epoch epoch{1};
  HashTable table{pool, epoch, 0};

 private:
  static constexpr Ref kPageUnits = kPageBytes >> kRefShift;
  Ref next_ = 0;
};

std::string key_number(uint64_t n) { return "k" + std::to_string(n); }

}  // namespace

TEST_CASE("a position comes back from its tag and bucket for any number of segments") {
  std::mt19937_64 random(1);
  for (const uint32_t segments : {1u, 2u, 3u, 7u, 8u, 9u, 1000u, 65537u, 1u << 20}) {
    for (int i = 0; i < 2000; ++i) {
      const auto position = static_cast<uint32_t>(random());
      const uint64_t bucket = uint64_t{position} * segments >> (32 - HashTable::kBucketBits);
      REQUIRE(HashTable::position_from(position & ((1u << 23) - 1), bucket, segments) == position);
    }
  }
}

TEST_CASE("what is inserted is found, through many steps of growth, and nothing else is") {
  Fixture f;
  constexpr uint64_t kKeys = 200'000;
  for (uint64_t n = 0; n < kKeys; ++n) {
    const std::string key = key_number(n);
    REQUIRE(f.table.insert(f.hash(key), f.make(key), false));
    if (n % 20011 == 0) {
      f.table.check_invariants();
      f.epoch.advance();
      f.table.reclaim(f.epoch.horizon());
    }
  }
  CHECK(f.table.items() == kKeys);
  for (uint64_t n = 0; n < kKeys; ++n) {
    const std::string key = key_number(n);
    const Item* item = f.table.find(key, f.hash(key));
    REQUIRE(item != nullptr);
    REQUIRE(item->key() == key);
    const std::string absent = key + "x";
    REQUIRE(f.table.find(absent, f.hash(absent)) == nullptr);
  }
}

TEST_CASE("the table stays dense: at most 10.5 bytes an item from 50,000 items on") {
  Fixture f;
  for (uint64_t n = 0; n < 300'000; ++n) {
    const std::string key = key_number(n);
    REQUIRE(f.table.insert(f.hash(key), f.make(key), false));
    while (f.table.resize_step(false)) {
    }
    f.epoch.advance();
    f.table.reclaim(f.epoch.horizon());
    if (n > 50'000) {
      REQUIRE(static_cast<double>(f.table.bytes()) / static_cast<double>(n) < 10.5);
    }
  }
}

TEST_CASE("a table that is mostly empty shrinks when asked, and loses nothing") {
  Fixture f;
  constexpr uint64_t kKeys = 300'000;
  std::vector<Ref> refs;
  for (uint64_t n = 0; n < kKeys; ++n) {
    const std::string key = key_number(n);
    refs.push_back(f.make(key));
    REQUIRE(f.table.insert(f.hash(key), refs.back(), false));
  }
  while (f.table.resize_step(false)) {
  }
  const uint64_t full = f.table.bytes();
  const uint64_t left = GENERATE(0, 1, 1'000, 30'000, 200'000, 290'000);
  for (uint64_t n = left; n < kKeys; ++n) {
    const KeyHash hash = f.hash(key_number(n));
    f.table.remove(*f.table.find_ref(refs[n], hash), hash);
  }
  CHECK_FALSE(f.table.resize_step(false));
  CHECK(f.table.bytes() == full);
  // Inserts go on meanwhile.
  uint64_t extra = 0;
  for (bool more = true; more;) {
    more = false;
    for (int i = 0; i < 10 && f.table.resize_step(false, true); ++i) more = true;
    if (more && extra < 2'000) {
      const std::string key = "x" + std::to_string(extra++);
      REQUIRE(f.table.insert(f.hash(key), f.make(key), false));
    }
    f.epoch.advance();
    f.table.reclaim(f.epoch.horizon());
    f.table.check_invariants();
  }
  CHECK(f.table.items() == left + extra);
  CHECK(f.table.bytes() <= std::max<uint64_t>(f.table.items() * 8 * 4 / 3 * 4 / 3, 1) + kPageBytes);
  for (uint64_t n = 0; n < kKeys; ++n) {
    const std::string key = key_number(n);
    REQUIRE((f.table.find(key, f.hash(key)) != nullptr) == (n < left));
  }
  for (uint64_t n = 0; n < extra; ++n) {
    const std::string key = "x" + std::to_string(n);
    REQUIRE(f.table.find(key, f.hash(key)) != nullptr);
  }
}

TEST_CASE("a table that takes more than limit and overdraft shrinks, but for a held-up reader") {
  Fixture f;
  constexpr uint64_t kKeys = 1'000'000;
  std::vector<Ref> refs;
  for (uint64_t n = 0; n < kKeys; ++n) {
    const std::string key = key_number(n);
    refs.push_back(f.make(key));
    REQUIRE(f.table.insert(f.hash(key), refs.back(), false));
  }
  while (f.table.resize_step(false)) {
  }
  f.epoch.advance();
  f.table.reclaim(f.epoch.horizon());
  for (uint64_t n = 1'000; n < kKeys; ++n) {
    const KeyHash hash = f.hash(key_number(n));
    f.table.remove(*f.table.find_ref(refs[n], hash), hash);
  }
  REQUIRE(f.pool.set_limit(1_MiB));
  REQUIRE(f.table.bytes() > 1_MiB + f.pool.overdraft_pages() * kPageBytes);
  const uint64_t segments = f.table.bytes() / kPageBytes;
  CHECK(f.table.segments_to_free() == segments - 1);
  Epoch::Reader& reader = f.epoch.reader(0);
  f.epoch.enter(reader);
  while (f.table.resize_step(true, true)) {
  }
  CHECK(f.table.bytes() <= (segments + 10) * kPageBytes);
  f.epoch.leave(reader);
  for (bool more = true; more;) {
    f.epoch.advance();
    f.table.reclaim(f.epoch.horizon());
    more = f.table.resize_step(true, true);
  }
  f.epoch.advance();
  f.table.reclaim(f.epoch.horizon());
  CHECK(f.table.bytes() == kPageBytes);
  CHECK(f.table.segments_to_free() == 0);
  f.table.check_invariants();
}

TEST_CASE("random inserts, replaces and removes agree with a map") {
  Fixture f;
  std::mt19937_64 random(3);
  std::unordered_map<std::string, Ref> map;
  for (int i = 0; i < 300'000; ++i) {
    const std::string key = key_number(random() % 40'000);
    const KeyHash hash = f.hash(key);
    HashTable::Slot* slot = f.table.find_slot(key, hash);
    const auto it = map.find(key);
    REQUIRE((slot != nullptr) == (it != map.end()));
    if (slot != nullptr) REQUIRE(f.table.ref_in(*slot) == it->second);
    if (random() % 3 == 0) {
      if (slot == nullptr) continue;
      f.table.remove(*slot, hash);
      map.erase(it);
    } else {
      const Ref ref = f.make(key);
      if (slot != nullptr) {
        f.table.replace(*slot, hash, ref);
      } else {
        REQUIRE(f.table.insert(hash, ref, false));
      }
      map[key] = ref;
    }
  }
  f.table.check_invariants();
  CHECK(f.table.items() == map.size());
  for (const auto& [key, ref] : map) REQUIRE(f.table.find_ref(ref, f.hash(key)) != nullptr);
}

TEST_CASE("pages of outgrown segments go back to the pool") {
  Fixture f;
  for (uint64_t n = 0; n < 100'000; ++n) {
    const std::string key = key_number(n);
    REQUIRE(f.table.insert(f.hash(key), f.make(key), false));
  }
  while (f.table.resize_step(false)) {
  }
  const size_t before = f.pool.pages_used();
  CHECK(f.table.has_retired());
  f.epoch.advance();
  f.table.reclaim(f.epoch.horizon());
  CHECK_FALSE(f.table.has_retired());
  CHECK(f.pool.pages_used() < before);
}

TEST_CASE("an outgrown segment is kept while a reader may be in it") {
  Fixture f;
  f.epoch.enter(f.epoch.reader(0));
  for (uint64_t n = 0; n < 20'000; ++n) {
    const std::string key = key_number(n);
    REQUIRE(f.table.insert(f.hash(key), f.make(key), false));
  }
  f.epoch.advance();
  f.table.reclaim(f.epoch.horizon());
  CHECK(f.table.has_retired());
  f.epoch.leave(f.epoch.reader(0));
  f.table.reclaim(f.epoch.horizon());
  CHECK_FALSE(f.table.has_retired());
}

TEST_CASE("a walk meets every key that is there all the time exactly once, also while it grows") {
  Fixture f;
  std::mt19937_64 random(5);
  std::unordered_map<Ref, std::string> keys;
  const auto insert = [&](uint64_t n) {
    const std::string key = key_number(n);
    const Ref ref = f.make(key);
    keys[ref] = key;
    REQUIRE(f.table.insert(f.hash(key), ref, false));
  };
  uint64_t next = 0;
  while (next < 20'000) insert(next++);
  std::unordered_map<std::string, int> met;
  uint64_t from = 0;
  bool grew = false;
  while (from != HashTable::kPositions) {
    const uint64_t end = f.table.walk(from, [&](Ref ref) { ++met[keys.at(ref)]; });
    REQUIRE(end > from);
    from = end;
    for (int i = 0; i < 300 && next < 120'000; ++i) insert(next++);
    // Some of the first get another item under their key.
    for (int i = 0; i < 20; ++i) {
      const std::string key = key_number(random() % 20'000);
      HashTable::Slot* slot = f.table.find_slot(key, f.hash(key));
      REQUIRE(slot != nullptr);
      const Ref ref = f.make(key);
      keys[ref] = key;
      f.table.replace(*slot, f.hash(key), ref);
    }
    grew = grew || f.table.resizing();
  }
  CHECK(grew);
  size_t missed = 0;
  for (uint64_t n = 0; n < 20'000; ++n) missed += met[key_number(n)] == 0;
  CHECK(missed == 0);
  CHECK(std::all_of(met.begin(), met.end(), [](const auto& m) { return m.second <= 1; }));
  f.table.check_invariants();
}

TEST_CASE("a walk over a table at rest meets what it holds, a few items at a time") {
  Fixture f;
  for (uint64_t n = 0; n < 50'000; ++n) {
    const std::string key = key_number(n);
    REQUIRE(f.table.insert(f.hash(key), f.make(key), false));
  }
  uint64_t from = 0;
  uint64_t met = 0;
  while (from != HashTable::kPositions) {
    uint64_t here = 0;
    from = f.table.walk(from, [&](Ref) { ++here; });
    CHECK(here < 400);
    met += here;
  }
  CHECK(met == 50'000);
}
