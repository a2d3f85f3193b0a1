#include "core/draft.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/shard.h"

namespace larder::core {

ItemDraft::ItemDraft(ItemDraft&& other) noexcept { *this = std::move(other); }

ItemDraft& ItemDraft::operator=(ItemDraft&& other) noexcept {
  if (this == &other) return *this;
  drop();
  shard_ = std::exchange(other.shard_, nullptr);
  hash_ = other.hash_;
  head_ = std::exchange(other.head_, Ref{0});
  part_ = other.part_;
  part_data_ = other.part_data_;
  part_bytes_ = other.part_bytes_;
  part_filled_ = other.part_filled_;
  parts_bytes_ = other.parts_bytes_;
  total_bytes_ = other.total_bytes_;
  filled_bytes_ = other.filled_bytes_;
  now_ = other.now_;
  failed_ = other.failed_;
  return *this;
}

std::span<char> ItemDraft::window() {
  if (complete() || shard_ == nullptr) return {};
  if (part_filled_ == part_bytes_ && !shard_->next_part(*this)) return {};
  return {part_data_ + part_filled_, part_bytes_ - part_filled_};
}

void ItemDraft::advance(size_t bytes) noexcept {
  part_filled_ += static_cast<uint32_t>(bytes);
  filled_bytes_ += static_cast<uint32_t>(bytes);
}

bool ItemDraft::append(std::string_view bytes) {
  bytes = bytes.substr(0, remaining());
  while (!bytes.empty()) {
    const std::span<char> room = window();
    if (room.empty()) return false;
    const size_t n = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), n);
    advance(n);
    bytes.remove_prefix(n);
  }
  return true;
}

std::string_view ItemDraft::key() const noexcept {
  return shard_ == nullptr ? std::string_view{} : shard_->draft_key(head_);
}

void ItemDraft::drop() noexcept {
  if (shard_ != nullptr) shard_->drop_draft(*this);
}

}  // namespace larder::core
