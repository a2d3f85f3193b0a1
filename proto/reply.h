// Reply: what the cache answered, one flat struct of views, the same for every protocol.
#pragma once

#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/errors.h"

namespace larder::proto {

enum class Status : uint8_t {
  None,       // nothing to write (noreply that went well, or already written)
  Ok,         // stored, deleted, touched, done: the writer finds the word for the command
  Hit,        // Get, Describe, Arith: an item is described by the fields below
  Miss,       // NOT_FOUND, EN, NF, 0x01; for a classic Get: nothing at all
  NotStored,  // NOT_STORED, NS, binary: 0x02 for add, 0x01 for replace, 0x05 for append/prepend
  Exists,     // EXISTS, EX, 0x02
  NotFound,   // a CAS store on a missing key: NOT_FOUND, NF, 0x01
  Error,      // `error` says which
};

using StatList = std::vector<std::pair<std::string, std::string>>;

// Views stay good until the end of the worker's turn.
struct Reply {
  Status status = Status::None;
  ErrorId error = ErrorId::None;

  // Marks of meta replies.
  bool won = false;            // W
  bool stale = false;          // X
  bool win_sent = false;       // Z: somebody else has the token
  bool base64_key = false;     // the item was stored under a base64 key
  bool fetched = false;        // h: hit before this request
  bool value_dropped = false;  // mg C matched: HD and the flags asked for, no value

  std::string_view key;
  std::string_view value;                         // the whole value if it is in one piece
  std::span<const std::string_view> value_parts;  // else its pieces in order; `value` is empty
  uint32_t value_bytes = 0;                       // total length
  const void* owner = nullptr;  // whom the value's bytes belong to: ReplyBuffer hands it back with
                                // what could not be sent, so that the owner can be held

  uint32_t client_flags = 0;
  int64_t ttl_seconds = -1;          // -1 never
  uint32_t last_access_seconds = 0;  // seconds since the last access
  uint64_t cas = 0;
  uint64_t number = 0;      // Arith: the new value
  uint32_t size_class = 0;  // me
  uint32_t item_bytes = 0;  // me: what the item takes, header included

  std::string_view text;            // Stats: a line to answer instead of rows, without \r\n;
                                    // Version: the bare number; RefreshCerts, ConfigSet refused
                                    // for what its block says: what is wrong
  const StatList* stats = nullptr;  // Stats: the rows

  // As freshly made; in place, like Command::reset().
  void reset() noexcept { ::new (static_cast<void*>(this)) Reply; }
};

}  // namespace larder::proto
