#include "core/eviction.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/item_writer.h"
#include "core/snapshot.h"

using namespace larder::core;

namespace {

struct Fixture {
  explicit Fixture(EvictionOrder order = EvictionOrder::Density)
      : eviction(pool, slab, sizes.item_count(), counts, order) {}

  // Fills pages of a class with items that have never been used.
  std::vector<Item*> fill(uint32_t bytes, int pages) {
    std::vector<Item*> items;
    const uint32_t c = sizes.class_for(bytes);
    for (int p = 0; p < pages; ++p) {
      slab.add_page(pool.take(false), c);
      eviction.wake(c);
      while (const Ref ref = slab.take(c)) {
        const std::string key = "k" + std::to_string(count++);
        const ItemLayout layout = ItemWriter::layout(key.size(), {}, false);
        Item* item = ItemWriter::begin(pool.at(ref), layout, key, {}, 0, kFirstSecond);
        ItemWriter::set_state(*item, Item::kLive);
        slab.mark_published(ref);
        items.push_back(item);
      }
    }
    return items;
  }
  // A large item as the ring sees it: the head alone.
  Item* add_large(uint32_t value_bytes) {
    ItemShape shape;
    shape.value_bytes = value_bytes;
    const std::string key = "l" + std::to_string(count++);
    const ItemLayout layout = ItemWriter::layout(key.size(), shape, true);
    const uint32_t c = sizes.class_for(layout.head_bytes);
    Ref ref = slab.take(c);
    if (ref == 0) {
      slab.add_page(pool.take(false), c);
      eviction.wake(c);
      ref = slab.take(c);
    }
    Item* item = ItemWriter::begin(pool.at(ref), layout, key, shape, 0, kFirstSecond);
    ItemWriter::set_state(*item, static_cast<uint8_t>(item->state() | Item::kLive));
    slab.mark_published(ref);
    eviction.add_large(*item);
    return item;
  }
  Item* victim(uint32_t steps = 10000) {
    return eviction.victim(steps, [this](const Item& item) { return &item == gone; });
  }
  static void use(Item& item, int times) {
    for (int i = 0; i < times; ++i) note_hit(item, item.heat(), kFirstSecond);
  }

  PagePool pool{16_MiB, 16_MiB, false};
  SizeClasses sizes{1.25, 24};
  Slab slab{pool, sizes, 0};
  UseCounts counts{1};
  Eviction eviction;
  const Item* gone = nullptr;
  int count = 0;
};

}  // namespace

TEST_CASE("items that were never used go in the order in which they lie") {
  Fixture f;
  const std::vector<Item*> items = f.fill(2000, 2);
  for (size_t i = 0; i < 5; ++i) {
    Item* v = f.victim();
    REQUIRE(v == items[i]);
    ItemWriter::set_state(*v, Item::kDead);
  }
}

TEST_CASE("the more an item was used the more rounds of the hand it survives") {
  const auto [uses, rounds] = GENERATE(table<int, int>({{1, 2}, {2, 3}, {3, 3}, {7, 4}, {20, 4}}));
  Fixture f;
  const std::vector<Item*> items = f.fill(2000, 2);
  Fixture::use(*items[0], uses);
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 1; i < items.size(); ++i) REQUIRE(f.victim() == items[i]);
  }
  CHECK(f.victim() == items[0]);
}

TEST_CASE("a use before the rounds are over gives all of them again") {
  Fixture f;
  const std::vector<Item*> items = f.fill(2000, 2);
  Fixture::use(*items[0], 3);
  for (int round = 0; round < 20; ++round) {
    for (size_t i = 1; i < items.size(); ++i) REQUIRE(f.victim() == items[i]);
    if (round % 2 == 1) Fixture::use(*items[0], 1);
  }
}

TEST_CASE("LRU: one round for whatever uses") {
  Fixture f(EvictionOrder::Lru);
  const std::vector<Item*> items = f.fill(2000, 2);
  Fixture::use(*items[0], 5);
  for (size_t i = 1; i < items.size(); ++i) REQUIRE(f.victim() == items[i]);
  CHECK(f.victim() == items[0]);
}

