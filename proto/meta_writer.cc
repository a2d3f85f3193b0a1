#include "proto/meta_writer.h"

#include "proto/base64.h"
#include "proto/limits.h"
#include "proto/put.h"
#include "proto/text_writer.h"
#include "proto/value_writer.h"

namespace larder::proto {
namespace {

constexpr std::string_view kCrlf = "\r\n";

// Every return flag once, at its longest: a blank and a letter before each, and for the key its
// base64 form with the b that follows. Then marks and \r\n.
constexpr size_t kNumberFlagBytes = 2 + kDigits64;
constexpr size_t kFlagsBytes =
    6 * kNumberFlagBytes + (2 + kMaxBase64KeyBytes + 2) + (1 + kMaxOpaqueTokenBytes) + 6 + 2;
// "VA " and a length.
constexpr size_t kStatusBytes = 3 + kDigits32;

std::string_view next_token(std::string_view& rest) noexcept {
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  size_t size = 0;
  while (size < rest.size() && rest[size] != ' ') ++size;
  const std::string_view token = rest.substr(0, size);
  rest.remove_prefix(size);
  return token;
}

char* put_key(char* p, std::string_view key, bool base64) noexcept {
  if (!base64) return put_short(p, key);
  return base64_encode(key, p);
}

char* put_key_flag(char* p, std::string_view key, bool base64) noexcept {
  p = put_key(put(p, " k"), key, base64);
  return base64 ? put(p, " b") : p;
}

char* put_flag(char* p, char letter, uint64_t number) noexcept {
  p = put(p, ' ');
  return put_number(put(p, letter), number);
}

// t: seconds left, -1 for never.
char* put_ttl(char* p, int64_t seconds) noexcept {
  if (seconds < 0) return put(p, " t-1");
  return put_flag(p, 't', static_cast<uint64_t>(seconds));
}

// What k and O ask for: all that a reply without an item has to say.
char* put_echoes(char* p, const Command& command) noexcept {
  std::string_view rest = command.return_flags;
  for (std::string_view token = next_token(rest); !token.empty(); token = next_token(rest)) {
    if (token[0] == 'O') p = put_short(put(p, ' '), token);
    if (token[0] == 'k') p = put_key_flag(p, command.key, command.wants(Want::kBase64Key));
  }
  return p;
}

void write_echoes(std::string_view status, const Command& command, ReplyBuffer& out) {
  char* p = out.reserve(kStatusBytes + kFlagsBytes);
  p = put_echoes(put_short(p, status), command);
  out.commit_to(put(p, "\r\n"));
}

// The flags of a hit of mg.
char* put_item_flags(char* p, const Command& command, const Reply& reply) noexcept {
  std::string_view rest = command.return_flags;
  for (std::string_view token = next_token(rest); !token.empty(); token = next_token(rest)) {
    switch (token[0]) {
      case 'c':
        p = put_flag(p, 'c', reply.cas);
        break;
      case 'f':
        p = put_flag(p, 'f', reply.client_flags);
        break;
      case 'h':
        p = put_flag(p, 'h', reply.fetched ? 1 : 0);
        break;
      case 'k':
        p = put_key_flag(p, reply.key, reply.base64_key);
        break;
      case 'l':
        p = put_flag(p, 'l', reply.last_access_seconds);
        break;
      case 'O':
        p = put_short(put(p, ' '), token);
        break;
      case 's':
        p = put_flag(p, 's', reply.value_bytes);
        break;
      case 't':
        p = put_ttl(p, reply.ttl_seconds);
        break;
      default:
        break;
    }
  }
  if (reply.win_sent) p = put(p, " Z");
  if (reply.stale) p = put(p, " X");
  if (reply.won) p = put(p, " W");
  return p;
}

void write_get(const Command& command, const Reply& reply, ReplyBuffer& out) {
  if (reply.status != Status::Hit) {
    if (!command.quiet()) write_echoes("EN", command, out);
    return;
  }
  const bool with_value = command.wants(Want::kValue) && !reply.value_dropped;
  char* p = out.reserve(kStatusBytes + kFlagsBytes + (with_value ? value_room(reply, kCrlf) : 0));
  p = with_value ? put_number(put(p, "VA "), value_bytes(reply)) : put(p, "HD");
  p = put(put_item_flags(p, command, reply), "\r\n");
  if (!with_value) return out.commit_to(p);
  finish_with_value(p, reply, kCrlf, out);
}

void write_store(const Command& command, const Reply& reply, ReplyBuffer& out) {
  const bool stored = reply.status == Status::Ok;
  if (stored && command.quiet()) return;
  char* p = out.reserve(kStatusBytes + kFlagsBytes);
  switch (reply.status) {
    case Status::NotStored:
      p = put(p, "NS");
      break;
    case Status::Exists:
      p = put(p, "EX");
      break;
    case Status::NotFound:
    case Status::Miss:
      p = put(p, "NF");
      break;
    default:
      p = put(p, "HD");
  }
  std::string_view rest = command.return_flags;
  for (std::string_view token = next_token(rest); !token.empty(); token = next_token(rest)) {
    switch (token[0]) {
      case 'c':  // of what is stored now; 0 if nothing was
        p = put_flag(p, 'c', stored ? reply.cas : 0);
        break;
      case 'k':
        p = put_key_flag(p, command.key, command.wants(Want::kBase64Key));
        break;
      case 'O':
        p = put_short(put(p, ' '), token);
        break;
      case 's':  // of the whole value after an append; else of what was sent
        p = put_flag(p, 's', stored ? reply.value_bytes : command.value_bytes);
        break;
      default:
        break;
    }
  }
  out.commit_to(put(p, "\r\n"));
}

void write_remove(const Command& command, const Reply& reply, ReplyBuffer& out) {
  switch (reply.status) {
    case Status::Exists:
      return write_echoes("EX", command, out);
    case Status::NotFound:
    case Status::Miss:
      return write_echoes("NF", command, out);
    case Status::NotStored:
      return write_echoes("NS", command, out);
    default:
      if (!command.quiet()) write_echoes("HD", command, out);
  }
}

void write_arith(const Command& command, const Reply& reply, ReplyBuffer& out) {
  switch (reply.status) {
    case Status::Exists:
      return write_echoes("EX", command, out);
    case Status::NotFound:
    case Status::Miss:
      return write_echoes("NF", command, out);
    case Status::NotStored:
      return write_echoes("NS", command, out);
    default:
      break;
  }
  if (command.quiet()) return;
  char* p = out.reserve(kStatusBytes + kFlagsBytes + kDigits64 + 2);
  char number[kDigits64];
  const std::string_view value(number,
                               static_cast<size_t>(put_number(number, reply.number) - number));
  const bool with_value = command.wants(Want::kValue);
  p = with_value ? put_number(put(p, "VA "), value.size()) : put(p, "HD");
  std::string_view rest = command.return_flags;
  for (std::string_view token = next_token(rest); !token.empty(); token = next_token(rest)) {
    switch (token[0]) {
      case 'c':
        p = put_flag(p, 'c', reply.cas);
        break;
      case 'k':
        p = put_key_flag(p, command.key, command.wants(Want::kBase64Key));
        break;
      case 'O':
        p = put_short(put(p, ' '), token);
        break;
      case 't':
        p = put_ttl(p, reply.ttl_seconds);
        break;
      default:
        break;
    }
  }
  p = put(p, "\r\n");
  if (with_value) p = put(put_short(p, value), "\r\n");
  out.commit_to(p);
}

// me: for people, and so with names.
void write_describe(const Reply& reply, ReplyBuffer& out) {
  if (reply.status != Status::Hit) return write_line("EN", out);
  char* p = out.reserve(3 + kMaxBase64KeyBytes + 64 + 6 * kDigits64);
  p = put_key(put(p, "ME "), reply.key, reply.base64_key);
  p = put(p, " exp=");
  p = reply.ttl_seconds < 0 ? put(p, "-1")
                            : put_number(p, static_cast<uint64_t>(reply.ttl_seconds));
  p = put_number(put(p, " la="), reply.last_access_seconds);
  p = put_number(put(p, " cas="), reply.cas);
  p = reply.fetched ? put(p, " fetch=yes") : put(p, " fetch=no");
  p = put_number(put(p, " cls="), reply.size_class);
  p = put_number(put(p, " size="), reply.item_bytes);
  out.commit_to(put(p, "\r\n"));
}

}  // namespace

void write_meta(const Command& command, const Reply& reply, ReplyBuffer& out) {
  if (command.op == Op::Noop) return out.copy("MN\r\n");
  if (command.op == Op::Error) {
    return write_error_line(reply.error != ErrorId::None ? reply.error : command.error, out);
  }
  if (reply.status == Status::None) return;
  if (reply.status == Status::Error) return write_error_line(reply.error, out);
  switch (command.op) {
    case Op::Get:
      return write_get(command, reply, out);
    case Op::Store:
      return write_store(command, reply, out);
    case Op::Remove:
      return write_remove(command, reply, out);
    case Op::Arith:
      return write_arith(command, reply, out);
    case Op::Describe:
      return write_describe(reply, out);
    default:
      return;  // there are no other meta commands
  }
}

}  // namespace larder::proto
