// ReplyBuffer: the bytes to send, as short pieces copied into scratch memory and long pieces that
// are only pointed at.
//
//   scratch   | VALUE a 0 3\r\nabc\r\nVALUE b 0 9000\r\n | \r\nEND\r\n |
//   pieces      ^ 1: all up to here                      ^ 3
//                                  2: 9000 bytes elsewhere
//
// Invariants:
//  1. Scratch is one run of bytes; a referred piece remembers how much of it goes before it.
//  2. Positions are offsets, so scratch may move when it grows.
//
// One thread: a worker owns one and lends it to the connection that it is serving.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace larder::proto {

class ReplyBuffer {
 public:
  // Some bytes to send, and whom they belong to, so that the rest can be held.
  struct Piece {
    const char* data;
    size_t bytes;
    const void* owner;  // null: the bytes stand in scratch
  };
  // A point to return to with rewind(): everything written later is taken back.
  struct Mark {
    size_t scratch_bytes = 0;
    size_t referred = 0;
    size_t total_bytes = 0;
  };

  ReplyBuffer() = default;
  ReplyBuffer(const ReplyBuffer&) = delete;
  ReplyBuffer& operator=(const ReplyBuffer&) = delete;

  // Room for `bytes` more bytes of scratch; the caller writes there and then calls commit() with
  // what it used. The way in for writers that spell a whole line at once. Good until the next call
  // of anything else.
  char* reserve(size_t bytes) {
    if (static_cast<size_t>(limit_ - cursor_) < bytes) [[unlikely]]
      grow(bytes);
    return cursor_;
  }
  void commit(size_t bytes) noexcept { cursor_ += bytes; }
  void commit_to(const char* end) noexcept { cursor_ += end - cursor_; }

  void copy(std::string_view bytes) {  // one copy into scratch
    if (bytes.empty()) return;
    std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  void refer(std::string_view bytes, const void* owner);  // no copy; good until the turn's end

  Mark mark() const noexcept { return {scratch_bytes(), references_.size(), total_bytes()}; }
  void rewind(const Mark& mark) noexcept;
  void clear() noexcept;  // keeps a bounded amount of scratch

  bool empty() const noexcept { return total_bytes() == 0; }
  size_t total_bytes() const noexcept { return scratch_bytes() + referred_bytes_; }

  // All pieces in order, scratch runs and referred ones, none of them empty. Good until the next
  // change.
  const std::vector<Piece>& pieces();

 private:
  struct Reference {
    size_t scratch_before;
    Piece piece;
  };

  size_t scratch_bytes() const noexcept { return static_cast<size_t>(cursor_ - scratch_.get()); }
  void grow(size_t bytes);

  std::unique_ptr<char[]> scratch_;
  char* cursor_ = nullptr;  // where the next byte of scratch goes
  char* limit_ = nullptr;
  size_t referred_bytes_ = 0;
  std::vector<Reference> references_;
  std::vector<Piece> pieces_;
};

}  // namespace larder::proto