TEST_CASE("a new item stays for about a round, wherever its chunk became free") {
  Fixture f;
  const std::vector<Item*> items = f.fill(2000, 4);
  const size_t at = GENERATE(3, 20, 40, 60);  // of 4 x 16
  REQUIRE(items.size() == 64);
  for (size_t i = 0; i < 2; ++i) REQUIRE(f.victim() == items[i]);  // the hand is there
  ItemWriter::set_heat(*items[at], Heat::fresh(kFirstSecond));
  f.eviction.add(f.pool.info(PagePool::page_of(f.pool.ref_of(items[at]))), *items[at]);
  size_t stayed = 1;
  while (f.victim() != items[at]) ++stayed;
  CHECK(stayed >= items.size() / 2 - 1);
  CHECK(stayed <= items.size() * 3 / 2);
}

TEST_CASE(
    "the last page is passed over once where it takes the place of one in front of the hand") {
  Fixture f;
  const std::vector<Item*> items = f.fill(2000, 4);
  REQUIRE(items.size() == 64);
  for (size_t i = 0; i < 2; ++i) REQUIRE(f.victim() == items[i]);  // the hand is there
  PageNumber left = kNoPage;
  for (size_t i = 16; i < 32; ++i) {
    ItemWriter::set_state(*items[i], Item::kDead);
    left = f.slab.put(f.pool.ref_of(items[i]));
  }
  REQUIRE(left != kNoPage);
  f.eviction.page_left(f.pool.info(left).size_class, f.pool.info(left).index_in_class);
  for (size_t i = 2; i < 16; ++i) REQUIRE(f.victim() == items[i]);
  for (size_t i = 32; i < 48; ++i) REQUIRE(f.victim() == items[i]);
}

TEST_CASE("a hand takes as many steps as its class has bytes; with LRU, as it has items") {
  const auto order = GENERATE(EvictionOrder::Density, EvictionOrder::Lru);
  Fixture f(order);
  const std::vector<Item*> small = f.fill(100, 4);
  const std::vector<Item*> large = f.fill(4000, 4);
  size_t of_small = 0;
  size_t of_large = 0;
  for (int i = 0; i < 3000; ++i) {
    const Item* v = f.victim();
    ++(f.sizes.class_for(static_cast<uint32_t>(f.slab.info(f.pool.ref_of(v)).chunk_bytes)) ==
               f.sizes.class_for(100)
           ? of_small
           : of_large);
  }
  const double expected = order == EvictionOrder::Lru ? static_cast<double>(small.size()) /
                                                            static_cast<double>(large.size())
                                                      : 1.0;
  CHECK(static_cast<double>(of_small) / static_cast<double>(of_large) ==
        Approx(expected).epsilon(0.1));
}

TEST_CASE("an item alone in its class is asked once a round, not at every step") {
  Fixture f;
  f.fill(2000, 16);
  const uint32_t c = f.sizes.class_for(30);
  f.slab.add_page(f.pool.take(false), c);
  f.eviction.wake(c);
  const Ref ref = f.slab.take(c);
  const ItemLayout layout = ItemWriter::layout(4, {}, false);
  Item* alone = ItemWriter::begin(f.pool.at(ref), layout, "lone", {}, 0, kFirstSecond);
  ItemWriter::set_state(*alone, Item::kLive);
  f.slab.mark_published(ref);
  Fixture::use(*alone, 1);
  // A round of its class is as long as many of the large one's.
  for (int i = 0; i < 2000; ++i) REQUIRE(f.victim() != alone);
}

