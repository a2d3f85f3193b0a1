// How a value gets behind the header of its reply, in every dialect.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

#include "proto/reply.h"
#include "proto/reply_buffer.h"

namespace larder::proto {

// Values up to this are copied behind their header, longer ones referred to. A reference makes two
// more pieces to send (itself and what follows it) and keeps the item's memory in use until it is
// sent. A first guess: what a piece costs in the kernel is for a benchmark over sockets to say.
constexpr size_t kCopyLimitBytes = 1024;

inline size_t value_bytes(const Reply& reply) noexcept {
  return reply.value_parts.empty() ? reply.value.size() : reply.value_bytes;
}

// How much room to reserve behind the header for a value that will be copied, else 0.
inline size_t value_room(const Reply& reply, std::string_view trailer) noexcept {
  const size_t bytes = value_bytes(reply);
  return bytes <= kCopyLimitBytes ? bytes + trailer.size() : 0;
}

// A value that is long or in parts, behind a header that is committed already.
void write_value_apart(const Reply& reply, std::string_view trailer, ReplyBuffer& out);

// The value and what follows it, behind a header that ends at `p`, not committed yet, with
// value_room() behind it.
inline void finish_with_value(char* p, const Reply& reply, std::string_view trailer,
                              ReplyBuffer& out) {
  if (reply.value.size() > kCopyLimitBytes || !reply.value_parts.empty()) [[unlikely]] {
    out.commit_to(p);
    return write_value_apart(reply, trailer, out);
  }
  if (!reply.value.empty()) {
    std::memcpy(p, reply.value.data(), reply.value.size());
    p += reply.value.size();
  }
  for (const char c : trailer) *p++ = c;
  out.commit_to(p);
}

}  // namespace larder::proto
