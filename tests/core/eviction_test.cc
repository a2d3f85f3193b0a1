#include "core/eviction.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "core/item_writer.h"

using namespace larder::core;

namespace {

struct Fixture {
  PagePool pool{16_MiB, 16_MiB, false};
  SizeClasses sizes{1.25, 24};
  Slab slab{pool, sizes, 0};
  Eviction eviction{pool, slab};
  std::vector<Item*> items;

  Fixture() {
    const uint32_t c = sizes.class_for(2000);
    for (int p = 0; p < 2; ++p) {
      slab.add_page(pool.take(false), c);
      while (const Ref ref = slab.take(c)) {
        const std::string key = "k" + std::to_string(items.size());
        const ItemLayout layout = ItemWriter::layout(key.size(), {}, false);
        Item* item = ItemWriter::begin(pool.at(ref), layout, key, {}, 0, kFirstSecond);
        ItemWriter::set_state(*item, Item::kLive);
        slab.mark_published(ref);
        items.push_back(item);
      }
    }
  }
  Item* victim(uint32_t steps = 10000) {
    return eviction.victim(steps, [this](const Item& item) { return &item == gone; });
  }
  const Item* gone = nullptr;
};

}  // namespace

TEST_CASE("items that were never hit go in the order in which they lie") {
  Fixture f;
  for (size_t i = 0; i < 5; ++i) {
    Item* v = f.victim();
    REQUIRE(v == f.items[i]);
    ItemWriter::set_state(*v, Item::kDead);
  }
}

TEST_CASE("each hit, up to three, survives one round of the hand") {
  Fixture f;
  Item* hot = f.items[0];
  for (int i = 0; i < 10; ++i) note_hit(*hot, hot->heat(), kFirstSecond);
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 1; i < f.items.size(); ++i) REQUIRE(f.victim() == f.items[i]);
  }
  CHECK(f.victim() == hot);
}

TEST_CASE("what is gone anyway goes first, however hot") {
  Fixture f;
  Item* hot = f.items[0];
  for (int i = 0; i < 3; ++i) note_hit(*hot, hot->heat(), kFirstSecond);
  f.gone = hot;
  CHECK(f.victim() == hot);
}

TEST_CASE("the search is bounded, by chunks and by hot items") {
  Fixture f;
  for (Item* item : f.items) ItemWriter::set_state(*item, Item::kDead);
  CHECK(f.victim(10) == nullptr);
  Fixture all_hot;
  for (Item* item : all_hot.items) {
    for (int i = 0; i < 3; ++i) note_hit(*item, item->heat(), kFirstSecond);
  }
  CHECK(all_hot.victim() != nullptr);
}
