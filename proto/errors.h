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
  WatchNotAllowed,         // CLIENT_ERROR watch commands not allowed
  WatchBehindOthers,       // ERROR cannot pipeline other commands before watch
  TooManyWatchers,         // WATCHER_TOO_MANY log watcher limit reached
  WatchFailed,             // WATCHER_FAILED failed to add log watcher
  kCount,
};

}  // namespace larder::proto
