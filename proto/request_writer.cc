#include "proto/request_writer.h"

#include <cstring>

#include "proto/base64.h"
#include "proto/binary_header.h"
#include "proto/limits.h"
#include "proto/put.h"
#include "proto/value_writer.h"
#include "proto/verbs.h"

namespace larder::proto {
namespace {

constexpr std::string_view kCrlf = "\r\n";
constexpr uint32_t kDoNotCreate = 0xffffffff;

// Verb, key and every number a line can have, with a blank or a letter before each.
constexpr size_t kLineBytes = 16 + kMaxBase64KeyBytes + 12 * (2 + kDigits64) + 16;

// The value behind a head that ends at `p`, which has room for a short one and the trailer.
void finish(char* p, std::string_view value, std::string_view trailer, ReplyBuffer& out) {
  if (value.size() <= kCopyLimitBytes) {
    if (!value.empty()) std::memcpy(p, value.data(), value.size());
    return out.commit_to(put_short(p + value.size(), trailer));
  }
  out.commit_to(p);
  out.refer(value, value.data());
  out.copy(trailer);
}

size_t room_for(std::string_view value) noexcept {
  return value.size() <= kCopyLimitBytes ? value.size() + kCrlf.size() : 0;
}

char* put_signed(char* p, int32_t value) noexcept {
  if (value >= 0) return put_number(p, static_cast<uint64_t>(value));
  return put_number(put(p, '-'), static_cast<uint64_t>(-int64_t{value}));
}

// -- Classic.

char* put_line_end(char* p, const Command& command) noexcept {
  if (command.quiet()) p = put(p, " noreply");
  return put(p, "\r\n");
}

std::string_view get_word(const Command& command) noexcept {
  if (command.wants(Want::kTouch)) return command.wants(Want::kCas) ? "gats " : "gat ";
  return command.wants(Want::kCas) ? "gets " : "get ";
}

std::string_view store_word(const Command& command) noexcept {
  switch (command.mode) {
    case StoreMode::Set:
      return command.wants(Want::kCompareCas) ? "cas " : "set ";
    case StoreMode::Add:
      return "add ";
    case StoreMode::Replace:
      return "replace ";
    case StoreMode::Append:
      return "append ";
    case StoreMode::Prepend:
      return "prepend ";
  }
  return "set ";
}

void write_store_line(const Command& command, std::string_view value, ReplyBuffer& out) {
  char* p = out.reserve(kLineBytes + room_for(value));
  p = put_short(put_short(p, store_word(command)), command.key);
  p = put_number(put(p, ' '), command.client_flags);
  p = put_signed(put(p, ' '), command.exptime);
  p = put_number(put(p, ' '), value.size());
  if (command.wants(Want::kCompareCas)) p = put_number(put(p, ' '), command.cas);
  finish(put_line_end(p, command), value, kCrlf, out);
}

bool write_classic(const Command& command, std::string_view value, ReplyBuffer& out) {
  if (command.op == Op::Store) {
    write_store_line(command, value, out);
    return true;
  }
  char* p = out.reserve(kLineBytes);
  switch (command.op) {
    case Op::Get:
      p = put_short(p, get_word(command));
      if (command.wants(Want::kTouch)) p = put(put_signed(p, command.exptime), ' ');
      out.commit_to(put(put_short(p, command.key), "\r\n"));
      return true;
    case Op::Remove:
      p = put_short(put(p, "delete "), command.key);
      break;
    case Op::Touch:
      p = put_short(put(p, "touch "), command.key);
      p = put_signed(put(p, ' '), command.exptime);
      break;
    case Op::Arith:
      p = put_short(p, command.wants(Want::kDecrement) ? "decr " : "incr ");
      p = put_number(put(put_short(p, command.key), ' '), command.delta);
      break;
    case Op::Flush:
      p = put(p, "flush_all");
      if (command.wants(Want::kDelay)) p = put_signed(put(p, ' '), command.exptime);
      break;
    case Op::Version:
      out.commit_to(put(p, "version\r\n"));
      return true;
    case Op::Quit:
      out.commit_to(put(p, "quit\r\n"));
      return true;
    default:
      return false;
  }
  out.commit_to(put_line_end(p, command));
  return true;
}

// -- Meta.

char* put_number_flag(char* p, char letter, uint64_t value) noexcept {
  return put_number(put(put(p, ' '), letter), value);
}

char* put_time_flag(char* p, char letter, int32_t value) noexcept {
  return put_signed(put(put(p, ' '), letter), value);
}

// What stands for each mode but Set, which needs no word.
char mode_letter(StoreMode mode) noexcept {
  switch (mode) {
    case StoreMode::Set:
      return 'S';
    case StoreMode::Add:
      return 'E';
    case StoreMode::Replace:
      return 'R';
    case StoreMode::Append:
      return 'A';
    case StoreMode::Prepend:
      return 'P';
  }
  return 'S';
}

char* put_store_flags(char* p, const Command& command) noexcept {
  if (command.mode != StoreMode::Set) p = put(put(p, " M"), mode_letter(command.mode));
  if (command.client_flags != 0) p = put_number_flag(p, 'F', command.client_flags);
  if (command.exptime != 0) p = put_time_flag(p, 'T', command.exptime);
  return p;
}

char* put_arith_flags(char* p, const Command& command) noexcept {
  if (command.wants(Want::kDecrement)) p = put(p, " MD");
  if (command.delta != 1) p = put_number_flag(p, 'D', command.delta);
  if (command.wants(Want::kVivify)) p = put_number_flag(p, 'J', command.initial);
  if (command.wants(Want::kTouch)) p = put_time_flag(p, 'T', command.exptime);
  return p;
}

// Flags that mean the same to every command that has them.
char* put_common_flags(char* p, const Command& command) noexcept {
  if (command.wants(Want::kBase64Key)) p = put(p, " b");
  if (command.wants(Want::kQuiet)) p = put(p, " q");
  if (command.wants(Want::kNoBump)) p = put(p, " u");
  if (command.wants(Want::kDropValue)) p = put(p, " x");
  if (command.wants(Want::kInvalidate)) p = put(p, " I");
  if (command.wants(Want::kCompareCas | Want::kConditional)) {
    p = put_number_flag(p, 'C', command.cas);
  }
  if (command.wants(Want::kExplicitCas)) p = put_number_flag(p, 'E', command.new_cas);
  if (command.wants(Want::kVivify)) p = put_time_flag(p, 'N', command.vivify_exptime);
  if (command.wants(Want::kRecache)) p = put_time_flag(p, 'R', command.recache_exptime);
  if (!command.opaque.empty()) p = put_short(put(p, " O"), command.opaque);
  if (!command.return_flags.empty()) p = put_short(put(p, ' '), command.return_flags);
  return p;
}

std::string_view meta_word(Op op) noexcept {
  switch (op) {
    case Op::Get:
      return "mg ";
    case Op::Store:
      return "ms ";
    case Op::Remove:
      return "md ";
    case Op::Arith:
      return "ma ";
    default:
      return {};
  }
}

bool write_meta_request(const Command& command, std::string_view value, ReplyBuffer& out) {
  if (command.op == Op::Noop) {
    out.copy("mn\r\n");
    return true;
  }
  const std::string_view word = meta_word(command.op);
  if (word.empty()) {
    return command.op != Op::Touch && write_classic(command, value, out);
  }
  char* p = out.reserve(kLineBytes + command.opaque.size() + command.return_flags.size() +
                        room_for(value));
  p = put_short(p, word);
  p = command.wants(Want::kBase64Key) ? base64_encode(command.key, p) : put_short(p, command.key);
  if (command.op == Op::Store) p = put_number(put(p, ' '), value.size());
  if (command.wants(Want::kValue)) p = put(p, " v");
  if (command.op == Op::Store) {
    p = put_store_flags(p, command);
  } else if (command.op == Op::Arith) {
    p = put_arith_flags(p, command);
  } else if (command.wants(Want::kTouch)) {
    p = put_time_flag(p, 'T', command.exptime);
  }
  p = put(put_common_flags(p, command), "\r\n");
  if (command.op == Op::Store) {
    finish(p, value, kCrlf, out);
  } else {
    out.commit_to(p);
  }
  return true;
}

// -- Binary.

// The row of a command; null if there is none. Compares what tells opcodes apart, and leaves out
// what stands in other fields of the request.
const BinaryVerb* verb_of(const Command& command) noexcept {
  constexpr uint32_t kTold =
      Want::kValue | Want::kKey | Want::kQuiet | Want::kTouch | Want::kDecrement;
  for (const BinaryVerb& verb : kBinaryVerbs) {
    if (verb.op == command.op && verb.mode == command.mode &&
        ((verb.want ^ command.want) & kTold) == 0 && verb.op != Op::Error) {
      return &verb;
    }
  }
  return nullptr;
}

// Writes the extras of the shape and returns where they end.
char* put_extras(char* p, const Command& command, BinaryShape shape) noexcept {
  const auto exptime = static_cast<uint32_t>(command.exptime);
  switch (shape) {
    case BinaryShape::Value:
      return put_big_endian(put_big_endian(p, command.client_flags), exptime);
    case BinaryShape::KeyTime:
      return put_big_endian(p, exptime);
    case BinaryShape::Arith: {
      const uint32_t vivify = command.wants(Want::kVivify)
                                  ? static_cast<uint32_t>(command.vivify_exptime)
                                  : kDoNotCreate;
      p = put_big_endian(put_big_endian(p, command.delta), command.initial);
      return put_big_endian(p, vivify);
    }
    case BinaryShape::Flush:
      return command.wants(Want::kDelay) ? put_big_endian(p, exptime) : p;
    default:
      return p;
  }
}

bool write_binary_request(const Command& command, std::string_view value, ReplyBuffer& out) {
  const BinaryVerb* const verb = verb_of(command);
  if (verb == nullptr) return false;
  const std::string_view stored = command.op == Op::Store ? value : std::string_view{};
  char* const head = out.reserve(BinaryRequestHeader::kBytes + kArithExtrasBytes +
                                 command.key.size() + room_for(stored));
  char* const extras = head + BinaryRequestHeader::kBytes;
  char* const key = put_extras(extras, command, verb->shape);
  char* const end = put_short(key, command.key);
  const auto extras_bytes = static_cast<uint8_t>(key - extras);
  put_binary_request_header(
      head, {.opcode = verb->opcode,
             .opaque = command.opaque,
             .extras_bytes = extras_bytes,
             .key_bytes = static_cast<uint16_t>(command.key.size()),
             .body_bytes = static_cast<uint32_t>(extras_bytes + command.key.size() + stored.size()),
             .cas = command.wants(Want::kCompareCas) ? command.cas : 0});
  finish(end, stored, {}, out);
  return true;
}

}  // namespace

bool write_request(const Command& command, std::string_view value, ReplyBuffer& out) {
  switch (command.dialect) {
    case Dialect::Classic:
      return write_classic(command, value, out);
    case Dialect::Meta:
      return write_meta_request(command, value, out);
    case Dialect::Binary:
      return write_binary_request(command, value, out);
  }
  return false;
}

void write_gets(std::span<const std::string_view> keys, ReplyBuffer& out) {
  out.copy("gets");
  for (const std::string_view key : keys) {
    char* const p = out.reserve(1 + kMaxKeyBytes);
    out.commit_to(put_short(put(p, ' '), key));
  }
  out.copy(kCrlf);
}

}  // namespace larder::proto
