#include "tools/client/spelling.h"

#include <algorithm>
#include <cstdint>

#include "proto/base64.h"
#include "proto/error_lines.h"
#include "proto/limits.h"
#include "proto/tokens.h"

namespace larder::client {
namespace {

using proto::ReplyHead;
using proto::ReplyKind;
using proto::Want;

// A server reads the key's length as it stands on the line, base64 or not.
constexpr size_t kMostBase64KeyBytes = proto::kMaxKeyBytes / 4 * 3;
// A binary body holds key and extras, too.
constexpr size_t kMostBinaryValueBytes = proto::kMaxBinaryBodyBytes - 1024;
constexpr size_t kMostTextValueBytes = proto::kMaxTextValueBytes;
// No program has an item under it, and no item that version.
constexpr std::string_view kNobodysKey = "larder-barrier";
// Binary times have no sign: servers take -1 for a time to come, and a counter's for "do not
// create". A unix time says "at once" as well: the first that is none counted from now.
constexpr int32_t kLongAgo = 30 * 24 * 3600 + 1;

bool has_key(Verb verb) noexcept {
  return verb != Verb::Version && verb != Verb::FlushAll && verb != Verb::Noop;
}

bool stores(Verb verb) noexcept {
  return verb == Verb::Set || verb == Verb::Add || verb == Verb::Replace || verb == Verb::Append ||
         verb == Verb::Prepend;
}

bool counts(Verb verb) noexcept { return verb == Verb::Increment || verb == Verb::Decrement; }

bool is_blank_or_control(unsigned char c) noexcept { return c <= ' ' || c == 0x7f; }

bool has_blank_or_control(std::string_view key) noexcept {
  return std::any_of(key.begin(), key.end(),
                     [](char c) { return is_blank_or_control(static_cast<unsigned char>(c)); });
}

// Servers take bytes from 0x80 up as they are, proxies may not: so these go in base64, too, unless
// they are too long for that.
bool needs_base64(std::string_view key) noexcept {
  const bool plain =
      std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (plain) return false;
  return key.size() <= kMostBase64KeyBytes || has_blank_or_control(key);
}

std::string_view objection_to_key(std::string_view key, Dialect dialect) noexcept {
  if (key.empty()) return "the key is empty";
  if (key.size() > proto::kMaxKeyBytes) return "the key is longer than 250 bytes";
  if (dialect == Dialect::Binary || !has_blank_or_control(key)) return {};
  if (dialect == Dialect::Classic) {
    return "the key has a blank or a control character, which the classic dialect cannot carry";
  }
  if (key.size() <= kMostBase64KeyBytes) return {};
  return "the key has a blank or a control character, and is too long for base64";
}

proto::Op op_of(Verb verb) noexcept {
  switch (verb) {
    case Verb::Get:
      return proto::Op::Get;
    case Verb::Delete:
      return proto::Op::Remove;
    case Verb::Increment:
    case Verb::Decrement:
      return proto::Op::Arith;
    case Verb::Touch:
      return proto::Op::Touch;
    case Verb::Version:
      return proto::Op::Version;
    case Verb::FlushAll:
      return proto::Op::Flush;
    case Verb::Noop:
      return proto::Op::Noop;
    default:
      return proto::Op::Store;
  }
}

proto::StoreMode mode_of(Verb verb) noexcept {
  switch (verb) {
    case Verb::Add:
      return proto::StoreMode::Add;
    case Verb::Replace:
      return proto::StoreMode::Replace;
    case Verb::Append:
      return proto::StoreMode::Append;
    case Verb::Prepend:
      return proto::StoreMode::Prepend;
    default:
      return proto::StoreMode::Set;
  }
}

// What meta has its own words for.
void spell_meta(const Operation& operation, proto::Command& command) noexcept {
  if (has_key(operation.verb) && needs_base64(operation.key)) command.want |= Want::kBase64Key;
  if (stores(operation.verb)) command.return_flags = "c";
  if (operation.verb == Verb::Get) {
    command.return_flags = "f c";
    if (operation.vivify_seconds != 0) {
      command.want |= Want::kVivify;
      command.vivify_exptime = static_cast<int32_t>(operation.vivify_seconds);
    }
    if (operation.recache_seconds != 0) {
      command.want |= Want::kRecache;
      command.recache_exptime = static_cast<int32_t>(operation.recache_seconds);
    }
  }
  if (counts(operation.verb)) {
    command.want |= Want::kValue;
    command.return_flags = "c";
  }
  if (operation.verb == Verb::Touch) {
    command.op = proto::Op::Get;
    command.want |= Want::kTouch;
  }
  if (operation.verb == Verb::Delete && operation.invalidate) {
    command.want |= Want::kInvalidate;
    if (!operation.keep_expiry) command.want |= Want::kTouch;
  }
}

Meaning answer_with(Outcome outcome, Answer& answer) noexcept {
  answer.outcome = outcome;
  return Meaning::Answered;
}

// Every get, store and counter of meta asks for the version, and every get for the client flags: a
// line without them has lost a part. A server without versions says c0.
bool lacks_version(Dialect dialect, const ReplyHead& head) noexcept {
  return dialect == Dialect::Meta && !head.has_cas;
}

Meaning settle_get(Dialect dialect, const ReplyHead& head, Answer& answer) noexcept {
  if (head.kind == ReplyKind::Missing && dialect != Dialect::Classic) {
    return answer_with(Outcome::Missing, answer);
  }
  if (head.kind != ReplyKind::Value) return Meaning::Nonsense;
  if (dialect == Dialect::Meta && !head.has_client_flags) return Meaning::Nonsense;
  if (lacks_version(dialect, head)) return Meaning::Nonsense;
  answer.client_flags = head.client_flags;
  answer.cas = head.cas;
  answer.won = head.won;
  answer.stale = head.stale;
  answer.others = head.others;
  return Meaning::Value;
}

Meaning settle_store(const Operation& operation, Dialect dialect, const ReplyHead& head,
                     Answer& answer) noexcept {
  switch (head.kind) {
    case ReplyKind::Done:
      if (lacks_version(dialect, head)) return Meaning::Nonsense;
      answer.cas = head.cas;
      return answer_with(Outcome::Done, answer);
    case ReplyKind::Missing:
      // A server says to a set with a version that the item is gone. To another store it is the
      // reply to another request, unless its opaque has matched: NotStored in binary.
      if (operation.cas != 0) return answer_with(Outcome::Missing, answer);
      if (dialect != Dialect::Binary || operation.verb == Verb::Set) return Meaning::Nonsense;
      return answer_with(Outcome::NotStored, answer);
    case ReplyKind::NotStored:
      return answer_with(Outcome::NotStored, answer);
    case ReplyKind::Exists:
      return answer_with(Outcome::Exists, answer);
    default:
      return Meaning::Nonsense;
  }
}

Meaning settle_count(Dialect dialect, const ReplyHead& head, Answer& answer) noexcept {
  answer.cas = head.cas;
  if (dialect == Dialect::Meta && head.kind == ReplyKind::Value) {
    const bool is_number = head.value_bytes <= proto::kDigits64 && !lacks_version(dialect, head);
    return is_number ? Meaning::Value : Meaning::Nonsense;
  }
  switch (head.kind) {
    case ReplyKind::Number:
      answer.number = head.number;
      return answer_with(Outcome::Done, answer);
    case ReplyKind::Missing:
      return answer_with(Outcome::Missing, answer);
    case ReplyKind::NotStored:  // somebody else has created it meanwhile
      return answer_with(Outcome::NotStored, answer);
    default:
      return Meaning::Nonsense;
  }
}

Meaning settle_done(bool may_miss, const ReplyHead& head, Answer& answer) noexcept {
  if (head.kind == ReplyKind::Done) return answer_with(Outcome::Done, answer);
  if (!may_miss) return Meaning::Nonsense;
  if (head.kind == ReplyKind::Missing) return answer_with(Outcome::Missing, answer);
  if (head.kind == ReplyKind::Exists) return answer_with(Outcome::Exists, answer);
  return Meaning::Nonsense;
}

// A text server's word for Done.
std::string_view done_word(Verb verb, Dialect dialect) noexcept {
  if (verb == Verb::FlushAll) return "OK";
  if (dialect == Dialect::Meta) return "HD";
  if (stores(verb)) return "STORED";
  return verb == Verb::Delete ? "DELETED" : "TOUCHED";
}

Meaning settle(const Operation& operation, Dialect dialect, const ReplyHead& head, Answer& answer) {
  if (dialect != Dialect::Binary && head.kind == ReplyKind::Done &&
      head.word != done_word(operation.verb, dialect)) {
    return Meaning::Nonsense;
  }
  switch (operation.verb) {
    case Verb::Get:
      return settle_get(dialect, head, answer);
    case Verb::Set:
    case Verb::Add:
    case Verb::Replace:
    case Verb::Append:
    case Verb::Prepend:
      return settle_store(operation, dialect, head, answer);
    case Verb::Increment:
    case Verb::Decrement:
      return settle_count(dialect, head, answer);
    case Verb::Delete:
    case Verb::Touch:
      return settle_done(true, head, answer);
    case Verb::FlushAll:
      return settle_done(false, head, answer);
    case Verb::Version:
      if (head.kind != ReplyKind::Version) return Meaning::Nonsense;
      answer.value = head.text;
      return answer_with(Outcome::Done, answer);
    case Verb::Noop:
      if (head.kind != (dialect == Dialect::Classic ? ReplyKind::Version : ReplyKind::Noop)) {
        return Meaning::Nonsense;
      }
      return answer_with(Outcome::Done, answer);
  }
  return Meaning::Nonsense;
}

}  // namespace

bool has_opaque(Verb verb, Dialect dialect) noexcept {
  return dialect == Dialect::Binary || (dialect == Dialect::Meta && has_key(verb));
}

Operation barrier_operation(Dialect dialect) noexcept {
  if (dialect != Dialect::Meta) return {.verb = Verb::Noop};
  return {.verb = Verb::Delete, .key = kNobodysKey, .cas = UINT64_MAX};
}

bool sends_value(Verb verb) noexcept { return stores(verb); }

std::string_view objection_to(const Operation& operation, Dialect dialect) noexcept {
  const Verb verb = operation.verb;
  if (has_key(verb)) {
    const std::string_view objection = objection_to_key(operation.key, dialect);
    if (!objection.empty()) return objection;
  }
  if (stores(verb) && operation.value.size() > (dialect == Dialect::Binary ? kMostBinaryValueBytes
                                                                           : kMostTextValueBytes)) {
    return "the value is longer than the dialect can say";
  }
  if (operation.cas != 0 && verb != Verb::Set && verb != Verb::Delete) {
    return "only a set and a delete compare versions";
  }
  if (operation.cas != 0 && verb == Verb::Delete && dialect == Dialect::Classic) {
    return "the classic dialect has no delete that compares versions";
  }
  if (operation.touch && verb != Verb::Get) return "only a get can also touch";
  if (operation.initial) {
    if (!counts(verb)) return "only a counter has an initial number";
    if (dialect == Dialect::Classic) return "the classic dialect cannot create a counter";
  }
  if (operation.vivify_seconds != 0 || operation.recache_seconds != 0) {
    if (verb != Verb::Get) return "only a get can win";
    if (dialect != Dialect::Meta) return "only the meta dialect knows who wins";
    if (std::max(operation.vivify_seconds, operation.recache_seconds) > INT32_MAX) {
      return "there are too many seconds";
    }
  }
  if (operation.invalidate) {
    if (verb != Verb::Delete) return "only a delete can invalidate";
    if (dialect != Dialect::Meta) return "only the meta dialect can invalidate";
  }
  if (operation.keep_expiry && !operation.invalidate)
    return "only what invalidates keeps an expiry";
  if (verb == Verb::FlushAll && operation.exptime < 0) return "the delay is negative";
  return {};
}

proto::Command command_of(const Operation& operation, Dialect dialect) noexcept {
  proto::Command command;
  const Verb verb = operation.verb;
  command.op = op_of(verb);
  command.mode = mode_of(verb);
  command.key = has_key(verb) ? operation.key : std::string_view{};
  command.client_flags = operation.client_flags;
  command.exptime = operation.exptime;
  command.delta = operation.delta;
  command.cas = operation.cas;
  if (operation.cas != 0) command.want |= Want::kCompareCas;
  if (verb == Verb::Get) command.want |= Want::kValue;
  if (verb == Verb::Get && operation.touch) command.want |= Want::kTouch;
  if (verb == Verb::Decrement) command.want |= Want::kDecrement;
  if (verb == Verb::FlushAll && operation.exptime != 0) command.want |= Want::kDelay;
  if (operation.initial) {
    command.want |= Want::kVivify;
    command.initial = *operation.initial;
    command.vivify_exptime = operation.exptime;
  }
  switch (dialect) {
    case Dialect::Classic:
      command.dialect = proto::Dialect::Classic;
      if (verb == Verb::Get) command.want |= Want::kCas;
      if (verb == Verb::Noop) command.op = proto::Op::Version;
      break;
    case Dialect::Meta:
      command.dialect = proto::Dialect::Meta;
      spell_meta(operation, command);
      break;
    case Dialect::Binary:
      command.dialect = proto::Dialect::Binary;
      if (verb == Verb::Touch) command.want |= Want::kTouch;
      if (command.exptime < 0) command.exptime = kLongAgo;
      if (command.vivify_exptime < 0) command.vivify_exptime = kLongAgo;
      break;
  }
  return command;
}

Meaning settle_head(const Operation& operation, Dialect dialect, const ReplyHead& head,
                    Answer& answer) {
  if (head.kind == ReplyKind::Refused) {
    const bool is_of_counter = head.text == proto::error_line(proto::ErrorId::NonNumeric).text;
    // It has taken the place of a reply that was lost.
    if (is_of_counter && dialect != Dialect::Binary && !counts(operation.verb)) {
      return Meaning::Nonsense;
    }
    return Meaning::Refused;
  }
  const Meaning meaning = settle(operation, dialect, head, answer);
  if (meaning == Meaning::Answered && head.value_bytes != 0) return Meaning::Nonsense;
  return meaning;
}

Meaning settle_value(const Operation& operation, Answer& answer) noexcept {
  answer.outcome = Outcome::Done;
  if (operation.verb == Verb::Get) return Meaning::Answered;
  uint64_t number = 0;
  if (answer.value.empty() || answer.value.front() == '-' ||
      !proto::read_u64(answer.value, number)) {
    return Meaning::Nonsense;
  }
  answer.number = number;
  answer.value.clear();
  return Meaning::Answered;
}

bool leaves_nothing_older(const Operation& operation, Dialect dialect,
                          const ReplyHead& refused) noexcept {
  using proto::BinaryStatus;
  using proto::ErrorId;
  const auto says = [&](ErrorId text, BinaryStatus status) {
    return dialect == Dialect::Binary ? refused.status == static_cast<uint16_t>(status)
                                      : refused.text == proto::error_line(text).text;
  };
  // Servers drop what a set without a version was to replace, and an add leaves what is there.
  if ((operation.verb == Verb::Set && operation.cas == 0) || operation.verb == Verb::Add) {
    return says(ErrorId::TooLarge, BinaryStatus::TooLarge) ||
           says(ErrorId::OutOfMemoryStoring, BinaryStatus::OutOfMemory);
  }
  return counts(operation.verb) && says(ErrorId::NonNumeric, BinaryStatus::NonNumeric);
}

bool loses_step(const Operation& operation, Dialect dialect, const ReplyHead& refused) noexcept {
  if (dialect == Dialect::Binary) return false;
  if (stores(operation.verb)) return !refused.text.starts_with("SERVER_ERROR");
  return dialect == Dialect::Classic && operation.verb == Verb::Get;
}

}  // namespace larder::client
