// What core's calls ask for and answer: small structs and status enums.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/hash.h"
#include "core/item.h"
#include "core/units.h"

namespace larder::core {

struct KeyRef {
  std::string_view key;  // 1..kMaxKeyBytes bytes
  KeyHash hash;          // Cache::hash(key)
};

// One key of a batch.
struct Probe {
  std::string_view key;
  KeyHash hash;
  bool bump = true;  // count the hit in the eviction order and mark the item fetched
};

enum class MissReason : uint8_t { None, Absent, Expired, Flushed };

struct Found {
  const Item* item = nullptr;  // null on a miss; good until the end of the turn
  Heat heat;                   // Item::heat() as it was before this hit
  MissReason miss = MissReason::None;
};

struct ItemShape {
  uint32_t value_bytes = 0;
  uint32_t client_flags = 0;
  Seconds expiry = kNever;
  bool base64_key = false;
  bool has_explicit_cas = false;
  uint64_t explicit_cas = 0;
};

enum class AllocateStatus : uint8_t {
  Ok,
  TooLarge,     // above CacheConfig::item_size_max
  OutOfMemory,  // -M and full, or too many drafts at once
  Busy,         // memory is there once running turns have ended: leave the turn and try again
};

enum class StorePolicy : uint8_t { Set, Add, Replace };

struct StoreRule {
  StorePolicy policy = StorePolicy::Set;
  bool compare_cas = false;
  uint64_t cas = 0;
  bool invalidate = false;  // with compare_cas: if the item's CAS is higher, store, mark stale, and
                            // leave the time and the win token as they were
  bool win_sent = false;    // publish with the win token already handed out (vivify)
};

enum class StoreStatus : uint8_t {
  Stored,
  NotStored,
  Exists,
  NotFound,
  OutOfMemory,
  TooLarge,
  NoRoomToCopy,  // of a large value; the old one stays
  Busy,          // of concat: as AllocateStatus::Busy; nothing has changed
};

struct StoreResult {
  StoreStatus status = StoreStatus::NotStored;
  const Item* item = nullptr;      // what is stored now; good until the end of the turn
  const Item* old_item = nullptr;  // what was there before, if a live item was; likewise
  uint64_t cas = 0;
};

// One store of Cache::put_many.
struct Put {
  KeyRef key;
  ItemShape shape;
  std::string_view value;
  StoreRule rule;
  StoreResult result;  // the answer
  Ref chunk = 0;       // core's own
};

struct ConcatRule {
  bool prepend = false;
  bool compare_cas = false;
  uint64_t cas = 0;
  bool has_explicit_cas = false;
  uint64_t explicit_cas = 0;
};

struct RemoveRule {
  bool compare_cas = false;
  uint64_t cas = 0;
  bool invalidate = false;    // keep the item, mark it stale, new CAS, token free again
  bool drop_value = false;    // keep the item, blank its value; alone it leaves the CAS
  uint32_t client_flags = 0;  // of the item without value
  bool set_expiry = false;    // with invalidate or drop_value
  Seconds expiry = kNever;
  bool has_explicit_cas = false;  // for the item that is kept
  uint64_t explicit_cas = 0;
};

// Busy: as AllocateStatus::Busy; nothing has changed.
enum class RemoveStatus : uint8_t { Removed, NotFound, Exists, OutOfMemory, Busy };

struct RemoveResult {
  RemoveStatus status = RemoveStatus::NotFound;
  const Item* item = nullptr;  // the item removed, or the one kept in its place
};

struct ArithRule {
  uint64_t delta = 1;
  bool decrement = false;  // floor at 0; incr wraps at 2^64
  bool compare_cas = false;
  uint64_t cas = 0;
  bool has_explicit_cas = false;
  uint64_t explicit_cas = 0;
  bool set_expiry = false;
  Seconds expiry = kNever;
};

// Busy: as AllocateStatus::Busy; nothing has changed.
enum class ArithStatus : uint8_t { Done, NotFound, NonNumeric, Exists, OutOfMemory, Busy };

struct ArithResult {
  ArithStatus status = ArithStatus::NotFound;
  uint64_t value = 0;
  uint64_t cas = 0;
  const Item* item = nullptr;      // the new item
  const Item* old_item = nullptr;  // the one it replaced (its heat before)
};

struct TouchResult {
  const Item* item = nullptr;  // null: not found. May be a copy of the item with another expiry
  Heat heat;                   // as it was before this touch
  MissReason miss = MissReason::None;
  AllocateStatus memory =
      AllocateStatus::Ok;  // for a copy: where it is another, nothing has changed
};

enum class EmptyPageStatus : uint8_t {
  Started,  // upkeep does it
  Busy,     // a page is being emptied already
  NoSpare,  // what lies in the class's sparsest page has no room in its others
};

}  // namespace larder::core
