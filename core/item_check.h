// ItemCheck: whether the bytes of one shard's items can be used as they are, after a restart.
//
// A snapshot has a checksum, the arena has none: the program that wrote it may be another, a disk
// or a bit of memory may have failed. Core follows what it finds in the arena without a look: slots
// of the table, lists of free chunks, lengths, chains of parts, rings. So each of them is checked
// once before the first use. A wrong one makes the start a cold one; what is left is a wrong byte
// in a value, or in what nobody uses as an index or a length.
//
// The check reads the shard's pages in order, and then its slots: it does not go from slot to item,
// which would cost a cache miss for each. Both are summed up as sets of (reference, position), and
// the two sums, of 64 bits, have to be equal.
//
// One thread; nobody uses the shard meanwhile.
#pragma once

#include <cstdint>
#include <vector>

#include "core/item.h"
#include "core/page_pool.h"
#include "core/size_classes.h"

namespace larder::core {

class ItemCheck {
 public:
  struct OfShard {
    uint64_t hash_seed;
    uint64_t sequence;     // of its latest change
    uint32_t shard_shift;  // KeyHash::shard_bits() >> this is the shard
    uint16_t number;
  };
  ItemCheck(PagePool& pool, const SizeClasses& sizes, const OfShard& shard);

  // All chunks of a page of chunks, and a page that is one part. Null, or a clause that says what
  // is wrong: "a chunk is neither an item, nor a part, nor free". Then nothing else may be asked.
  const char* check_page(PageNumber page);
  void count_large_page(PageNumber page);
  // A slot of the table.
  void count_slot(uint32_t position, Ref ref);
  // After all pages and slots. Null, or a clause.
  const char* check_sums() const;

  // After all pages: whether a reference is that of a large item of this shard.
  bool is_large_item(Ref ref) const;

  // What was found, by class of the items' stored bytes as counters have it.
  struct OfClass {
    uint64_t items = 0;
    uint64_t bytes = 0;
  };
  const std::vector<OfClass>& classes() const noexcept { return classes_; }
  uint64_t items() const noexcept { return items_; }
  uint64_t large_items() const noexcept { return large_items_; }
  // By class of the page: chunks in which a large item begins.
  const std::vector<uint64_t>& heads() const noexcept { return heads_; }

 private:
  const char* check_item(PageNumber page, Ref ref);
  const char* check_parts(const Item& item);
  // A chunk of this shard, or one of its pages that is one part; null if the reference is neither.
  const Item* chunk_at(Ref ref) const;
  // The sum of a set of pairs: adding does not depend on the order.
  static uint64_t mix(Ref ref, uint32_t position) noexcept;

  PagePool& pool_;
  const SizeClasses& sizes_;
  const OfShard shard_;
  std::vector<OfClass> classes_;
  std::vector<uint64_t> heads_;
  uint64_t items_ = 0;
  uint64_t large_items_ = 0;
  uint64_t sum_of_items_ = 0;
  uint64_t sum_of_slots_ = 0;
  uint64_t sum_of_parts_ = 0;  // that lie in pages
  uint64_t sum_of_links_ = 0;  // that large items lead to
};

}  // namespace larder::core