TEST_CASE("large items are asked by their whole size, not by that of the chunk with their key") {
  Fixture f;
  const std::vector<Item*> small = f.fill(1000, 16);
  Item* large = f.add_large(1000000);
  Item* used = f.add_large(900000);
  Fixture::use(*used, 1);
  f.eviction.check_invariants();
  size_t before = 0;
  while (f.victim() != large) ++before;
  CHECK(before < small.size() / 10);
  f.eviction.remove_large(*large);
  ItemWriter::set_state(*large, Item::kDead);
  f.eviction.check_invariants();
  // Its hand goes round twice.
  while (f.victim() != used) ++before;
  CHECK(before < small.size() / 4);
}

TEST_CASE("large items of one size go in the order in which they came, new ones last") {
  Fixture f;
  std::vector<Item*> items;
  for (int i = 0; i < 5; ++i) items.push_back(f.add_large(100000));
  const auto go = [&](Item* expected) {
    Item* v = f.victim();
    REQUIRE(v == expected);
    f.eviction.remove_large(*v);
    ItemWriter::set_state(*v, Item::kDead);
    f.eviction.check_invariants();
  };
  go(items[0]);
  go(items[1]);
  items.push_back(f.add_large(100000));
  Fixture::use(*items[2], 1);
  for (const size_t next : {3, 4, 5, 2}) go(items[next]);
  CHECK(f.victim() == nullptr);
}

TEST_CASE("no hand goes round while less than a tenth of the memory is turned over") {
  Fixture f;
  f.fill(1000, 100);
  Item* large = f.add_large(1000000);
  // After a while it is known how far the level rises meanwhile.
  uint64_t bytes = 0;
  uint64_t since = 0;
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < 100000; ++i) {
    const Item* v = f.victim();
    const uint64_t freed = v == large ? 1000000 : f.sizes.chunk_bytes(f.sizes.class_for(1000));
    bytes += freed;
    since += freed;
    if (v != large) continue;
    if (bytes > 10 * 100 * kPageBytes) least = std::min(least, since);
    since = 0;
  }
  const uint64_t all = 100 * kPageBytes + 1000000;
  CHECK(least > all / 12);
  CHECK(least < all);
}

TEST_CASE("a group that nobody uses any more goes faster") {
  Fixture f;
  const std::vector<Item*> small = f.fill(100, 100);
  const std::vector<Item*> large = f.fill(2000, 20);
  const uint32_t small_class = f.sizes.class_for(100);
  const uint32_t large_class = f.sizes.class_for(2000);
  const auto share_of_small = [&](bool small_is_used) {
    int of_small = 0;
    for (int i = 0; i < 200000; ++i) {
      const Item* v = f.victim();
      const PageNumber page = PagePool::page_of(f.pool.ref_of(v));
      if (f.pool.info(page).size_class == small_class) ++of_small;
      for (int use = 0; use < 4; ++use) f.counts.add(0, large_class);
      for (int use = 0; use < 40 && small_is_used; ++use) f.counts.add(0, small_class);
    }
    return of_small / 200000.0;
  };
  const double used = share_of_small(true);
  CHECK(share_of_small(false) > used + 0.02);
  CHECK(share_of_small(true) == Approx(used).margin(0.02));
}

