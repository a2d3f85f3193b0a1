#include "daemon/event.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

namespace larder::daemon {
namespace {

struct StreamName {
  std::string_view name;
  uint32_t stream;
};
// In memcached's order, then ours: where a beginning is that of several, the first one counts.
constexpr auto kStreamNames = std::to_array<StreamName>({
    {"rawcmds", Streams::kSilent},
    {"evictions", Streams::kEvictions},
    {"fetchers", Streams::kFetchers},
    {"mutations", Streams::kMutations},
    {"sysevents", Streams::kSysEvents},
    {"connevents", Streams::kConnEvents},
    {"proxyreqs", Streams::kSilent},
    {"proxyevents", Streams::kSilent},
    {"proxyuser", Streams::kSilent},
    {"deletions", Streams::kDeletions},
    {"changes", Streams::kChanges},
});

constexpr std::array<const char*, 4> kFetchStatuses = {"not_found", "found", "flushed", "expired"};
constexpr std::array<const char*, 6> kStoreOutcomes = {"not_stored", "stored",    "exists",
                                                       "not_found",  "too_large", "no_memory"};
constexpr std::array<const char*, 6> kStoreCommands = {"add",    "set",     "replace",
                                                       "append", "prepend", "cas"};
constexpr std::array<const char*, 3> kDeleteCommands = {"delete", "md", "set"};
constexpr std::array<const char*, 5> kChangeCommands = {"incr", "decr", "invalidate", "expire",
                                                        "vivify"};
constexpr std::array<const char*, 3> kTransports = {"local", "tcp", "udp"};
constexpr std::array<const char*, 4> kCloseReasons = {"error", "normal", "idle_timeout",
                                                      "shutdown"};

constexpr int64_t kMicroseconds = 1'000'000;

bool is_plain(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

void append_encoded(std::string_view key, std::string& out) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : key) {
    if (is_plain(c)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

template <class... Values>
[[gnu::format(printf, 2, 0)]] void append_format(std::string& out, const char* format,
                                                 Values... values) {
  char text[160];
  const int length = std::snprintf(text, sizeof text, format, values...);
  out.append(text, std::min(static_cast<size_t>(length), sizeof text - 1));
}

void append_key(const char* type, std::string_view key, std::string& out) {
  out += type;
  out += " key=";
  append_encoded(key, out);
}

void append_client(const char* type, const Event& event, std::string_view ip, std::string& out) {
  out += type;
  out += " rip=";
  out += ip;
  append_format(out, " rport=%" PRIu32 " transport=%s", event.number, kTransports[event.what]);
}

}  // namespace

uint32_t Streams::parse(std::string_view words) noexcept {
  if (words.empty()) return kFetchers;
  uint32_t streams = 0;
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find(' '));
    const auto* const named =
        std::find_if(kStreamNames.begin(), kStreamNames.end(),
                     [&](const StreamName& s) { return s.name.starts_with(word); });
    if (named == kStreamNames.end()) return 0;
    streams |= named->stream;
    words.remove_prefix(word.size());
    words.remove_prefix(std::min(words.find_first_not_of(' '), words.size()));
  }
  return streams;
}

uint32_t streams_of(const Event& event) noexcept {
  switch (event.kind) {
    case EventKind::ItemGet:
      return Streams::kFetchers;
    case EventKind::ItemStore:
      switch (static_cast<StoreOutcome>(event.what)) {
        case StoreOutcome::Stored:
        case StoreOutcome::TooLarge:  // a set that finds no room removes the old value
        case StoreOutcome::NoMemory:
          return Streams::kMutations | Streams::kChanges;
        case StoreOutcome::NotStored:
        case StoreOutcome::Exists:
        case StoreOutcome::NotFound:
          break;
      }
      return Streams::kMutations;
    case EventKind::Eviction:
      return Streams::kEvictions;
    case EventKind::Deleted:
      return event.what == static_cast<uint8_t>(DeletionShown::Everywhere)
                 ? Streams::kDeletions | Streams::kChanges
                 : Streams::kChanges;
    case EventKind::ConnNew:
    case EventKind::ConnClose:
    case EventKind::TlsError:
      return Streams::kConnEvents;
    case EventKind::SlabMove:
      return Streams::kSysEvents;
    case EventKind::ItemChange:
    case EventKind::FlushAll:
      return Streams::kChanges;
  }
  return 0;
}

void append_line(const Event& event, std::string_view text, std::string& out) {
  // memcached leaves out the zeros in front of the microseconds; with them it is a number.
  append_format(out,
                "ts=%" PRId64 ".%06" PRId64 " gid=%" PRIu64 " type=", event.unix_us / kMicroseconds,
                event.unix_us % kMicroseconds, event.gid);
  switch (event.kind) {
    case EventKind::ItemGet:
      append_key("item_get", text, out);
      append_format(out, " status=%s clsid=%" PRIu32 " cfd=%d size=%" PRIu32,
                    kFetchStatuses[event.what], event.size_class, event.fd, event.value_bytes);
      break;
    case EventKind::ItemStore:
      append_key("item_store", text, out);
      append_format(out, " status=%s cmd=%s ttl=%" PRIu32 " clsid=%" PRIu32 " cfd=%d size=%" PRIu32,
                    kStoreOutcomes[event.what], kStoreCommands[event.how],
                    static_cast<uint32_t>(event.ttl_seconds), event.size_class, event.fd,
                    event.value_bytes);
      break;
    case EventKind::Eviction:
      append_key("eviction", text, out);
      append_format(out, " fetch=%s ttl=%" PRId64 " la=%" PRIu32 " clsid=%" PRIu32 " size=%" PRIu32,
                    event.what != 0 ? "yes" : "no", event.ttl_seconds, event.number,
                    event.size_class, event.value_bytes);
      break;
    case EventKind::Deleted:
      append_key("deleted", text, out);
      append_format(out, " cmd=%s clsid=%" PRIu32 " size=%" PRIu32, kDeleteCommands[event.how],
                    event.size_class, event.value_bytes);
      break;
    case EventKind::ConnNew:
      append_client("conn_new", event, text, out);
      append_format(out, " cfd=%d", event.fd);
      break;
    case EventKind::ConnClose:
      append_client("conn_close", event, text, out);
      append_format(out, " reason=%s cfd=%d", kCloseReasons[event.how], event.fd);
      break;
    case EventKind::TlsError:
      append_format(out, "conntlserr fd=%d msg=", event.fd);
      out += text;
      break;
    case EventKind::SlabMove:
      append_format(out, "slab_move src=%" PRIu32 " dst=0 state=ok", event.size_class);
      break;
    case EventKind::ItemChange:
      append_key("item_change", text, out);
      append_format(out, " cmd=%s cfd=%d", kChangeCommands[event.how], event.fd);
      break;
    case EventKind::FlushAll:
      append_format(out, "flush_all cfd=%d", event.fd);
      break;
  }
  out += '\n';
}

Endpoint peer_endpoint(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return {"unknown", 0, Transport::Tcp};
  }
  char ip[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &in.sin_addr, ip, sizeof ip);
    return {ip, ntohs(in.sin_port), Transport::Tcp};
  }
  if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof ip);
    return {ip, ntohs(in6.sin6_port), Transport::Tcp};
  }
  return {"unix", 0, Transport::Local};
}

}  // namespace larder::daemon
