#include "proto/binary_writer.h"

#include "proto/binary_header.h"
#include "proto/error_lines.h"
#include "proto/put.h"
#include "proto/value_writer.h"

namespace larder::proto {
namespace {

constexpr size_t kFlagsBytes = 4;

BinaryReplyHeader header_of(const Command& command) noexcept {
  BinaryReplyHeader header;
  header.opcode = command.opcode;
  header.opaque = command.opaque;
  return header;
}

void write_status(const Command& command, BinaryStatus status, std::string_view body,
                  ReplyBuffer& out) {
  BinaryReplyHeader header = header_of(command);
  header.status = status;
  header.body_bytes = static_cast<uint32_t>(body.size());
  char* p = out.reserve(BinaryReplyHeader::kBytes + body.size());
  out.commit_to(put_short(header.put(p), body));
}

void write_status(const Command& command, BinaryStatus status, ReplyBuffer& out) {
  write_status(command, status, binary_status_text(status), out);
}

void write_error(const Command& command, ErrorId error, ReplyBuffer& out) {
  // What text calls an unknown kind of stats is a thing not found here.
  if (command.op == Op::Stats && error_line(error).status != BinaryStatus::OutOfMemory) {
    return write_status(command, BinaryStatus::NotFound, out);
  }
  write_status(command, error_line(error).status, error_line(error).binary_text, out);
}

void write_hit(const Command& command, const Reply& reply, ReplyBuffer& out) {
  const bool with_value = command.wants(Want::kValue);
  const std::string_view key = command.wants(Want::kKey) ? command.key : std::string_view{};
  const size_t bytes = with_value ? value_bytes(reply) : 0;
  const size_t room = with_value ? value_room(reply, {}) : 0;

  BinaryReplyHeader header = header_of(command);
  header.extras_bytes = kFlagsBytes;
  header.key_bytes = static_cast<uint16_t>(key.size());
  header.body_bytes = static_cast<uint32_t>(kFlagsBytes + key.size() + bytes);
  header.cas = reply.cas;
  char* p = out.reserve(BinaryReplyHeader::kBytes + kFlagsBytes + key.size() + room);
  p = header.put(p);
  p = put_big_endian(p, reply.client_flags);
  p = put_short(p, key);
  if (!with_value) return out.commit_to(p);
  finish_with_value(p, reply, {}, out);
}

// Flags and block; copied, as in text.
void write_config(const Command& command, const Reply& reply, ReplyBuffer& out) {
  BinaryReplyHeader header = header_of(command);
  header.extras_bytes = kFlagsBytes;
  header.body_bytes = static_cast<uint32_t>(kFlagsBytes + reply.value.size());
  char* p = out.reserve(BinaryReplyHeader::kBytes + kFlagsBytes);
  out.commit_to(put_big_endian(header.put(p), reply.client_flags));
  out.copy(reply.value);
}

void write_miss(const Command& command, ReplyBuffer& out) {
  if (!command.wants(Want::kKey)) return write_status(command, BinaryStatus::NotFound, out);
  // The key instead of the text, so that a multiget can tell what was missing.
  BinaryReplyHeader header = header_of(command);
  header.status = BinaryStatus::NotFound;
  header.key_bytes = static_cast<uint16_t>(command.key.size());
  header.body_bytes = header.key_bytes;
  char* p = out.reserve(BinaryReplyHeader::kBytes + command.key.size());
  out.commit_to(put_short(header.put(p), command.key));
}

void write_done(const Command& command, uint64_t cas, std::string_view body, ReplyBuffer& out) {
  if (command.quiet()) return;
  BinaryReplyHeader header = header_of(command);
  header.cas = cas;
  header.body_bytes = static_cast<uint32_t>(body.size());
  char* p = out.reserve(BinaryReplyHeader::kBytes + body.size());
  out.commit_to(put_short(header.put(p), body));
}

// A store that was not done says why according to what was asked for.
BinaryStatus not_stored_status(StoreMode mode) noexcept {
  switch (mode) {
    case StoreMode::Add:
      return BinaryStatus::Exists;
    case StoreMode::Replace:
      return BinaryStatus::NotFound;
    default:
      return BinaryStatus::NotStored;
  }
}

void write_stats(const Command& command, const Reply& reply, ReplyBuffer& out) {
  if (reply.stats != nullptr) {
    for (const auto& [name, value] : *reply.stats) {
      BinaryReplyHeader header = header_of(command);
      header.key_bytes = static_cast<uint16_t>(name.size());
      header.body_bytes = static_cast<uint32_t>(name.size() + value.size());
      char* p = out.reserve(BinaryReplyHeader::kBytes + header.body_bytes);
      p = put_short(put_short(header.put(p), name), value);
      out.commit_to(p);
    }
  }
  write_status(command, BinaryStatus::Ok, out);
}

}  // namespace

void write_binary_status(const Command& command, BinaryStatus status, std::string_view body,
                         ReplyBuffer& out) {
  write_status(command, status, body, out);
}

void write_binary(const Command& command, const Reply& reply, ReplyBuffer& out) {
  switch (command.op) {
    case Op::Error:
      return write_error(command, reply.error != ErrorId::None ? reply.error : command.error, out);
    case Op::Noop:
    case Op::Quit:
      return write_done(command, 0, {}, out);
    default:
      break;
  }
  switch (reply.status) {
    case Status::None:
      return;
    case Status::Error:
      if (reply.error == ErrorId::ConfigBadBlock && !reply.text.empty()) {
        return write_status(command, error_line(reply.error).status, reply.text, out);
      }
      return write_error(command, reply.error, out);
    case Status::Exists:
      return write_status(command, BinaryStatus::Exists, out);
    case Status::NotStored:
      return write_status(command, not_stored_status(command.mode), out);
    case Status::Miss:
    case Status::NotFound:
      if (command.op == Op::Get) {
        if (!command.quiet()) write_miss(command, out);
        return;
      }
      return write_status(command, BinaryStatus::NotFound, out);
    case Status::Ok:
    case Status::Hit:
      break;
  }
  switch (command.op) {
    case Op::Get:
    case Op::Touch:  // no value, but the flags
      return write_hit(command, reply, out);
    case Op::ConfigGet:
      return write_config(command, reply, out);
    case Op::Store:
      return write_done(command, reply.cas, {}, out);
    case Op::Arith: {
      char number[8];
      put_big_endian(number, reply.number);
      return write_done(command, reply.cas, {number, sizeof number}, out);
    }
    case Op::Stats:
      return write_stats(command, reply, out);
    case Op::Version:
      return write_done(command, 0, reply.text, out);
    default:
      return write_done(command, 0, {}, out);
  }
}

}  // namespace larder::proto
