// Outbox: short replies that wait until the worker has served a few connections more.
//
// A send costs the kernel several microseconds of code that is unlike everything else, and wakes
// the client. Answered one after another, sends cost less than each between a recv and the next
// (single gets 3 %, sets 4 %, larder-bench), and a client finds several replies when it wakes. What
// waits is bounded in connections and bytes, and nothing waits longer than the worker's pass or
// while it does anything lengthy.
//
// One thread, its worker's.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

#include "proto/reply_buffer.h"

namespace larder::daemon {

class Connection;

class Outbox {
 public:
  static constexpr size_t kMostReplies = 16;
  static constexpr size_t kMostBytes = 16 * 1024;
  static constexpr size_t kMostBytesOfOne = 8 * 1024;

  struct Entry {
    Connection* connection;
    std::string_view bytes;
  };

  // Copies the pieces, `bytes` in all; false if they are too long or there is no room.
  bool add(Connection& connection, std::span<const proto::ReplyBuffer::Piece> pieces,
           size_t bytes) noexcept {
    if (bytes > kMostBytesOfOne || bytes > kMostBytes - used_ || count_ == kMostReplies) {
      return false;
    }
    char* const begin = bytes_.data() + used_;
    for (const proto::ReplyBuffer::Piece& piece : pieces) {
      std::memcpy(bytes_.data() + used_, piece.data, piece.bytes);
      used_ += piece.bytes;
    }
    entries_[count_++] = {&connection, {begin, bytes}};
    return true;
  }
  std::span<const Entry> entries() const noexcept { return {entries_.data(), count_}; }
  bool full() const noexcept { return count_ == kMostReplies; }
  void clear() noexcept { count_ = used_ = 0; }

 private:
  size_t count_ = 0;
  size_t used_ = 0;
  std::array<Entry, kMostReplies> entries_;
  std::array<char, kMostBytes> bytes_;
};

}  // namespace larder::daemon
