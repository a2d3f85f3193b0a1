// Event: one thing that happened, as `watch` shows it; and the streams that watchers ask for.
//
// Fixed fields and a text (the key, or the address of a client), trivially copyable: it goes
// through a ring from the thread in which it happened to the one that spells it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace larder::daemon {

// What can be watched, as bits.
struct Streams {
  static constexpr uint32_t kFetchers = 1u << 0;    // item_get
  static constexpr uint32_t kMutations = 1u << 1;   // item_store
  static constexpr uint32_t kEvictions = 1u << 2;   // eviction
  static constexpr uint32_t kDeletions = 1u << 3;   // deleted
  static constexpr uint32_t kConnEvents = 1u << 4;  // conn_new, conn_close, conntlserr
  static constexpr uint32_t kSysEvents = 1u << 5;   // slab_move
  // May be asked for, and show nothing: as of memcached without its proxy, which also never writes
  // raw commands.
  static constexpr uint32_t kSilent = 1u << 6;
  // Ours: every request that changed or removed an item or was to do so, by any protocol
  // (item_store, item_change, deleted, flush_all).
  static constexpr uint32_t kChanges = 1u << 7;

  // The streams of a watch command; of an empty one kFetchers. As memcached has it, any beginning
  // of a name will do. 0: some word is none.
  static uint32_t parse(std::string_view words) noexcept;
};

enum class EventKind : uint8_t {
  ItemGet,
  ItemStore,
  Eviction,
  Deleted,
  ConnNew,
  ConnClose,
  TlsError,
  SlabMove,
  ItemChange,  // kChanges alone: a change that memcached does not show
  FlushAll     // likewise
};

enum class FetchStatus : uint8_t { NotFound, Found, Flushed, Expired };
enum class StoreOutcome : uint8_t { NotStored, Stored, Exists, NotFound, TooLarge, NoMemory };
enum class StoreCommand : uint8_t { Add, Set, Replace, Append, Prepend, Cas };
enum class DeleteCommand : uint8_t { Delete, Md, RefusedSet };
enum class ChangeCommand : uint8_t { Incr, Decr, Invalidate, Expire, Vivify };
// Of Deleted: whether kDeletions shows it, which are memcached's.
enum class DeletionShown : uint8_t { Everywhere, InChanges };
enum class Transport : uint8_t { Local, Tcp, Udp };
enum class CloseReason : uint8_t { Error, Normal, IdleTimeout, Shutdown };

struct Event {
  static constexpr size_t kMaxTextBytes = 255;

  uint32_t record_bytes = 0;  // of the whole record: the ring's
  EventKind kind = EventKind::ItemGet;
  uint8_t text_bytes = 0;  // the ring's
  // FetchStatus, StoreOutcome, DeletionShown, Transport; of an eviction: 1 if it was fetched
  uint8_t what = 0;
  uint8_t how = 0;   // StoreCommand, DeleteCommand, ChangeCommand, CloseReason
  uint64_t gid = 0;  // numbers all events of the process
  int64_t unix_us = 0;
  int64_t ttl_seconds = 0;  // of an eviction -1: never
  uint32_t value_bytes = 0;
  uint32_t size_class = 0;  // numbered from 1; 0: none
  int32_t fd = -1;          // of the client
  uint32_t number = 0;      // of an eviction: seconds since the last access; of a client: its port
};

// The streams that show the event.
uint32_t streams_of(const Event& event) noexcept;

// Appends the event's line, with its newline, as memcached 1.6.45 spells it, which has no
// item_change and no flush_all. Keys are URI-encoded.
void append_line(const Event& event, std::string_view text, std::string& out);

// At the other end of a socket, as conn_new and conn_close show it.
struct Endpoint {
  std::string ip;  // "unix" of a unix socket, "unknown" if the system does not say any more
  uint16_t port = 0;
  Transport transport = Transport::Tcp;
};
Endpoint peer_endpoint(int fd);

}  // namespace larder::daemon
