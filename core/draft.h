// ItemDraft: an item that is allocated and being filled, not yet visible to anyone.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/hash.h"
#include "core/item.h"

namespace larder::core {

class Cache;
class Shard;

// Move-only; gives its memory back when dropped. One thread at a time (it may be handed over with
// its connection). Parts of a large value are taken from the cache as the bytes arrive, so a
// client that stalls holds only what it sent.
class ItemDraft {
 public:
  ItemDraft() = default;
  ~ItemDraft() { drop(); }
  ItemDraft(ItemDraft&& other) noexcept;
  ItemDraft& operator=(ItemDraft&& other) noexcept;
  ItemDraft(const ItemDraft&) = delete;
  ItemDraft& operator=(const ItemDraft&) = delete;

  explicit operator bool() const noexcept { return shard_ != nullptr; }

  std::string_view key() const noexcept;
  KeyHash hash() const noexcept { return hash_; }
  uint32_t value_bytes() const noexcept { return total_bytes_; }
  uint32_t remaining() const noexcept { return total_bytes_ - filled_bytes_; }
  bool complete() const noexcept { return remaining() == 0; }

  // Where the next value bytes belong. Empty if complete(), or if the memory for the next part
  // cannot be had: for good (failed(): drop the draft), or until turns have ended (not failed():
  // send what is pending, refresh the turn, ask again).
  std::span<char> window();
  void advance(size_t bytes) noexcept;
  // Copies as much of `bytes` as belongs to the value; false if memory could not be had (for
  // values of one piece it always can).
  bool append(std::string_view bytes);
  bool failed() const noexcept { return failed_; }

  void drop() noexcept;

 private:
  friend class Shard;
  friend class Cache;

  Shard* shard_ = nullptr;
  KeyHash hash_;
  Ref head_ = 0;
  Ref part_ = 0;  // the chunk being filled; the head itself at first
  char* part_data_ = nullptr;
  uint32_t part_bytes_ = 0;  // room in it
  uint32_t part_filled_ = 0;
  uint32_t parts_bytes_ = 0;  // in parts taken so far
  uint32_t total_bytes_ = 0;
  uint32_t filled_bytes_ = 0;
  Seconds now_ = 0;
  bool failed_ = false;
};

}  // namespace larder::core
