#include "core/item.h"

#include <catch2/catch.hpp>

#include <cstring>
#include <string>

#include "core/item_writer.h"

using namespace larder::core;

namespace {

alignas(4) char chunk[1024];

Item* make(const std::string& key, const std::string& value, const ItemShape& shape) {
  ItemShape s = shape;
  s.value_bytes = static_cast<uint32_t>(value.size());
  const ItemLayout layout = ItemWriter::layout(key.size(), s, false);
  Item* item = ItemWriter::begin(chunk, layout, key, s, s.value_bytes, 100);
  std::memcpy(chunk + layout.head_bytes, value.data(), value.size());
  return item;
}

}  // namespace

TEST_CASE("an item gives back what was put in, for every combination of options") {
  for (int options = 0; options < 16; ++options) {
    ItemShape shape;
    if ((options & 1) != 0) shape.expiry = 1234;
    if ((options & 2) != 0) shape.client_flags = 0xdeadbeef;
    if ((options & 4) != 0) shape.base64_key = true;
    if ((options & 8) != 0) {
      shape.has_explicit_cas = true;
      shape.explicit_cas = 0x1122334455667788;
    }
    const Item* item = make("the key", "the value", shape);
    CHECK(item->key() == "the key");
    CHECK(item->first_part() == "the value");
    CHECK(item->value_bytes() == 9);
    CHECK(item->expiry() == shape.expiry);
    CHECK(item->client_flags() == shape.client_flags);
    CHECK(item->base64_key() == shape.base64_key);
    CHECK(item->has_wide_cas() == shape.has_explicit_cas);
    if (shape.has_explicit_cas) CHECK(item->wide_cas() == shape.explicit_cas);
    CHECK_FALSE(item->is_large());
    CHECK(item->heat() == Heat::fresh(100));
  }
}

TEST_CASE("a plain item costs 12 bytes beside its key and value") {
  CHECK(make("k", "v", {})->stored_bytes() == 12 + 1 + 1);
  ItemShape shape;
  shape.client_flags = 1;
  CHECK(make("k", "v", shape)->stored_bytes() == 16 + 1 + 1);
}

TEST_CASE("a hit is noted, and a use that is no read is no hit") {
  const Item* item = make("k", "v", {});
  note_use(*item, item->heat(), 101, 0);
  CHECK(item->heat() == Heat::fresh(100).used(101, 0));
  CHECK_FALSE(item->heat().fetched());
  note_hit(*item, item->heat(), 101);
  CHECK(item->heat().fetched());
}

TEST_CASE("a copy is the same item with the same sequence and heat") {
  ItemShape shape;
  shape.expiry = 77;
  shape.client_flags = 5;
  Item* item = make("key", std::string(300, 'x'), shape);
  ItemWriter::set_seq(*item, 42);
  note_hit(*item, item->heat(), 101);
  alignas(4) char other[1024];
  const Item* copy = ItemWriter::copy(other, *item);
  CHECK(copy->key() == "key");
  CHECK(copy->first_part() == std::string(300, 'x'));
  CHECK(copy->seq() == 42);
  CHECK(copy->heat() == item->heat());
  CHECK(copy->expiry() == 77);
  CHECK(copy->client_flags() == 5);
}