TEST_CASE("after a stop the order goes on as it would have, whatever was used before") {
  Fixture stopped;
  Fixture other;
  for (Fixture* f : {&stopped, &other}) {
    f->fill(100, 100);
    f->fill(2000, 20);
  }
  const uint32_t small_class = other.sizes.class_for(100);
  const uint32_t large_class = other.sizes.class_for(2000);
  for (Fixture* f : {&stopped, &other}) {
    for (int i = 0; i < 100'000; ++i) {
      REQUIRE(f->victim() != nullptr);
      f->counts.add(0, small_class, 40);
    }
    // The eviction has looked at all uses.
    for (int i = 0; i < 10'000; ++i) REQUIRE(f->victim() != nullptr);
  }
  const auto class_of = [](Fixture& f, const Item& item) {
    return f.pool.info(PagePool::page_of(f.pool.ref_of(&item))).size_class;
  };
  SnapshotWriter out;
  stopped.eviction.save(out);
  UseCounts counts{1};
  Eviction started(stopped.pool, stopped.slab, stopped.sizes.item_count(), counts,
                   EvictionOrder::Density);
  SnapshotReader in(out.bytes());
  REQUIRE(started.restore(in));
  int of_small = 0;
  int expected_of_small = 0;
  for (int i = 0; i < 10'000; ++i) {
    uint32_t steps = 10'000;
    const Item* item = started.victim(steps, [](const Item&) { return false; });
    const Item* expected = other.victim();
    REQUIRE((item != nullptr && expected != nullptr));
    of_small += class_of(stopped, *item) == small_class;
    expected_of_small += class_of(other, *expected) == small_class;
    for (UseCounts* c : {&counts, &other.counts}) c->add(0, large_class, 4);
  }
  // A hand's steps in a row are not kept.
  CHECK(of_small == Approx(expected_of_small).margin(200));
  CHECK(expected_of_small > 9'000);
}

TEST_CASE("a start with numbers that no stop has written forgets what was learnt") {
  Fixture f;
  f.fill(100, 20);
  f.fill(2000, 20);
  for (int i = 0; i < 10'000; ++i) REQUIRE(f.victim() != nullptr);
  SnapshotWriter out;
  f.eviction.save(out);
  const std::string saved = out.bytes();
  // What a start with these bytes would save.
  const auto saved_after = [&](const std::string& bytes) {
    Eviction started(f.pool, f.slab, f.sizes.item_count(), f.counts, EvictionOrder::Density);
    SnapshotReader in(bytes);
    REQUIRE(started.restore(in));
    SnapshotWriter again;
    started.save(again);
    return again.bytes();
  };
  const auto with = [&](size_t from_end, double number) {
    std::string bytes = saved;
    std::memcpy(bytes.data() + bytes.size() - from_end, &number, sizeof number);
    return bytes;
  };
  std::string of_other_order = saved;
  of_other_order[0] = static_cast<char>(EvictionOrder::Lru);
  const std::string forgotten = saved_after(of_other_order);
  REQUIRE((saved_after(saved) != forgotten));
  // From the end of the snapshot.
  constexpr size_t kTurnoverLevel = 24;
  constexpr size_t kMostWeight = 32;
  constexpr size_t kAdaptedLevel = 40;
  constexpr size_t kBoostOfLast = 56;
  constexpr size_t kExpectedShareOfLast = 64;
  constexpr size_t kMadeShareOfLast = 72;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK((saved_after(with(kMostWeight, infinity)) != forgotten));
  struct Bent {
    size_t from_end;
    std::vector<double> numbers;
  };
  for (const Bent& bent :
       {Bent{kTurnoverLevel, {nan, infinity, 1e300}}, Bent{kMostWeight, {nan, -1, 0, 1e-320, 0.9}},
        Bent{kAdaptedLevel, {nan, infinity, -infinity, 1e300}},
        Bent{kBoostOfLast, {nan, infinity, -1, 0, 1e300}},
        Bent{kExpectedShareOfLast, {nan, infinity, -1, 1.1}},
        Bent{kMadeShareOfLast, {nan, infinity, -1, 1.1}}}) {
    for (const double number : bent.numbers) {
      INFO(number << " at " << bent.from_end << " bytes from the end");
      CHECK((saved_after(with(bent.from_end, number)) == forgotten));
    }
  }
}

TEST_CASE("what is gone anyway goes first, however hot") {
  Fixture f;
  const std::vector<Item*> items = f.fill(2000, 2);
  Fixture::use(*items[0], 3);
  f.gone = items[0];
  CHECK(f.victim() == items[0]);
}

TEST_CASE("the search is bounded, by chunks and by hot items") {
  Fixture f;
  CHECK(f.victim(10) == nullptr);
  for (Item* item : f.fill(2000, 2)) ItemWriter::set_state(*item, Item::kDead);
  CHECK(f.victim(10) == nullptr);
  Fixture all_hot;
  for (Item* item : all_hot.fill(2000, 2)) Fixture::use(*item, 3);
  CHECK(all_hot.victim() != nullptr);
}
