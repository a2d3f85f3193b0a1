// Command: what a client asked, one flat struct, the same for every protocol.
//
// Its shape is that of a meta command; classic and binary requests are spelled into it. `get a b c`
// is three Gets, the last of which says so; a run of binary getkq ended by noop is Gets and a Noop;
// so are pipelined mg lines. Multiget is therefore not a feature: it is what a batch sees anyway.
//
// Trivially copyable. Views point into the input buffer and are good until its bytes are released.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <type_traits>

#include "proto/errors.h"

namespace larder::proto {

enum class Dialect : uint8_t { Classic, Meta, Binary };

enum class Op : uint8_t {
  Get,        // get gets gat gats mg, binary get* gat*; with kTouch also sets the expiry
  Describe,   // me
  Store,      // set add replace append prepend cas ms, binary likewise; a value follows
  Remove,     // delete md
  Touch,      // touch, binary touch
  Arith,      // incr decr ma
  EndOfKeys,  // the end of a classic get line, where it stands apart from the last key: END
  Noop,       // mn, binary noop
  Flush,      // flush_all
  Stats,      // stats [args]
  Version,
  Verbosity,
  MemoryLimit,   // cache_memlimit <MiB>
  Crawler,       // lru_crawler <words>: proto/admin_parser.h reads `args`, here and below
  Slabs,         // slabs <words>
  Lru,           // lru <words>
  Shutdown,      // shutdown [graceful]
  DebugTime,     // debugtime p | r | <seconds>: debug build only
  RefreshCerts,  // refresh_certs
  Watch,         // watch [streams]: the connection shows what happens from now on
  ConfigGet,     // config get <name>, binary likewise: `key` is the name, here and below
  ConfigSet,     // config set <name> <flags> <bytes>: `args` is the block, which has come whole
  ConfigDelete,  // config delete <name>
  Quit,          // close; the binary form is answered first unless quiet
  Error,         // the request was malformed: answer `error`; see also `swallow_bytes`
};

enum class StoreMode : uint8_t { Set, Add, Replace, Append, Prepend };

// What the client wants done or answered, as bits.
struct Want {
  static constexpr uint32_t kValue = 1u << 0;         // the value in the reply
  static constexpr uint32_t kKey = 1u << 1;           // binary getk: the key in the reply
  static constexpr uint32_t kCas = 1u << 2;           // classic gets/gats: the CAS in the reply
  static constexpr uint32_t kQuiet = 1u << 3;         // noreply, meta q, binary quiet opcode
  static constexpr uint32_t kNoBump = 1u << 4;        // meta u: leave the eviction order alone
  static constexpr uint32_t kTouch = 1u << 5;         // gat, meta T on mg/md/ma: `exptime` is set
  static constexpr uint32_t kCompareCas = 1u << 6;    // `cas` must match
  static constexpr uint32_t kExplicitCas = 1u << 7;   // `new_cas` becomes the item's CAS (meta E)
  static constexpr uint32_t kVivify = 1u << 8;        // meta N: create on a miss, `vivify_exptime`
  static constexpr uint32_t kRecache = 1u << 9;       // meta R: win if TTL < `recache_exptime`
  static constexpr uint32_t kInvalidate = 1u << 10;   // meta I: mark stale
  static constexpr uint32_t kDropValue = 1u << 11;    // md x: keep the item, blank value and flags
  static constexpr uint32_t kBase64Key = 1u << 12;    // meta b; `key` is already decoded
  static constexpr uint32_t kDecrement = 1u << 13;    // Arith: subtract, floor at 0
  static constexpr uint32_t kDelay = 1u << 14;        // Flush: `exptime` holds a delay
  static constexpr uint32_t kRewind = 1u << 15;       // Error inside a classic get line: take back
                                                      // that line's replies while they are unsent
  static constexpr uint32_t kClose = 1u << 16;        // Error: close after answering
  static constexpr uint32_t kGraceful = 1u << 17;     // Shutdown: graceful
  static constexpr uint32_t kConditional = 1u << 18;  // mg C: a hit with this CAS has no value
  static constexpr uint32_t kLastKey = 1u << 19;  // classic Get: its line ends here, END follows
  static constexpr uint32_t kBehindOthers = 1u << 20;  // Watch: came in one piece with earlier
                                                       // commands; set by the request loop
};

struct Command {
  Op op = Op::Error;
  Dialect dialect = Dialect::Classic;
  StoreMode mode = StoreMode::Set;
  uint8_t opcode = 0;  // binary: as it came, echoed
  ErrorId error = ErrorId::None;
  uint32_t want = 0;  // Want bits

  std::string_view key;           // 1..250 bytes for commands that have one; decoded if base64
  std::string_view opaque;        // meta: what follows the O; binary: four raw bytes, echoed
  std::string_view return_flags;  // meta: the flags section of the line, as it came: the writer
                                  // walks it and answers what is asked, in the order asked
  std::string_view args;          // Stats, Watch: what follows the word, trimmed (binary: the key);
                                  // DebugTime: its argument; Shutdown, Crawler, Slabs, Lru: all;
                                  // ConfigSet: the block

  uint64_t cas = 0;      // compared if kCompareCas (or kConditional)
  uint64_t new_cas = 0;  // stored if kExplicitCas
  uint64_t delta = 1;    // Arith; MemoryLimit: MiB; Verbosity: level
  uint64_t initial = 0;  // Arith: value created if kVivify
  uint32_t client_flags = 0;
  uint32_t value_bytes = 0;    // Store: length of the value that follows (without \r\n)
  uint32_t swallow_bytes = 0;  // Error: bytes of body to skip before answering (with \r\n)

  // As the client sent them: 0 never, up to 30 days relative, above that unix time, negative
  // expired. Turned into cache seconds by the executor.
  int32_t exptime = 0;
  int32_t vivify_exptime = 0;
  int32_t recache_exptime = 0;

  // As freshly made; every command on the wire pays for it. Neither a temporary nor `Command()`,
  // which fills everything with zeros first, by an instruction that takes longer than all the rest.
  void reset() noexcept { ::new (static_cast<void*>(this)) Command; }

  // Turns into an Op::Error; of what was wanted it keeps whether it was quiet.
  void refuse(ErrorId why, uint32_t bytes_to_swallow = 0) noexcept {
    op = Op::Error;
    error = why;
    swallow_bytes = bytes_to_swallow;
    want &= Want::kQuiet;
  }

  bool wants(uint32_t bits) const noexcept { return (want & bits) != 0; }
  bool quiet() const noexcept { return wants(Want::kQuiet); }
};
static_assert(std::is_trivially_copyable_v<Command>);

// What a parser says after looking at the input. `consumed` bytes are done with (also when it asks
// for more: for instance blanks, or the part of a refused line that can be skipped already).
struct Parsed {
  enum class Status : uint8_t {
    Complete,  // `command` is filled in
    NeedMore,  // not a whole command yet
    Close,     // close without a word (HTTP guard, endless line, wrong magic for -B)
  };
  Status status = Status::NeedMore;
  size_t consumed = 0;
};

}  // namespace larder::proto
