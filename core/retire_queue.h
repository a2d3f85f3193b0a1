// RetireQueue: what was unlinked and waits until no turn can see it any more; first in, first out.
//
// A list of blocks of a fixed size: a push and a pop cost the same however much waits, and what
// waits stays where it is. (One ring that doubled copied all of it under the shard's lock: 1.7 ms
// at 65,536 entries, and without bound where a reader was held up for long.)
//
// Threads: under the shard's lock.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "core/epoch.h"
#include "core/item.h"
#include "core/units.h"

namespace larder::core {

class RetireQueue {
 public:
  struct Entry {
    Ref ref;
    Epoch::Stamp stamp;
  };

  // So many entries join after prepare() without an allocation.
  static constexpr size_t kPreparedEntries = (16_KiB - sizeof(void*)) / sizeof(Entry);

  RetireQueue() : first_(new Block), last_(first_.get()), spare_(new Block) {}
  // One block after the other: a chain of owners would be destroyed by recursion.
  ~RetireQueue() {
    while (first_ != nullptr) first_ = std::move(first_->next);
  }
  RetireQueue(const RetireQueue&) = delete;
  RetireQueue& operator=(const RetireQueue&) = delete;

  bool empty() const noexcept { return size_ == 0; }
  size_t size() const noexcept { return size_; }
  // The oldest entry; it stays at its address until it is popped. Not empty.
  const Entry& front() const noexcept {
    assert(!empty());
    return first_->entries[begin_];
  }
  // In order, calls visit(entry).
  template <class Visit>
  void for_each(Visit visit) const {
    size_t at = begin_;
    for (const Block* block = first_.get(); block != nullptr; block = block->next.get(), at = 0) {
      const size_t end = block == last_ ? end_ : kBlockEntries;
      for (; at < end; ++at) visit(block->entries[at]);
    }
  }
  void pop() noexcept {
    assert(!empty());
    --size_;
    if (++begin_ < kBlockEntries) return;
    begin_ = 0;
    if (first_->next == nullptr) {  // the last block: it is filled anew
      end_ = 0;
      return;
    }
    spare_ = std::exchange(first_, std::move(first_->next));
  }
  // Has memory for the next kPreparedEntries. Whatever changes a table and then retires what it has
  // unlinked calls this first. Throws std::bad_alloc, and nothing has changed.
  void prepare() {
    if (spare_ == nullptr) spare_.reset(new Block);
  }
  // Allocates nothing for what prepare() has seen to; beyond that it throws std::bad_alloc, and
  // nothing has changed.
  void push(Entry entry) {
    if (end_ == kBlockEntries) add_block();
    last_->entries[end_++] = entry;
    ++size_;
  }

 private:
  static constexpr size_t kBlockEntries = kPreparedEntries;
  struct Block {
    std::array<Entry, kBlockEntries> entries;
    std::unique_ptr<Block> next;
  };

  void add_block() {
    if (spare_ == nullptr) spare_.reset(new Block);
    last_->next = std::move(spare_);
    last_ = last_->next.get();
    end_ = 0;
    // The next one ahead: if memory is missing now, there is a block's time to find some.
    spare_.reset(new (std::nothrow) Block);
  }

  std::unique_ptr<Block> first_;
  Block* last_;
  std::unique_ptr<Block> spare_;
  size_t begin_ = 0;  // of what waits, in first_
  size_t end_ = 0;    // and behind it, in last_
  size_t size_ = 0;
};

}  // namespace larder::core
