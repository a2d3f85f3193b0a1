#include "proto/reply_parser.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "proto/binary_header.h"
#include "proto/verbs.h"

namespace larder::proto {
namespace {

using Status = ParsedReply::Status;

constexpr ParsedReply kMore{Status::NeedMore, 0};
constexpr ParsedReply kMalformed{Status::Malformed, 0};
constexpr uint8_t kCrlfBytes = 2;

// -- Text.

// Takes a word and the blank behind it off the front of a line.
std::string_view take_word(std::string_view& rest) noexcept {
  const size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

// A number of digits alone, with the blank behind it, off the front of a line. tokens.h reads an
// empty token and a lone minus as 0, as servers do of clients.
template <class Number>
bool take_number(std::string_view& rest, Number& out) noexcept {
  constexpr uint64_t kMost = std::numeric_limits<Number>::max();
  constexpr size_t kSafeDigits = std::numeric_limits<Number>::digits10;
  const char* p = rest.data();
  const char* const end = p + rest.size();
  uint64_t sum = 0;
  size_t digits = 0;
  for (; p != end && *p != ' '; ++p) {
    const auto digit = static_cast<unsigned char>(*p - '0');
    if (digit > 9) return false;
    if (++digits > kSafeDigits && sum > (kMost - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  if (digits == 0) return false;
  rest.remove_prefix(digits + (p != end ? 1 : 0));
  out = static_cast<Number>(sum);
  return true;
}

// All of the token.
template <class Number>
bool read_number(std::string_view token, Number& out) noexcept {
  return take_number(token, out) && token.empty();
}

struct Word {
  std::string_view word;
  ReplyKind kind;
  bool alone;  // nothing may follow
};

constexpr Word kWords[] = {
    {"HD", ReplyKind::Done, false},
    {"EN", ReplyKind::Missing, false},
    {"END", ReplyKind::End, true},
    {"STORED", ReplyKind::Done, true},
    {"NF", ReplyKind::Missing, false},
    {"NS", ReplyKind::NotStored, false},
    {"EX", ReplyKind::Exists, false},
    {"MN", ReplyKind::Noop, true},
    {"DELETED", ReplyKind::Done, true},
    {"NOT_FOUND", ReplyKind::Missing, true},
    {"NOT_STORED", ReplyKind::NotStored, true},
    {"EXISTS", ReplyKind::Exists, true},
    {"TOUCHED", ReplyKind::Done, true},
    {"OK", ReplyKind::Done, true},
};

// VALUE <key> <flags> <bytes> [<cas>]
bool read_value_line(std::string_view rest, ReplyHead& head) noexcept {
  head.kind = ReplyKind::Value;
  head.key = take_word(rest);
  head.trailer_bytes = kCrlfBytes;
  uint32_t bytes = 0;
  if (head.key.empty() || !take_number(rest, head.client_flags) || !take_number(rest, bytes)) {
    return false;
  }
  head.value_bytes = bytes;
  return rest.empty() || read_number(rest, head.cas);
}

// Of the flags of a meta reply those that a ReplyHead has a place for; the others are passed over.
bool read_meta_flags(std::string_view rest, ReplyHead& head) noexcept {
  while (!rest.empty()) {
    const std::string_view flag = take_word(rest);
    if (flag.empty()) continue;
    switch (flag.front()) {
      case 'c':
        if (!read_number(flag.substr(1), head.cas)) return false;
        head.has_cas = true;
        break;
      case 'f':
        if (!read_number(flag.substr(1), head.client_flags)) return false;
        head.has_client_flags = true;
        break;
      case 'O':
        head.opaque = flag.substr(1);
        break;
      case 'W':
        head.won = true;
        break;
      case 'X':
        head.stale = true;
        break;
      case 'Z':
        head.others = true;
        break;
      default:
        break;
    }
  }
  return true;
}

// To a server that wants a login every set is one, and so not a good one.
constexpr ErrorId kDenials[] = {ErrorId::Unauthenticated, ErrorId::AuthenticationFailed,
                                ErrorId::AuthTokenTooLong, ErrorId::BadAuthToken};

bool is_denial(std::string_view line) noexcept {
  return std::any_of(std::begin(kDenials), std::end(kDenials),
                     [&](ErrorId id) { return line == error_line(id).text; });
}

bool is_refusal(std::string_view word) noexcept {
  return word == "ERROR" || word == "CLIENT_ERROR" || word.starts_with("SERVER_ERROR");
}

// -- Binary.

ReplyKind kind_of_status(const BinaryVerb& verb, uint16_t status) noexcept {
  switch (static_cast<BinaryStatus>(status)) {
    case BinaryStatus::NotFound:
      if (verb.op == Op::Store && verb.mode == StoreMode::Replace) return ReplyKind::NotStored;
      return ReplyKind::Missing;
    case BinaryStatus::Exists:
      if (verb.op == Op::Store && verb.mode == StoreMode::Add) return ReplyKind::NotStored;
      return ReplyKind::Exists;
    case BinaryStatus::NotStored:
      return ReplyKind::NotStored;
    default:
      return ReplyKind::Refused;
  }
}

// A status other than 0: its body is words, and has to come whole.
ParsedReply read_failure(std::string_view input, const BinaryReplyView& header,
                         const BinaryVerb& verb, ReplyHead& head) noexcept {
  const size_t whole = BinaryReplyView::kBytes + header.body_bytes();
  if (header.body_bytes() > kMaxReplyTextBytes) return kMalformed;
  if (input.size() < whole) return kMore;
  head.kind = kind_of_status(verb, header.status());
  const size_t before_text = BinaryReplyView::kBytes + header.extras_bytes() + header.key_bytes();
  head.text = input.substr(before_text, whole - before_text);
  // Commands that are switched off share the status of who may not come in.
  head.denied = static_cast<BinaryStatus>(header.status()) == BinaryStatus::AuthFailure &&
                verb.op != Op::Flush && verb.op != Op::ConfigSet && verb.op != Op::ConfigDelete;
  return {Status::Complete, whole};
}

}  // namespace

bool read_reply_line(std::string_view line, ReplyHead& head) noexcept {
  constexpr std::string_view kValue = "VALUE ";
  head = ReplyHead{};
  if (line.starts_with(kValue)) {  // first: a reply of many keys has many of them
    head.word = line.substr(0, kValue.size() - 1);
    return read_value_line(line.substr(kValue.size()), head);
  }
  std::string_view rest = line;
  const std::string_view word = take_word(rest);
  head.word = word;
  if (word == "VA") {
    head.kind = ReplyKind::Value;
    head.trailer_bytes = kCrlfBytes;
    uint32_t bytes = 0;
    if (!take_number(rest, bytes)) return false;
    head.value_bytes = bytes;
    return read_meta_flags(rest, head);
  }
  if (word == "VALUE") return false;
  for (const Word& known : kWords) {
    if (known.word != word) continue;
    head.kind = known.kind;
    if (known.alone) return word.size() == line.size();
    return read_meta_flags(rest, head);
  }
  if (word == "VERSION") {
    head.kind = ReplyKind::Version;
    head.text = rest;
    return true;
  }
  if (is_refusal(word)) {
    head.kind = ReplyKind::Refused;
    head.text = line;
    head.denied = is_denial(line);
    return true;
  }
  // A decremented number has had blanks behind it in old servers.
  head.kind = ReplyKind::Number;
  return read_number(word, head.number) && rest.find_first_not_of(' ') == rest.npos;
}

ParsedReply parse_text_reply(std::string_view input, ReplyHead& head) noexcept {
  const std::string_view looked_at = input.substr(0, kMaxReplyLineBytes);
  const size_t newline = looked_at.find('\n');
  if (newline == looked_at.npos) {
    return looked_at.size() == kMaxReplyLineBytes ? kMalformed : kMore;
  }
  std::string_view line = input.substr(0, newline);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!read_reply_line(line, head)) return kMalformed;
  return {Status::Complete, newline + 1};
}

ParsedReply parse_binary_reply(std::string_view input, ReplyHead& head) noexcept {
  if (!input.empty() && static_cast<uint8_t>(input.front()) != kBinaryReplyMagic) return kMalformed;
  if (input.size() < BinaryReplyView::kBytes) return kMore;
  const BinaryReplyView header(input.data());
  const size_t head_bytes = size_t{header.extras_bytes()} + header.key_bytes();
  if (head_bytes > header.body_bytes() || head_bytes > kMaxReplyTextBytes) return kMalformed;

  const BinaryVerb& verb = binary_verb(header.opcode());
  head = ReplyHead{};
  head.opcode = header.opcode();
  head.status = header.status();
  head.opaque = header.opaque();
  head.cas = header.cas();
  if (header.status() != 0) return read_failure(input, header, verb, head);

  const size_t rest_bytes = header.body_bytes() - head_bytes;
  const bool words = verb.op == Op::Version || verb.op == Op::Arith;
  if (words && rest_bytes > kMaxReplyTextBytes) return kMalformed;
  const size_t needed = BinaryReplyView::kBytes + head_bytes + (words ? rest_bytes : 0);
  if (input.size() < needed) return kMore;

  const char* const extras = input.data() + BinaryReplyView::kBytes;
  head.key = {extras + header.extras_bytes(), header.key_bytes()};
  const std::string_view rest(head.key.data() + head.key.size(), words ? rest_bytes : 0);
  switch (verb.op) {
    case Op::Get:
    case Op::Touch:
    case Op::ConfigGet:
      if (header.extras_bytes() != sizeof head.client_flags) {
        // Servers differ in whether a touch tells the flags.
        if (verb.op == Op::Touch && header.body_bytes() == 0) break;
        return kMalformed;
      }
      head.client_flags = load_big_endian<uint32_t>(extras);
      head.kind = verb.op == Op::Touch ? ReplyKind::Done : ReplyKind::Value;
      break;
    case Op::Arith:
      if (rest.size() != sizeof head.number) return kMalformed;
      head.kind = ReplyKind::Number;
      head.number = load_big_endian<uint64_t>(rest.data());
      break;
    case Op::Version:
      head.kind = ReplyKind::Version;
      head.text = rest;
      break;
    case Op::Noop:
      head.kind = ReplyKind::Noop;
      break;
    case Op::Stats:
      head.kind = ReplyKind::Value;
      break;
    default:
      head.kind = is_sasl(header.opcode()) ? ReplyKind::Value : ReplyKind::Done;
      break;
  }
  if (!words) head.value_bytes = rest_bytes;
  return {Status::Complete, needed};
}

}  // namespace larder::proto
