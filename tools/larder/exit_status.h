// Exit statuses of `larder`, which scripts can rely on. --help and the man page show this table.
#pragma once

#include "tools/client/result.h"

namespace larder::operate {

constexpr int kFine = 0;
constexpr int kBadInput = 1;
constexpr int kNoSuchRing = 2;
constexpr int kNotThere = 3;
constexpr int kUnreachable = 4;
constexpr int kDenied = 5;
constexpr int kRefused = 6;
constexpr int kUnhealthy = 7;
constexpr int kOutputLost = 8;
constexpr int kOutOfResources = 9;

struct ExitStatus {
  int status;
  const char* meaning;
};

constexpr ExitStatus kExitStatuses[] = {
    {kFine, "all is well"},
    {kBadInput, "an option, a value or a file makes no sense"},
    {kNoSuchRing, "the software of ring --format cannot have this ring of these servers"},
    {kNotThere, "a key is not there, or was not stored because it is"},
    {kUnreachable,
     "a server could not be reached, was too slow, or went away, or copy deleted what it had "
     "added"},
    {kDenied, "a server wants a login, does not accept this one, or no TLS was agreed on"},
    {kRefused,
     "a server refused the command, sent no valid reply to it, or has an item that dump or copy "
     "could not read"},
    {kUnhealthy, "check found a problem"},
    {kOutputLost, "standard output or the file of dump could not be written in whole"},
    {kOutOfResources, "larder ran out of memory, threads or descriptors, or failed in itself"},
};

// Where several things went wrong, the largest status counts.
inline int status_of(const client::Error& error) {
  if (error.is_local) return kOutOfResources;
  switch (error.kind) {
    case client::ErrorKind::BadRequest:
      return kBadInput;
    case client::ErrorKind::Unreachable:
    case client::ErrorKind::Timeout:
    case client::ErrorKind::Closed:
    case client::ErrorKind::Ejected:
      return kUnreachable;
    case client::ErrorKind::Denied:
      return kDenied;
    case client::ErrorKind::Refused:
    case client::ErrorKind::TooLarge:
    case client::ErrorKind::Protocol:
      return kRefused;
  }
  return kRefused;
}

}  // namespace larder::operate
