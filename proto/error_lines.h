// Every error text and binary status on the wire, one table indexed by ErrorId.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proto/errors.h"

namespace larder::proto {

// Response status of the binary protocol (protocol_binary.txt, "Response Status").
enum class BinaryStatus : uint16_t {
  Ok = 0x00,
  NotFound = 0x01,
  Exists = 0x02,
  TooLarge = 0x03,
  InvalidArguments = 0x04,
  NotStored = 0x05,
  NonNumeric = 0x06,
  AuthFailure = 0x20,
  AuthContinue = 0x21,
  UnknownCommand = 0x81,
  OutOfMemory = 0x82,
};

// The body that goes with a status where the error has no text of its own.
constexpr std::string_view binary_status_text(BinaryStatus status) noexcept {
  switch (status) {
    case BinaryStatus::Ok:
    case BinaryStatus::AuthContinue:
      return "";
    case BinaryStatus::NotFound:
      return "Not found";
    case BinaryStatus::Exists:
      return "Data exists for key.";
    case BinaryStatus::TooLarge:
      return "Too large.";
    case BinaryStatus::InvalidArguments:
      return "Invalid arguments";
    case BinaryStatus::NotStored:
      return "Not stored.";
    case BinaryStatus::NonNumeric:
      return "Non-numeric server-side value for incr or decr";
    case BinaryStatus::AuthFailure:
      return "Auth failure.";
    case BinaryStatus::UnknownCommand:
      return "Unknown command";
    case BinaryStatus::OutOfMemory:
      return "Out of memory";
  }
  return "";
}

struct ErrorLine {
  ErrorId id;
  std::string_view text;  // classic and meta, without \r\n
  BinaryStatus status;
  std::string_view binary_text;
};

namespace error_lines_detail {
// An error that only text can meet: binary would call it invalid arguments.
constexpr ErrorLine text(ErrorId id, std::string_view line) {
  return {id, line, BinaryStatus::InvalidArguments,
          binary_status_text(BinaryStatus::InvalidArguments)};
}
constexpr ErrorLine both(ErrorId id, std::string_view line, BinaryStatus status) {
  return {id, line, status, binary_status_text(status)};
}
constexpr ErrorLine memory(ErrorId id, std::string_view line, std::string_view binary) {
  return {id, line, BinaryStatus::OutOfMemory, binary};
}
}  // namespace error_lines_detail

inline constexpr auto kErrorLines = [] {
  using enum ErrorId;
  using error_lines_detail::both;
  using error_lines_detail::memory;
  using error_lines_detail::text;
  using S = BinaryStatus;
  return std::to_array<ErrorLine>({
      {None, "", S::Ok, ""},
      both(UnknownCommand, "ERROR", S::UnknownCommand),
      text(BadCommandLine, "CLIENT_ERROR bad command line format"),
      text(BadCommandLineShort, "CLIENT_ERROR bad command line"),
      text(BadDataChunk, "CLIENT_ERROR bad data chunk"),
      text(LineTooLong, "CLIENT_ERROR line too long"),
      both(TooLarge, "SERVER_ERROR object too large for cache", S::TooLarge),
      memory(OutOfMemory, "SERVER_ERROR out of memory", "Out of memory"),
      memory(OutOfMemoryStoring, "SERVER_ERROR out of memory storing object",
             "Out of memory allocating item"),
      memory(OutOfMemoryReading, "SERVER_ERROR Out of memory during read",
             "Out of memory during read"),
      memory(OutOfMemoryIncr, "SERVER_ERROR out of memory", "Out of memory incrementing value"),
      memory(OutOfMemoryNewItem, "SERVER_ERROR Out of memory allocating new item",
             "Out of memory allocating new item"),
      memory(OutOfMemoryResponse, "SERVER_ERROR out of memory writing get response",
             "Out of memory"),
      text(InvalidExptime, "CLIENT_ERROR invalid exptime argument"),
      text(InvalidDelta, "CLIENT_ERROR invalid numeric delta argument"),
      both(NonNumeric, "CLIENT_ERROR cannot increment or decrement non-numeric value",
           S::NonNumeric),
      both(FlushNotAllowed, "CLIENT_ERROR flush_all not allowed", S::AuthFailure),
      text(ShutdownNotEnabled, "SERVER_ERROR: shutdown not enabled"),
      text(InvalidShutdownMode, "CLIENT_ERROR invalid shutdown mode"),
      text(MemLimitTooSmall, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m"),
      text(MemLimitMegabytes, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes"),
      text(MemLimitFailed, "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust"),
      text(MetaFlagsTooLong, "CLIENT_ERROR options flags are too long"),
      text(MetaDuplicateFlag, "CLIENT_ERROR duplicate flag"),
      text(MetaInvalidFlag, "CLIENT_ERROR invalid flag"),
      text(MetaInvalidOrDuplicate, "CLIENT_ERROR invalid or duplicate flag"),
      text(MetaBadToken, "CLIENT_ERROR bad token in command line format"),
      text(MetaInvalidInitial, "CLIENT_ERROR invalid numeric initial value"),
      text(MetaInvalidDelta, "CLIENT_ERROR invalid numeric delta value"),
      text(MetaOpaqueTooLong, "CLIENT_ERROR opaque token too long"),
      text(MetaBadBase64, "CLIENT_ERROR error decoding key"),
      text(MetaInvalidModeStore, "CLIENT_ERROR invalid mode for ms M token"),
      text(MetaInvalidModeArith, "CLIENT_ERROR invalid mode for ma M token"),
      text(BinaryInvalidArguments, "CLIENT_ERROR invalid arguments"),
      text(StatsDetailUsage, "CLIENT_ERROR usage: stats detail on|off|dump"),
      text(StatsIllegalSlabId, "CLIENT_ERROR Illegal slab id"),
      text(StatsDumpNotAllowed, "CLIENT_ERROR stats cachedump not allowed"),
      text(StatsDetailNotAllowed, "CLIENT_ERROR stats detail not allowed"),
      text(TlsNotEnabled, "Error TLS not enabled"),
      text(TooManyConnections, "ERROR Too many open connections"),
      both(Unauthenticated, "CLIENT_ERROR unauthenticated", S::AuthFailure),
      both(AuthenticationFailed, "CLIENT_ERROR authentication failure", S::AuthFailure),
      text(AuthTokenTooLong, "CLIENT_ERROR auth token too long"),
      text(BadAuthToken, "CLIENT_ERROR bad authentication token format"),
      text(BadLineTermination, "CLIENT_ERROR bad command line termination"),
      text(CrawlerDisabled, "CLIENT_ERROR lru crawler disabled"),
      text(CrawlerNotStarted, "ERROR failed to start lru crawler thread"),
      text(CrawlerSleepTooLong, "CLIENT_ERROR sleep must be one second or less"),
      text(CrawlerBusy, "BUSY currently processing crawler request"),
      text(CrawlerBadClass, "BADCLASS invalid class id"),
      text(CrawlerNothing, "NOTSTARTED no items to crawl"),
      text(CrawlerUnknownError, "ERROR an unknown error happened"),
      text(MetaDumpNotAllowed, "ERROR metadump not allowed"),
      text(MgDumpNotAllowed, "ERROR key dump not allowed"),
      text(MetaDumpPipelined, "ERROR cannot pipeline other commands before metadump"),
      text(MgDumpPipelined, "ERROR cannot pipeline other commands before mgdump"),
      text(SlabsReassignDisabled, "CLIENT_ERROR slab reassignment disabled"),
      text(SlabsBusy, "BUSY currently processing reassign request"),
      text(SlabsBadClass, "BADCLASS invalid src or dst class id"),
      text(SlabsNoSpare, "NOSPARE source class has no spare pages"),
      text(SlabsSameClass, "SAME src and dst class are identical"),
      text(SlabsAutomoveWindow, "CLIENT_ERROR automove window too low or too high"),
      text(LruPercents, "ERROR hot and warm pcts must not exceed 80"),
      text(LruFactors, "ERROR hot/warm age factors must be greater than 0"),
      text(WatchNotAllowed, "CLIENT_ERROR watch commands not allowed"),
      text(WatchBehindOthers, "ERROR cannot pipeline other commands before watch"),
      text(TooManyWatchers, "WATCHER_TOO_MANY log watcher limit reached"),
      text(WatchFailed, "WATCHER_FAILED failed to add log watcher"),
      both(ConfigNotAllowed, "CLIENT_ERROR config set and delete not allowed", S::AuthFailure),
      text(ConfigUnknownName, "CLIENT_ERROR there is no configuration of this name"),
      text(ConfigBadBlock, "CLIENT_ERROR bad configuration"),
  });
}();

constexpr const ErrorLine& error_line(ErrorId id) noexcept {
  return kErrorLines[static_cast<size_t>(id)];
}

// Every id has its row, in its place, with something to say to either kind of client.
static_assert(kErrorLines.size() == static_cast<size_t>(ErrorId::kCount));
static_assert([] {
  for (size_t i = 0; i < kErrorLines.size(); ++i) {
    const ErrorLine& line = kErrorLines[i];
    if (static_cast<size_t>(line.id) != i) return false;
    const bool silent = line.id == ErrorId::None;
    if (line.text.empty() != silent || line.binary_text.empty() != silent) return false;
  }
  return true;
}());

}  // namespace larder::proto
