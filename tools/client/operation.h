// What a client asks of one server, and what it is told, whatever the dialect on the wire.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/client/result.h"

namespace larder::client {

enum class Dialect : uint8_t { Classic, Meta, Binary };

enum class Verb : uint8_t {
  Get,  // with `touch` also sets the expiry (gat)
  Set,  // with `cas` only over that version
  Add,
  Replace,
  Append,
  Prepend,
  Delete,  // with `cas` only that version (not classic)
  Increment,
  Decrement,
  Touch,
  Version,   // no key; the value of the reply
  FlushAll,  // no key; `exptime` is the delay in seconds
  Noop,      // no key; classic: version, whose answer is thrown away
};

// Views are the caller's, and must live until the request has been answered. None of them may lead
// into the answers of the same call, which clears these before it sends anything: a value that was
// read is copied or moved out of its answer before it is stored with the same answers.
struct Operation {
  Verb verb = Verb::Get;
  // 1 to 250 bytes; without blanks and control characters unless the dialect is binary or meta.
  // Meta has up to 186 bytes for a key with such, which it sends in base64.
  std::string_view key = {};
  std::string_view value = {};  // of what stores
  uint32_t client_flags = 0;
  // Seconds: 0 never, up to 30 days from now, above that unix time, negative: at once.
  int32_t exptime = 0;
  uint64_t cas = 0;    // 0: any version
  uint64_t delta = 1;  // of Increment and Decrement
  bool touch = false;  // Get
  // Increment and Decrement of what is not there: stores this, with `exptime` (not classic).
  std::optional<uint64_t> initial = {};
  // Get (meta only): who finds nothing makes an empty item that lives so many seconds and wins
  // (flag N); who finds one that has less than so many seconds to live, or that is stale, may win
  // (flag R; 0: not asked).
  uint32_t vivify_seconds = 0;
  uint32_t recache_seconds = 0;
  // Delete (meta only): the item stays as stale for `exptime` seconds (flags I and T).
  bool invalidate = false;
  // With invalidate: the item lives as long as before, and `exptime` does not count (no flag T).
  bool keep_expiry = false;
};

enum class Outcome : uint8_t {
  Done,       // stored, deleted, touched, counted, found
  Missing,    // there is no such item
  NotStored,  // Add of what is there, Replace, Append, Prepend of what is not
  Exists,     // it has another version than `cas`
  Failed,     // see `error`
};

struct Answer {
  Outcome outcome = Outcome::Failed;
  std::optional<Error> error;  // exactly if Failed
  // Failed: the server may have done it, may do it yet, or may have kept an older value than the
  // one that was to take its place.
  bool in_doubt = false;

  std::string value;  // Get, Version
  uint32_t client_flags = 0;
  uint64_t cas = 0;  // of Get and of what stores; 0 where the dialect does not say (classic stores)
  uint64_t number = 0;  // Increment, Decrement: afterwards

  // Get with vivify_seconds or recache_seconds.
  bool won = false;     // the caller is to make the value anew
  bool stale = false;   // the value is out of date
  bool others = false;  // somebody else has won and has not stored yet

  // Failed without an error, as one that has not come. The value keeps its memory.
  void make_blank() noexcept {
    outcome = Outcome::Failed;
    error.reset();
    in_doubt = false;
    value.clear();
    client_flags = 0;
    cas = number = 0;
    won = stale = others = false;
  }
};

}  // namespace larder::client
