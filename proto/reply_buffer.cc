#include "proto/reply_buffer.h"

#include <algorithm>
#include <cassert>

namespace larder::proto {
namespace {

// The first scratch: a batch of short replies fits.
constexpr size_t kFirstScratchBytes = 16 * 1024;
// What stays after clear(): a stats reply or a full batch of copied values makes it grow beyond,
// and must not be kept by every worker for ever.
constexpr size_t kKeptScratchBytes = 128 * 1024;
constexpr size_t kKeptReferences = 1024;

}  // namespace

void ReplyBuffer::grow(size_t bytes) {
  const size_t used = scratch_bytes();
  const size_t capacity = static_cast<size_t>(limit_ - scratch_.get());
  const size_t wanted = std::max({used + bytes, capacity * 2, kFirstScratchBytes});
  auto larger = std::make_unique_for_overwrite<char[]>(wanted);
  if (used > 0) std::memcpy(larger.get(), scratch_.get(), used);
  scratch_ = std::move(larger);
  cursor_ = scratch_.get() + used;
  limit_ = scratch_.get() + wanted;
}

void ReplyBuffer::refer(std::string_view bytes, const void* owner) {
  if (bytes.empty()) return;
  references_.push_back({scratch_bytes(), {bytes.data(), bytes.size(), owner}});
  referred_bytes_ += bytes.size();
}

void ReplyBuffer::rewind(const Mark& mark) noexcept {
  assert(mark.scratch_bytes <= scratch_bytes() && mark.referred <= references_.size());
  cursor_ = scratch_.get() + mark.scratch_bytes;
  references_.erase(references_.begin() + static_cast<std::ptrdiff_t>(mark.referred),
                    references_.end());
  referred_bytes_ = mark.total_bytes - mark.scratch_bytes;
}

void ReplyBuffer::clear() noexcept {
  cursor_ = scratch_.get();
  if (static_cast<size_t>(limit_ - cursor_) > kKeptScratchBytes) {
    scratch_.reset();
    cursor_ = limit_ = nullptr;
  }
  referred_bytes_ = 0;
  references_.clear();
  pieces_.clear();
  if (references_.capacity() > kKeptReferences) {
    std::vector<Reference>().swap(references_);
    std::vector<Piece>().swap(pieces_);
  }
}

const std::vector<ReplyBuffer::Piece>& ReplyBuffer::pieces() {
  pieces_.clear();
  size_t done = 0;  // of scratch
  const auto add_scratch = [&](size_t up_to) {
    if (up_to > done) pieces_.push_back({scratch_.get() + done, up_to - done, nullptr});
    done = up_to;
  };
  for (const Reference& reference : references_) {
    add_scratch(reference.scratch_before);
    pieces_.push_back(reference.piece);
  }
  add_scratch(scratch_bytes());
  return pieces_;
}

}  // namespace larder::proto
