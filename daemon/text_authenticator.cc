#include "daemon/text_authenticator.h"

#include <algorithm>
#include <array>

#include "daemon/authority.h"
#include "daemon/secret.h"
#include "proto/limits.h"
#include "proto/text_protocol.h"
#include "proto/tokens.h"

namespace larder::daemon {
namespace {

using proto::ErrorId;
using Verdict = Authenticator::Verdict;

// Shorter lines, newline included, are no attempt: the connection is closed, as memcached does.
constexpr size_t kMinAuthLineBytes = 7;
// Of longer lines only the beginning is looked at, as if the rest were not there.
constexpr size_t kMaxAuthLineBytes = proto::kMaxUnfinishedLineBytes;

constexpr std::string_view kTrailer = "\r\n";

// What a line says. Its views point into a copy of the line, since parsers may write there.
struct Request {
  proto::Command command;
  ErrorId error = ErrorId::None;  // it is no attempt to authenticate, or not a good one
  size_t value_bytes = 0;
};

Request refused(ErrorId why) {
  Request request;
  request.error = why;
  return request;
}

// Nothing but the verb and the length is looked at.
Request read_classic(proto::Line line) {
  const proto::Tokens tokens(line);
  uint32_t length = 0;
  if (tokens.count() < 5 || tokens.begin_of(0) != line.begin || tokens[0] != "set" ||
      !proto::read_u32(tokens[4], length)) {
    return refused(ErrorId::Unauthenticated);
  }
  Request request;
  request.command.op = proto::Op::Store;
  request.value_bytes = length;
  return request;
}

Request read_meta(std::span<char> line) {
  proto::TextProtocol protocol;
  Request request;
  protocol.parse(line.data(), line.size(), request.command);
  if (request.command.op == proto::Op::Error) return refused(request.command.error);
  request.value_bytes = request.command.value_bytes;
  return request;
}

Request read_request(std::span<char> line) {
  const std::string_view text(line.data(), line.size());
  if (text.starts_with("ms ")) return read_meta(line);
  char* end = line.data() + line.size() - 1;
  if (end[-1] == '\r') --end;
  return read_classic({line.data(), end});
}

}  // namespace

TextAuthenticator::Progress TextAuthenticator::take(std::span<const char> input,
                                                    proto::ReplyBuffer& out) {
  const std::string_view all(input.data(), input.size());
  size_t used = 0;
  for (int requests = 0; used < all.size(); ++requests) {
    if (requests == kAuthRequestsPerPass) return {Verdict::GoOn, used};
    const Progress one = take_one(all.substr(used), out);
    used += one.used;
    if (one.verdict != Verdict::GoOn) return {one.verdict, used};
  }
  return {Verdict::NeedMore, used};
}

TextAuthenticator::Progress TextAuthenticator::take_one(std::string_view input,
                                                        proto::ReplyBuffer& out) {
  const size_t newline = input.find('\n');
  if (newline == std::string_view::npos) {
    const bool endless = input.size() > proto::kMaxUnfinishedLineBytes;
    return {endless ? Verdict::Close : Verdict::NeedMore, 0};
  }
  const size_t line_bytes = newline + 1;
  if (line_bytes < kMinAuthLineBytes) return {Verdict::Close, 0};

  std::array<char, kMaxAuthLineBytes + 1> copy;  // not initialised: only what is used is touched
  const size_t copied = std::min(newline, kMaxAuthLineBytes);
  std::copy_n(input.data(), copied, copy.data());
  copy[copied] = '\n';
  Request request = read_request(std::span(copy).first(copied + 1));
  if (request.error == ErrorId::None && request.value_bytes > kMaxAuthTokenBytes) {
    request.error = ErrorId::AuthTokenTooLong;
  }
  // As in memcached, what may follow is not skipped: it is taken for lines.
  if (request.error != ErrorId::None) {
    proto::write_error_line(request.error, out);
    return {Verdict::GoOn, line_bytes};
  }

  const size_t used = line_bytes + request.value_bytes + kTrailer.size();
  if (input.size() < used) return {Verdict::NeedMore, 0};
  const std::string_view token = input.substr(line_bytes, request.value_bytes);
  if (input.substr(line_bytes + request.value_bytes, kTrailer.size()) != kTrailer) {
    proto::write_error_line(ErrorId::BadLineTermination, out);
  } else if (token.find(' ') == std::string_view::npos) {
    proto::write_error_line(ErrorId::BadAuthToken, out);
  } else if (!check(token)) {
    proto::write_error_line(ErrorId::AuthenticationFailed, out);
  } else {
    proto::Reply reply;
    reply.status = proto::Status::Ok;
    proto::TextProtocol::write(request.command, reply, out);
    return {Verdict::Admitted, used};
  }
  return {Verdict::GoOn, used};
}

bool TextAuthenticator::check(std::string_view token) {
  const size_t blank = token.find(' ');
  const bool allowed = authority_.allow(token.substr(0, blank), token.substr(blank + 1));
  stats_.auth_cmds.add();
  if (!allowed) stats_.auth_errors.add();
  return allowed;
}

}  // namespace larder::daemon
