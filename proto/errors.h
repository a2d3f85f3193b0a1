// Every way in which a request can be refused. The texts and binary statuses that go with them
// stand in one table, proto/error_lines.h.
#pragma once

#include <cstdint>

namespace larder::proto {

enum class ErrorId : uint8_t {
  None,
  UnknownCommand,          // ERROR; binary 0x81
  BadCommandLine,          // CLIENT_ERROR bad command line format
  BadCommandLineShort,     // CLIENT_ERROR bad command line
  BadDataChunk,            // CLIENT_ERROR bad data chunk
  LineTooLong,             // CLIENT_ERROR line too long
  TooLarge,                // SERVER_ERROR object too large for cache; binary 0x03
  OutOfMemory,             // SERVER_ERROR out of memory; binary 0x82 (md x, ma on a live item)
  OutOfMemoryStoring,      // SERVER_ERROR out of memory storing object; binary 0x82
  OutOfMemoryReading,      // SERVER_ERROR Out of memory during read; binary 0x82
  OutOfMemoryIncr,         // SERVER_ERROR out of memory; binary 0x82 with its own text
  OutOfMemoryNewItem,      // SERVER_ERROR Out of memory allocating new item (ma N, binary incr)
  OutOfMemoryResponse,     // SERVER_ERROR out of memory writing get response
  InvalidExptime,          // CLIENT_ERROR invalid exptime argument
  InvalidDelta,            // CLIENT_ERROR invalid numeric delta argument
  NonNumeric,              // CLIENT_ERROR cannot increment or decrement non-numeric value; 0x06
  FlushNotAllowed,         // CLIENT_ERROR flush_all not allowed; binary 0x20
  ShutdownNotEnabled,      // SERVER_ERROR: shutdown not enabled
  InvalidShutdownMode,     // CLIENT_ERROR invalid shutdown mode
  MemLimitTooSmall,        // MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m
  MemLimitMegabytes,       // MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes
  MemLimitFailed,          // MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust
  MetaFlagsTooLong,        // CLIENT_ERROR options flags are too long
  MetaDuplicateFlag,       // CLIENT_ERROR duplicate flag
  MetaInvalidFlag,         // CLIENT_ERROR invalid flag
  MetaInvalidOrDuplicate,  // CLIENT_ERROR invalid or duplicate flag
  MetaBadToken,            // CLIENT_ERROR bad token in command line format
  MetaInvalidInitial,      // CLIENT_ERROR invalid numeric initial value
  MetaInvalidDelta,        // CLIENT_ERROR invalid numeric delta value
  MetaOpaqueTooLong,       // CLIENT_ERROR opaque token too long
  MetaBadBase64,           // CLIENT_ERROR error decoding key
  MetaInvalidModeStore,    // CLIENT_ERROR invalid mode for ms M token
  MetaInvalidModeArith,    // CLIENT_ERROR invalid mode for ma M token
  BinaryInvalidArguments,  // binary 0x04, then close
  StatsDetailUsage,        // CLIENT_ERROR usage: stats detail on|off|dump
  StatsIllegalSlabId,      // CLIENT_ERROR Illegal slab id
  StatsDumpNotAllowed,     // CLIENT_ERROR stats cachedump not allowed
  StatsDetailNotAllowed,   // CLIENT_ERROR stats detail not allowed
  TlsNotEnabled,           // Error TLS not enabled (refresh_certs without -Z)
  TooManyConnections,      // ERROR Too many open connections
  Unauthenticated,         // CLIENT_ERROR unauthenticated; binary 0x20
  AuthenticationFailed,    // CLIENT_ERROR authentication failure; binary 0x20
  AuthTokenTooLong,        // CLIENT_ERROR auth token too long
  BadAuthToken,            // CLIENT_ERROR bad authentication token format
  BadLineTermination,      // CLIENT_ERROR bad command line termination
  CrawlerDisabled,         // CLIENT_ERROR lru crawler disabled
  CrawlerNotStarted,       // ERROR failed to start lru crawler thread
  CrawlerSleepTooLong,     // CLIENT_ERROR sleep must be one second or less
  CrawlerBusy,             // BUSY currently processing crawler request
  CrawlerBadClass,         // BADCLASS invalid class id
  CrawlerNothing,          // NOTSTARTED no items to crawl
  CrawlerUnknownError,     // ERROR an unknown error happened
  MetaDumpNotAllowed,      // ERROR metadump not allowed
  MgDumpNotAllowed,        // ERROR key dump not allowed
  MetaDumpPipelined,       // ERROR cannot pipeline other commands before metadump
  MgDumpPipelined,         // ERROR cannot pipeline other commands before mgdump
  SlabsReassignDisabled,   // CLIENT_ERROR slab reassignment disabled
  SlabsBusy,               // BUSY currently processing reassign request
  SlabsBadClass,           // BADCLASS invalid src or dst class id
  SlabsNoSpare,            // NOSPARE source class has no spare pages
  SlabsSameClass,          // SAME src and dst class are identical
  SlabsAutomoveWindow,     // CLIENT_ERROR automove window too low or too high
  LruPercents,             // ERROR hot and warm pcts must not exceed 80
  LruFactors,              // ERROR hot/warm age factors must be greater than 0
  WatchNotAllowed,         // CLIENT_ERROR watch commands not allowed
  WatchBehindOthers,       // ERROR cannot pipeline other commands before watch
  TooManyWatchers,         // WATCHER_TOO_MANY log watcher limit reached
  WatchFailed,             // WATCHER_FAILED failed to add log watcher
  ConfigNotAllowed,        // CLIENT_ERROR config set and delete not allowed; binary 0x20
  ConfigUnknownName,       // CLIENT_ERROR there is no configuration of this name
  ConfigBadBlock,          // CLIENT_ERROR bad configuration: and a sentence that the reply brings
  kCount,
};

}  // namespace larder::proto
