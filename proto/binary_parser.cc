#include "proto/binary_parser.h"

#include "proto/binary_header.h"
#include "proto/limits.h"
#include "proto/verbs.h"

namespace larder::proto {
namespace {

using Status = Parsed::Status;

// An incr with this exptime does not create what is missing.
constexpr uint32_t kDoNotCreate = 0xffffffff;

bool lengths_fit(BinaryShape shape, uint32_t extras, uint32_t key, uint32_t body) noexcept {
  switch (shape) {
    case BinaryShape::Unknown:
      return true;
    case BinaryShape::Empty:
      return body == 0;
    case BinaryShape::Key:
      return extras == 0 && key > 0 && body == key;
    case BinaryShape::KeyTime:
      return extras == kTimeExtrasBytes && key > 0;
    case BinaryShape::Value:
      return extras == kValueExtrasBytes && key > 0;
    case BinaryShape::Concat:
      return extras == 0 && key > 0;
    case BinaryShape::Arith:
      return extras == kArithExtrasBytes && key > 0 && body == key + extras;
    case BinaryShape::Flush:
      return key == 0 && body == extras && (extras == 0 || extras == kTimeExtrasBytes);
    case BinaryShape::Stats:
      return extras == 0;
    case BinaryShape::Auth:
      return extras == 0 && key > 0;
    case BinaryShape::Config:
      return extras == kConfigExtrasBytes && key > 0;
  }
  return false;
}

// Its opcodes are unknown to memcached: what is misshapen is answered as there.
bool is_config(const BinaryVerb& verb) noexcept {
  return verb.op == Op::ConfigGet || verb.op == Op::ConfigSet || verb.op == Op::ConfigDelete;
}

int32_t load_exptime(const char* p) noexcept {
  return static_cast<int32_t>(load_big_endian<uint32_t>(p));
}

void read_extras(const char* extras, uint32_t bytes, BinaryShape shape, Command& command) noexcept {
  switch (shape) {
    case BinaryShape::Value:
      command.client_flags = load_big_endian<uint32_t>(extras);
      command.exptime = load_exptime(extras + 4);
      break;
    case BinaryShape::KeyTime:
      command.exptime = load_exptime(extras);
      break;
    case BinaryShape::Arith:
      command.delta = load_big_endian<uint64_t>(extras);
      command.initial = load_big_endian<uint64_t>(extras + 8);
      command.vivify_exptime = load_exptime(extras + 16);
      if (load_big_endian<uint32_t>(extras + 16) != kDoNotCreate) command.want |= Want::kVivify;
      break;
    case BinaryShape::Flush:
      if (bytes == 0) break;
      command.exptime = load_exptime(extras);
      command.want |= Want::kDelay;
      break;
    case BinaryShape::Config:
      command.client_flags = load_big_endian<uint32_t>(extras);
      break;
    default:
      break;
  }
}

}  // namespace

Parsed parse_binary(const char* data, size_t bytes, Command& command) noexcept {
  if (bytes < BinaryRequestHeader::kBytes) return {Status::NeedMore, 0};
  const BinaryRequestHeader header(data);
  if (header.magic() != kBinaryRequestMagic) return {Status::Close, 0};

  const BinaryVerb& verb = binary_verb(header.opcode());
  const uint32_t extras_bytes = header.extras_bytes();
  const uint32_t key_bytes = header.key_bytes();
  const uint32_t body_bytes = header.body_bytes();
  const uint32_t head_bytes = extras_bytes + key_bytes;

  const auto fill = [&] {
    command.reset();
    command.dialect = Dialect::Binary;
    command.opcode = verb.opcode;
    command.opaque = header.opaque();
  };
  const auto refuse = [&](ErrorId why, uint32_t swallow_bytes) -> Parsed {
    fill();
    command.refuse(why, swallow_bytes);
    return {Status::Complete, BinaryRequestHeader::kBytes};
  };
  // What is closed anyway is skipped up to the value, so that a client that has sent its request is
  // likely to read the answer.
  const auto refuse_and_close = [&](ErrorId why) {
    const Parsed parsed = refuse(why, head_bytes);
    command.want = Want::kClose;
    return parsed;
  };
  if (head_bytes > body_bytes) return refuse_and_close(ErrorId::UnknownCommand);
  const bool fits = lengths_fit(verb.shape, extras_bytes, key_bytes, body_bytes);
  if (body_bytes > kMaxBinaryBodyBytes || key_bytes > kMaxKeyBytes || (!fits && !is_config(verb))) {
    return refuse_and_close(ErrorId::BinaryInvalidArguments);
  }
  if (!fits) return refuse(ErrorId::UnknownCommand, body_bytes);
  if (verb.op == Op::Error) return refuse(ErrorId::UnknownCommand, body_bytes);
  const bool has_block = verb.op == Op::ConfigSet;
  if (has_block && body_bytes - head_bytes > kMaxConfigBytes) {
    return refuse(ErrorId::TooLarge, body_bytes);
  }
  const uint32_t needed_bytes = has_block ? body_bytes : head_bytes;
  if (bytes < BinaryRequestHeader::kBytes + needed_bytes) return {Status::NeedMore, 0};

  fill();
  const char* const extras = data + BinaryRequestHeader::kBytes;
  const std::string_view key(extras + extras_bytes, key_bytes);
  command.op = verb.op;
  command.mode = verb.mode;
  command.want = verb.want;
  command.cas = header.cas();
  read_extras(extras, extras_bytes, verb.shape, command);
  if (verb.op == Op::Stats) {
    command.args = key;
  } else {
    command.key = key;
  }
  if (verb.op == Op::Store || has_block) command.value_bytes = body_bytes - head_bytes;
  if (has_block) command.args = {key.data() + key.size(), command.value_bytes};
  if (command.cas != 0 && (verb.op == Op::Store || verb.op == Op::Remove || verb.op == Op::Arith)) {
    command.want |= Want::kCompareCas;
  }
  return {Status::Complete, BinaryRequestHeader::kBytes + needed_bytes};
}

}  // namespace larder::proto
