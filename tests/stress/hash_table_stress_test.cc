// One reader without a lock while a writer moves the neighbours of its key.
#include "core/hash_table.h"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/item_writer.h"

namespace {

using namespace larder::core;

// Keys of one home bucket, more than it has slots: the last ones are away.
struct CrowdedBucket {
  static constexpr size_t kKeys = 12;
  static constexpr size_t kItemBytes = 64;

  CrowdedBucket() {
    REQUIRE(table.start(false));
    const PageNumber page = pool.take(false);
    for (size_t i = 0; i < kKeys; ++i) {
      char* at = pool.address(page) + i * kItemBytes;
      const std::string name = key(i);
      ItemWriter::begin(at, ItemWriter::layout(name.size(), {}, false), name, {}, 0, kFirstSecond);
      ItemWriter::set_state(*reinterpret_cast<Item*>(at), Item::kLive);
      refs[i] = pool.ref_of(at);
      REQUIRE(table.insert(hash(i), refs[i], false));
    }
  }
  static std::string key(size_t i) { return "key-" + std::to_string(i); }
  // The upper 9 bits name the home bucket, the rest is the tag.
  static KeyHash hash(size_t i) { return KeyHash{(7u << 23) | (1000u + uint32_t(i) * 7919u)}; }

  PagePool pool{8_MiB, 64_MiB, false};
  Epoch epoch{1};
  HashTable table{pool, epoch, 0};
  std::array<Ref, kKeys> refs{};
};

}  // namespace

TEST_CASE("a key is found at every look while a neighbour leaves and returns") {
  constexpr uint64_t kChanges = 4'000'000;
  CrowdedBucket crowd;
  const size_t stays = CrowdedBucket::kKeys - 4;  // one of the four that are away
  const size_t leaves = CrowdedBucket::kKeys - 1;
  std::atomic<bool> stop{false};
  uint64_t finds = 0;
  uint64_t lost = 0;
  std::thread reader([&] {
    const std::string key = CrowdedBucket::key(stays);
    const KeyHash hash = CrowdedBucket::hash(stays);
    while (!stop.load(std::memory_order_relaxed)) {
      ++finds;
      if (crowd.table.find(key, hash) == nullptr) ++lost;
    }
  });
  const std::string key = CrowdedBucket::key(leaves);
  const KeyHash hash = CrowdedBucket::hash(leaves);
  for (uint64_t i = 0; i < kChanges; ++i) {
    crowd.table.remove(*crowd.table.find_slot(key, hash), hash);  // 3 are away, no longer 4
    if (!crowd.table.insert(hash, crowd.refs[leaves], false)) std::abort();
  }
  stop = true;
  reader.join();
  INFO(finds << " finds beside " << kChanges << " changes");
  CHECK(lost == 0);
}
