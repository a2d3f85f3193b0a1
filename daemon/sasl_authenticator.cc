#include "daemon/sasl_authenticator.h"

#include <algorithm>
#include <string>

#include "daemon/executor.h"
#include "proto/binary_header.h"
#include "proto/binary_parser.h"
#include "proto/binary_writer.h"
#include "proto/limits.h"
#include "proto/verbs.h"

namespace larder::daemon {
namespace {

using proto::BinaryRequestHeader;
using proto::BinaryStatus;
using proto::Command;
using proto::ErrorId;
using Verdict = Authenticator::Verdict;

constexpr uint8_t kVersionOpcode = 0x0b;
static_assert(proto::binary_verb(kVersionOpcode).op == proto::Op::Version);

constexpr std::string_view kAuthenticated = "Authenticated";

void write_error(Command& command, ErrorId why, proto::ReplyBuffer& out) {
  command.refuse(why);
  proto::write_binary(command, {}, out);
}

void write_version(const Command& command, proto::ReplyBuffer& out) {
  proto::write_binary_status(command, BinaryStatus::Ok, kMemcachedVersion, out);
}

// The lengths alone make no sense: said before it is asked who wants what.
bool is_nonsense(const BinaryRequestHeader& header) noexcept {
  return header.extras_bytes() + header.key_bytes() > header.body_bytes() ||
         header.body_bytes() > proto::kMaxBinaryBodyBytes;
}

}  // namespace

SaslAuthenticator::Progress SaslAuthenticator::take(std::span<const char> input,
                                                    proto::ReplyBuffer& out) {
  const std::string_view all(input.data(), input.size());
  size_t used = 0;
  for (int requests = 0;; ++requests) {
    const size_t skipped = std::min<uint64_t>(skip_bytes_, all.size() - used);
    skip_bytes_ -= skipped;
    used += skipped;
    if (used == all.size()) return {Verdict::NeedMore, used};
    if (requests == kAuthRequestsPerPass) return {Verdict::GoOn, used};
    const Progress one = take_one(all.substr(used), out);
    used += one.used;
    if (one.verdict != Verdict::GoOn) return {one.verdict, used};
  }
}

SaslAuthenticator::Progress SaslAuthenticator::take_one(std::string_view input,
                                                        proto::ReplyBuffer& out) {
  if (static_cast<uint8_t>(input.front()) != proto::kBinaryRequestMagic) return {Verdict::Close, 0};
  if (input.size() < BinaryRequestHeader::kBytes) return {Verdict::NeedMore, 0};
  const BinaryRequestHeader header(input.data());
  const bool version = header.opcode() == kVersionOpcode;
  Command command;
  if (!version && !proto::is_sasl(header.opcode()) && !is_nonsense(header)) {
    command.dialect = proto::Dialect::Binary;
    command.opcode = header.opcode();
    command.opaque = header.opaque();
    write_error(command, ErrorId::Unauthenticated, out);
    return {Verdict::Close, 0};
  }
  // Of what is left the parser needs no more than the header.
  const proto::Parsed parsed = proto::parse_binary(input.data(), input.size(), command);
  if (command.wants(proto::Want::kClose)) {
    write_error(command, command.error, out);
    return {Verdict::Close, 0};
  }
  if (version) {
    write_version(command, out);
    return {Verdict::GoOn, parsed.consumed};
  }
  if (header.opcode() != proto::kSaslListOpcode) return take_exchange(command, input, out);
  list(command, out);
  return {admitted_ ? Verdict::Admitted : Verdict::GoOn, parsed.consumed};
}

SaslAuthenticator::Progress SaslAuthenticator::take_exchange(Command& command,
                                                             std::string_view input,
                                                             proto::ReplyBuffer& out) {
  const BinaryRequestHeader header(input.data());
  const size_t bytes = BinaryRequestHeader::kBytes + header.body_bytes();
  const size_t response_bytes = header.body_bytes() - header.key_bytes();
  admitted_ = false;
  if (header.key_bytes() > kMaxMechanismBytes || response_bytes > kMaxAuthTokenBytes) {
    write_error(command,
                header.key_bytes() > kMaxMechanismBytes ? ErrorId::BinaryInvalidArguments
                                                        : ErrorId::OutOfMemory,
                out);
    skip_bytes_ = header.body_bytes();
    return {Verdict::GoOn, BinaryRequestHeader::kBytes};
  }
  if (input.size() < bytes) return {Verdict::NeedMore, 0};
  const std::string_view body = input.substr(BinaryRequestHeader::kBytes, header.body_bytes());
  const bool done =
      attempt(command, body.substr(0, header.key_bytes()), body.substr(header.key_bytes()), out);
  return {done ? Verdict::Admitted : Verdict::GoOn, bytes};
}

void SaslAuthenticator::list(const Command& command, proto::ReplyBuffer& out) {
  std::string_view names;
  if (ready() && exchange_->list_mechanisms(names)) {
    return proto::write_binary_status(command, BinaryStatus::Ok, names, out);
  }
  Command refused = command;
  write_error(refused, ErrorId::AuthenticationFailed, out);
}

bool SaslAuthenticator::attempt(const Command& command, std::string_view mechanism,
                                std::string_view response, proto::ReplyBuffer& out) {
  SaslExchange::Result result{SaslExchange::Status::Failed, {}};
  if (ready()) {
    result = command.opcode == proto::kSaslStartOpcode
                 ? exchange_->start(std::string(mechanism), response)
                 : exchange_->step(response);
  }
  switch (result.status) {
    case SaslExchange::Status::Continue:
      proto::write_binary_status(command, BinaryStatus::AuthContinue, result.challenge, out);
      return false;
    case SaslExchange::Status::Done:
      stats_.auth_cmds.add();
      proto::write_binary_status(command, BinaryStatus::Ok, kAuthenticated, out);
      return true;
    case SaslExchange::Status::Failed:
      break;
  }
  stats_.auth_cmds.add();
  stats_.auth_errors.add();
  Command refused = command;
  write_error(refused, ErrorId::AuthenticationFailed, out);
  return false;
}

bool SaslAuthenticator::ready() {
  if (exchange_ == nullptr) exchange_ = SaslExchange::make(sasl_);
  return exchange_ != nullptr;
}

}  // namespace larder::daemon
