#include "daemon/sasl_authenticator.h"

#include <algorithm>
#include <new>
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
  if (job_ != nullptr) {
    if (waits()) return {Verdict::Wait, 0};
    if (finish(out)) return {Verdict::Admitted, 0};
  }
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
  try {
    ask(command.opcode == proto::kSaslStartOpcode ? SaslJob::What::Start : SaslJob::What::Step,
        command, body.substr(0, header.key_bytes()), body.substr(header.key_bytes()));
  } catch (const std::bad_alloc&) {
    job_ = nullptr;
    write_error(command, ErrorId::OutOfMemory, out);
    return {Verdict::GoOn, bytes};
  }
  return {Verdict::Wait, bytes};
}

// Asks nobody but the library.
void SaslAuthenticator::list(const Command& command, proto::ReplyBuffer& out) {
  if (exchange_ == nullptr) exchange_ = clerk_.make_exchange();
  std::string_view names;
  if (exchange_ != nullptr && exchange_->list_mechanisms(names)) {
    return proto::write_binary_status(command, BinaryStatus::Ok, names, out);
  }
  Command refused = command;
  write_error(refused, ErrorId::AuthenticationFailed, out);
}

void SaslAuthenticator::ask(SaslJob::What what, const Command& command, std::string_view mechanism,
                            std::string_view response) {
  asked_ = Command();
  asked_.dialect = proto::Dialect::Binary;
  asked_.opcode = command.opcode;
  std::copy_n(command.opaque.begin(), opaque_.size(), opaque_.begin());
  asked_.opaque = {opaque_.data(), opaque_.size()};
  job_ = std::make_shared<SaslJob>(what, std::move(exchange_), mechanism, response, answered_);
  clerk_.ask(job_);
}

bool SaslAuthenticator::finish(proto::ReplyBuffer& out) {
  const std::shared_ptr<SaslJob> job = std::exchange(job_, nullptr);
  exchange_ = job->take_exchange();
  switch (job->status()) {
    case SaslExchange::Status::Continue:
      proto::write_binary_status(asked_, BinaryStatus::AuthContinue, job->challenge(), out);
      return false;
    case SaslExchange::Status::Done:
      stats_.auth_cmds.add();
      proto::write_binary_status(asked_, BinaryStatus::Ok, kAuthenticated, out);
      return true;
    case SaslExchange::Status::Failed:
      break;
  }
  stats_.auth_cmds.add();
  stats_.auth_errors.add();
  write_error(asked_, ErrorId::AuthenticationFailed, out);
  return false;
}

}  // namespace larder::daemon
