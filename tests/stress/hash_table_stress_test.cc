// One reader without a lock, of a key that is there all the time, while a writer moves it and its
// neighbours.
#include "core/hash_table.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/item_writer.h"

namespace {

using namespace larder::core;

// A table of one segment, and items without a value to put there.
struct Fixture {
  Fixture() { REQUIRE(table.start(false)); }
  Ref item(const std::string& key) {
    const size_t item_bytes = 64;
    char* at = pool.address(page) + item_bytes * items++;
    ItemWriter::begin(at, ItemWriter::layout(key.size(), {}, false), key, {}, 0, kFirstSecond);
    ItemWriter::set_state(*reinterpret_cast<Item*>(at), Item::kLive);
    return pool.ref_of(at);
  }
  void insert(KeyHash hash, Ref ref) {
    if (!table.insert(hash, ref, false)) std::abort();
  }
  void remove(const std::string& key, KeyHash hash) {
    table.remove(*table.find_slot(key, hash), hash);
  }
  // Looks for the key until `writer` has returned; how often in vain.
  template <class Writer>
  uint64_t misses(const std::string& key, KeyHash hash, Writer writer) {
    std::atomic<bool> stop{false};
    uint64_t lost = 0;
    std::thread reader([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        if (table.find(key, hash) == nullptr) ++lost;
      }
    });
    writer();
    stop = true;
    reader.join();
    return lost;
  }

  PagePool pool{8_MiB, 64_MiB, false};
  Epoch epoch{1};
  HashTable table{pool, epoch, 0};
  const PageNumber page = pool.take(false);
  size_t items = 0;
};

KeyHash hash_at(uint32_t bucket, uint32_t tag) { return KeyHash{bucket << 23 | tag}; }
uint32_t tag_number(uint32_t i) { return 1000 + i * 7919; }
std::string name(const char* what, uint32_t i) { return what + std::to_string(i); }

constexpr int kChanges = 2'000'000;
constexpr uint32_t kHome = 7;

}  // namespace

TEST_CASE("a key is found at every look while a neighbour leaves and returns") {
  // Four keys more than the bucket has slots are away.
  constexpr uint32_t kKeys = HashTable::kSlotsPerBucket + 4;
  constexpr uint32_t kStays = kKeys - 4;
  constexpr uint32_t kLeaves = kKeys - 1;
  Fixture f;
  Ref refs[kKeys];
  for (uint32_t i = 0; i < kKeys; ++i) {
    refs[i] = f.item(name("key-", i));
    f.insert(hash_at(kHome, tag_number(i)), refs[i]);
  }
  const KeyHash stays = hash_at(kHome, tag_number(kStays));
  const KeyHash leaves = hash_at(kHome, tag_number(kLeaves));
  const std::string leaving = name("key-", kLeaves);
  CHECK(f.misses(name("key-", kStays), stays, [&] {
    for (int i = 0; i < kChanges; ++i) {
      f.remove(leaving, leaves);  // 3 are away, no longer 4
      f.insert(leaves, refs[kLeaves]);
    }
  }) == 0);
}

TEST_CASE("a key is found at every look while it is displaced and brought home") {
  Fixture f;
  // The key is in the first slot of its home, which is full, and so is the second bucket of a guest
  // of the same home: the guest displaces it.
  const KeyHash own = hash_at(kHome, tag_number(0));
  const KeyHash guest = hash_at(kHome, tag_number(100));
  const uint32_t second_of_guest = kHome ^ HashTable::alternate(tag_number(100));
  REQUIRE(HashTable::alternate(tag_number(0)) != HashTable::alternate(tag_number(100)));
  const Ref versions[] = {f.item("key"), f.item("key")};
  const Ref guest_ref = f.item("guest");
  f.insert(own, versions[0]);
  for (uint32_t i = 1; i < HashTable::kSlotsPerBucket; ++i) {
    f.insert(hash_at(kHome, tag_number(i)), f.item(name("neighbour-", i)));
  }
  for (uint32_t i = 0; i < HashTable::kSlotsPerBucket; ++i) {
    f.insert(hash_at(second_of_guest, tag_number(i)), f.item(name("filler-", i)));
  }
  int displaced = 0;
  CHECK(f.misses("key", own, [&] {
    for (int i = 0; i < kChanges; ++i) {
      const HashTable::Slot* before = f.table.find_slot("key", own);
      f.insert(guest, guest_ref);
      HashTable::Slot* slot = f.table.find_slot("key", own);
      if (slot != before) ++displaced;
      f.remove("guest", guest);
      f.table.replace(*slot, own, versions[i % 2]);  // home has room again
    }
  }) == 0);
  CHECK(displaced == kChanges);
}
