#include "tools/client/connection.h"

#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <deque>
#include <new>
#include <utility>
#include <vector>

#include "proto/binary_header.h"
#include "proto/reply_buffer.h"
#include "proto/reply_parser.h"
#include "proto/request_writer.h"
#include "tools/client/get_line.h"
#include "tools/client/process.h"
#include "tools/client/request_number.h"
#include "tools/client/retry.h"
#include "tools/client/spelling.h"
#include "tools/client/tls_transport.h"
#include "tools/client/transport.h"

namespace larder::client {
namespace {

using proto::ParsedReply;
using proto::ReplyHead;

// So much of what is asked is spelled at a time: enough for large sends, and however many
// operations there are, no more memory than this is taken for them. Long values are not copied.
constexpr size_t kOutputBytes = 128 * 1024;
// What is received at once; a value that has begun goes to its place instead.
constexpr size_t kInputBytes = 32 * 1024;
// A reply's head has to fit, also one that begins at the end.
static_assert(kInputBytes >= 4 * (proto::kMaxReplyLineBytes + proto::kMaxReplyTextBytes));
// A value's string is filled with zeros by so much at a time: what a server claims costs nothing
// before it comes, and what was made ready for it is still in the CPU's cache then.
constexpr size_t kValueStepBytes = 256 * 1024;
// A line of what an operator asks for: the longest is that of a cluster's nodes.
constexpr size_t kMostAskedLineBytes = 64 * 1024;
// So often the clock is looked at where the server is never out of bytes.
constexpr int kRoundsBetweenClocks = 16;

constexpr std::string_view kCrlf = "\r\n";

// One submit().
struct Batch {
  const Operation* operations;
  Answer* answers;
  size_t count;
  size_t written = 0;   // and spelled into the output
  size_t answered = 0;  // behind these only those have their answers that are not asked
  size_t proven = 0;    // classic: of these no other request got the reply
};

// Requests that are one line of classic gets, by their numbers in the order of asking. An END comes
// behind the last answer.
struct AskedLine {
  uint32_t begin;
  uint32_t end;
};

void answer_failed(Answer& answer, Error error) noexcept {
  answer.make_blank();
  answer.in_doubt = error.kind != ErrorKind::BadRequest && error.kind != ErrorKind::Unreachable;
  answer.error = std::move(error);
}

// Of many answers; its text may not find memory.
Error copy_of(const Error& error) noexcept {
  try {
    return error;
  } catch (const std::bad_alloc&) {
    return {error.kind, {}};
  }
}

// What a server says that takes no more connections, in every dialect, and then closes.
constexpr std::string_view kTooManyConnections = "ERROR Too many open connections";
// Whether a server knows meta. One with users closes on a line of less than 7 bytes before a login,
// where it tells of a longer one that a login is missing.
constexpr std::string_view kFirstBarrier = "mn      \r\n";
// What a server says that does not know the request.
constexpr std::string_view kUnknownCommand = "ERROR";

// Meta: whether servers say EN where the item is missing. They say NF to other requests than mg,
// and an mg that makes the item does not miss.
bool is_missed_with_en(const Operation& operation) {
  return (operation.verb == Verb::Get || operation.verb == Verb::Touch) &&
         operation.vivify_seconds == 0;
}

bool is_end(std::string_view line, std::span<const std::string_view> ends) {
  const std::string_view word = line.substr(0, line.find(' '));
  return std::find_if(ends.begin(), ends.end(), [&](std::string_view end) {
           return end == line || end == word;
         }) != ends.end();
}

}  // namespace

std::string Endpoint::text() const {
  if (host.empty()) return path;
  const bool brackets = host.find(':') != host.npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

// Invariants:
// 1. batches[writing] is the first that is not wholly written, or writing == batches.size(); all
//    before batches.front() are answered.
// 2. Of the operations that go on the wire, `asked` have been spelled and `told` answered. The i-th
//    has the number first_number + i, as long as it is not told: each barrier takes one, too.
// 3. `lines` has every classic get that is not told, and a line whose END has not come.
// 4. Where a value is under way the input is empty or belongs to it.
// 5. Once `failure` is set there are no batches.
// 6. Meta has barriers, asked when all else has been answered, whose reply must come before any
//    other. No value is sent before the server has answered a meta command, as one that knows none
//    would take the value for commands: the first barrier is an `mn`. And since a refusal and the
//    OK of a flush_all carry no opaque, they are not known to be the current request's until a
//    later reply has the right opaque, or that of a barrier_operation() comes next: before that,
//    they leave doubt and the connection is not idle. (Not an MN: as an OK it may be one that comes
//    twice.)
// 7. Classic: `unproven_batches` are those that are answered, and may have got the replies to the
//    requests behind theirs or before: the connection has not been idle since, at the end of a
//    receive(), and no reply to a get has come. Their callers have not let go of them yet.
struct Connection::State {
  const uint32_t opened_in = process_generation();
  Endpoint endpoint;
  std::string address;
  ConnectionOptions options;
  std::unique_ptr<Transport> transport;
  const Cancellation* cancellation = nullptr;  // of waits; null: nobody cancels
  std::optional<Error> failure;
  LingeringList lingering = LingeringList(1);  // not taken before the connection has failed
  bool lingers = false;
  bool changed = false;  // what has failed may come to change something yet
  bool is_left = false;  // see was_left()

  std::deque<Batch> batches;
  std::vector<Batch> unproven_batches;  // invariant 7
  size_t writing = 0;
  uint32_t asked = 0;
  uint32_t told = 0;
  // By chance: a reply that a proxy mixes up between two connections does not fit.
  uint32_t first_number = RequestNumber::any();
  bool misses_have_opaques = false;  // meta: an EN of this server repeated one
  bool knows_meta = false;           // the server has answered a meta command
  bool is_barrier_asked = false;     // and not answered
  bool barrier_proves = false;       // it is not the `mn`, and has this number:
  uint32_t barrier_number = 0;
  bool has_unproven = false;         // replies that a late one may have been taken for
  bool unproven_may_change = false;  // some of these requests may come to change something yet
  std::vector<Answer*> unproven;     // refusals that leave no doubt once they are proven
  std::vector<Answer*> unproven_ok;  // flushes that fail with the connection unless they are proven
  // Since it was idle: the last answer, in text the last value or meta number, that nothing has
  // proven yet. A value may have lost its tail and end with bytes of a later reply, which then
  // never comes: a later reply that is known to be its request's proves it, and so does an idle
  // connection.
  Answer* last_told = nullptr;
  bool last_told_has_body = false;  // a value, a number but in classic, or a binary version
  bool last_told_changes = false;
  std::deque<AskedLine> lines;
  GetLine get_line;  // empty but while it is spelled

  proto::ReplyBuffer output;
  std::vector<iovec> pieces;  // of it
  size_t first_piece = 0;     // that is not sent

  std::unique_ptr<char[]> input = std::make_unique_for_overwrite<char[]>(kInputBytes);
  size_t input_begin = 0;
  size_t input_end = 0;
  // The value under way, and what its string has not got yet.
  bool in_value = false;
  size_t value_bytes = 0;
  size_t value_got = 0;
  size_t trailer_bytes = 0;
  uint64_t held_bytes = 0;  // of all values since it was idle
  bool drained = false;     // less came than there was room for

  std::string_view held() const { return {input.get() + input_begin, input_end - input_begin}; }
  bool is_sent() const { return first_piece == pieces.size(); }
  // A server may answer before it has read all, as it does to a value that is too large: until that
  // has gone, too, the output refers to what is the caller's.
  bool is_idle() const { return batches.empty() && lines.empty() && is_sent() && !has_unproven; }
  bool has_output() const { return !is_sent() || may_spell() || is_barrier_due(); }
  bool may_spell() const {
    if (writing == batches.size()) return false;
    return options.dialect != Dialect::Meta || knows_meta || !sends_value(next_to_write().verb);
  }
  bool is_barrier_due() const {
    if (is_barrier_asked || told != asked || may_spell()) return false;
    return writing < batches.size() || has_unproven;
  }
  bool is_inherited() const noexcept { return opened_in != process_generation(); }
  Error error(ErrorKind kind, const std::string& what) const {
    return {kind, endpoint.text() + " " + what};
  }
  Error refusal(const ReplyHead& head) const {
    const ErrorKind kind = is_turned_away(head.text) ? ErrorKind::Unreachable
                           : head.denied             ? ErrorKind::Denied
                                                     : ErrorKind::Refused;
    const bool is_unknown =
        options.dialect == Dialect::Meta && !knows_meta && head.text == kUnknownCommand;
    return error(kind, "says: " + std::string(head.text) +
                           (is_unknown ? ", as a server without the meta commands does; "
                                         "the classic dialect may suit it"
                                       : ""));
  }
  // Nothing of what was asked has been read, then.
  bool is_turned_away(std::string_view reply) const {
    return told == 0 && reply.starts_with(kTooManyConnections);
  }
  // Ends the connection on account of what the client makes of an answer.
  void leave(Error why) {
    is_left = true;
    fail(std::move(why));
  }

  void fail(Error why) noexcept;
  // What an inherited connection sent or read would be missing or too many in the parent's stream.
  void fail_if_inherited() {
    if (is_inherited()) fail(error(ErrorKind::Closed, "was connected to before fork()"));
  }
  void fail_broken() {
    fail(transport->is_denial()
             ? error(ErrorKind::Denied, "does not accept this client: " + transport->why())
             : error(ErrorKind::Closed, "has closed the connection: " + transport->why()));
  }
  void fail_protocol(const std::string& what);
  void doubt_batch(const Batch& batch, size_t from, const Error& why) noexcept;
  void doubt_last_told(const Error& why) noexcept;
  bool answers_current(const ReplyHead& head);
  bool may_hold(uint64_t bytes);

  void submit(std::span<const Operation> operations, std::span<Answer> answers);
  void skip_objections();
  void drop_answered();

  void spell();
  void spell_barrier();
  void spell_next();
  void spell(const Operation& operation, uint32_t with_number);
  void spell_line();
  bool send();

  // With a deadline it waits for something until then.
  bool receive(std::optional<Deadline> deadline = {});
  size_t room_for_value();
  void take_input();
  bool take_value();
  bool take_head();
  bool is_in_line() const {
    return !lines.empty() && told - lines.front().begin <= line_requests();
  }
  uint32_t line_requests() const { return lines.front().end - lines.front().begin; }
  bool expects(std::string_view key) const;
  void note_line_reply();
  bool take_line_head(const ReplyHead& head);
  bool take_barrier(const ReplyHead& head);
  void note_meta_reply(const ReplyHead& head);
  bool proves_last_told(const ReplyHead& head) const;
  void note_told();
  void prove() noexcept;
  void unasked(const ReplyHead& head);
  void refused(const ReplyHead& head);
  void flushed();
  void settle(Meaning meaning, const ReplyHead& head);

  void go(Deadline deadline);
  bool wait(Deadline deadline);

  const Operation& next_to_write() const {
    return batches[writing].operations[batches[writing].written];
  }
  void written_one() {
    ++asked;
    ++batches[writing].written;
    skip_objections();
  }
  const Operation& current() const { return batches.front().operations[batches.front().answered]; }
  Answer& current_answer() const { return batches.front().answers[batches.front().answered]; }

  Result<void> say(std::string_view bytes, Deadline deadline);
  bool receive_more(Deadline deadline);
  Result<void> login(Deadline deadline);
  Result<void> login_by_set(Deadline deadline);
  Result<void> login_by_sasl(Deadline deadline);
  Result<void> ask_lines(std::string_view command, std::span<const std::string_view> ends,
                         Deadline deadline, const std::function<bool(std::string_view)>& on_line);
  Result<bool> take_lines(std::string& begun, std::span<const std::string_view> ends,
                          const std::function<bool(std::string_view)>& on_line);
};

void Connection::State::fail(Error why) noexcept {
  if (failure) return;
  failure = std::move(why);
  // The rest of what was asked does not come: the last value may hold a part of it.
  if (!is_idle() && (last_told_has_body || !held().empty())) doubt_last_told(*failure);
  // Where the client leaves the connection on account of a reply, it believes those before that.
  if (!is_left) {
    for (const Batch& batch : unproven_batches) doubt_batch(batch, batch.proven, *failure);
    if (!batches.empty()) doubt_batch(batches.front(), batches.front().proven, *failure);
  }
  for (Answer* const answer : unproven_ok) answer_failed(*answer, copy_of(*failure));
  for (Batch& batch : batches) {
    for (size_t i = batch.answered; i < batch.count; ++i) {
      changed = changed || changes_something(batch.operations[i]);
      if (!batch.answers[i].error) answer_failed(batch.answers[i], copy_of(*failure));
    }
  }
  changed = changed || unproven_may_change;
  has_unproven = unproven_may_change = is_barrier_asked = false;
  unproven.clear();
  unproven_ok.clear();
  batches.clear();
  unproven_batches.clear();
  lines.clear();
  writing = 0;
  output.clear();
  pieces.clear();
  first_piece = 0;
  input_begin = input_end = 0;
  in_value = false;
  if (changed && failure->kind != ErrorKind::Unreachable && !is_inherited()) {
    lingering.front().take(transport->release());
    lingers = true;
  }
  transport.reset();  // so that the server learns of it
}

// What came before nonsense may be part of it.
void Connection::State::fail_protocol(const std::string& what) {
  const Error why = error(ErrorKind::Protocol, what);
  if (!batches.empty()) doubt_batch(batches.front(), 0, why);
  doubt_last_told(why);
  fail(why);
}

// Classic replies to other commands than gets fit each request of their kind: where one is missing
// or comes twice, the requests around it may have got those of their neighbours. Fails the answers
// of the batch from this one on.
void Connection::State::doubt_batch(const Batch& batch, size_t from, const Error& why) noexcept {
  if (options.dialect != Dialect::Classic) return;
  for (size_t i = from; i < batch.answered; ++i) {
    if (batch.operations[i].verb == Verb::Get || batch.answers[i].error) continue;
    changed = changed || changes_something(batch.operations[i]);
    answer_failed(batch.answers[i], copy_of(why));
  }
}

// The last reply may be made of parts of two. Its caller has not got it yet, also where its batch
// is done: either the connection is not idle, or this is in a receive(), which sees what is behind
// the reply before it returns.
void Connection::State::doubt_last_told(const Error& why) noexcept {
  if (last_told == nullptr || last_told->error) return;
  changed = changed || last_told_changes;
  answer_failed(*last_told, copy_of(why));
}

// -- Asking.

void Connection::State::submit(std::span<const Operation> operations, std::span<Answer> answers) {
  fail_if_inherited();
  if (answers.size() < operations.size()) {
    for (Answer& answer : answers) {
      answer.make_blank();
      answer.error =
          error(ErrorKind::BadRequest, "is not asked: there are fewer answers than operations");
    }
    return;
  }
  for (size_t i = 0; i < operations.size(); ++i) {
    answers[i].make_blank();
    const std::string_view objection = objection_to(operations[i], options.dialect);
    if (!objection.empty()) {
      answers[i].error = error(ErrorKind::BadRequest, "is not asked: " + std::string(objection));
    } else if (failure) {
      answers[i].error = *failure;
    }
  }
  if (failure || operations.empty()) return;
  if (is_idle()) {
    held_bytes = 0;
    last_told = nullptr;
    unproven_batches.clear();
  }
  // drop_answered() does not fail in the middle of a receive.
  if (options.dialect == Dialect::Classic) {
    unproven_batches.reserve(unproven_batches.size() + batches.size() + 1);
  }
  batches.push_back({operations.data(), answers.data(), operations.size()});
  skip_objections();
  drop_answered();
  if (is_idle()) unproven_batches.clear();  // there was nothing to ask
}

// So that both cursors stand at something to do.
void Connection::State::skip_objections() {
  while (writing < batches.size()) {
    Batch& batch = batches[writing];
    while (batch.written < batch.count && batch.answers[batch.written].error) ++batch.written;
    if (batch.written < batch.count) return;
    ++writing;
  }
}

void Connection::State::drop_answered() {
  while (!batches.empty()) {
    Batch& batch = batches.front();
    // What is not written has no error of the server's yet, and stops this.
    while (batch.answered < batch.written && batch.answers[batch.answered].error) {
      ++batch.answered;
    }
    if (batch.answered < batch.count) return;
    if (options.dialect == Dialect::Classic) unproven_batches.push_back(batch);
    batches.pop_front();
    --writing;
  }
}

// Fills the output, which is empty.
void Connection::State::spell() {
  output.clear();
  if (is_barrier_due()) spell_barrier();
  while (may_spell() && output.total_bytes() < kOutputBytes) {
    if (options.dialect == Dialect::Classic && next_to_write().verb == Verb::Get) {
      spell_line();
    } else {
      spell_next();
    }
  }
  pieces.clear();
  first_piece = 0;
  for (const proto::ReplyBuffer::Piece& piece : output.pieces()) {
    pieces.push_back({const_cast<char*>(piece.data), piece.bytes});
  }
}

void Connection::State::spell_barrier() {
  is_barrier_asked = true;
  barrier_proves = has_unproven;
  if (!barrier_proves) return output.copy(kFirstBarrier);
  barrier_number = first_number++ + asked;
  spell(barrier_operation(options.dialect), barrier_number);
}

void Connection::State::spell_next() {
  spell(next_to_write(), first_number + asked);
  written_one();
}

void Connection::State::spell(const Operation& operation, uint32_t with_number) {
  proto::Command command = command_of(operation, options.dialect);
  const RequestNumber number(options.dialect, with_number);
  if (has_opaque(operation.verb, options.dialect)) command.opaque = number.opaque();
  const bool spelled = proto::write_request(command, operation.value, output);
  assert(spelled);
  static_cast<void>(spelled);
}

// The gets from here on that a line can have, or one that also touches.
void Connection::State::spell_line() {
  const uint32_t begin = asked;
  if (next_to_write().touch) {
    spell_next();
  } else {
    const size_t batch = writing;  // a line's requests are of one
    while (writing == batch && next_to_write().verb == Verb::Get && !next_to_write().touch &&
           get_line.add(next_to_write().key)) {
      written_one();
    }
    get_line.write(output);
  }
  lines.push_back({begin, asked});
}

// Whether something went.
bool Connection::State::send() {
  if (is_sent()) spell();
  const Transport::Moved moved =
      transport->send(std::span<const iovec>(pieces).subspan(first_piece));
  switch (moved.status) {
    case Transport::Status::Again:
      return false;
    case Transport::Status::Closed:
    case Transport::Status::Broken:
      // A server that closes may have said why: what it said is read first.
      while (!failure && !batches.empty() && receive()) {
      }
      if (!failure) fail_broken();
      return false;
    case Transport::Status::Moved:
      break;
  }
  size_t sent = moved.bytes;
  while (first_piece < pieces.size() && sent >= pieces[first_piece].iov_len) {
    sent -= pieces[first_piece++].iov_len;
  }
  if (sent > 0) {
    pieces[first_piece].iov_base = static_cast<char*>(pieces[first_piece].iov_base) + sent;
    pieces[first_piece].iov_len -= sent;
  }
  if (is_idle()) unproven_batches.clear();  // answered before all of it had gone
  return true;
}

// -- Being told.

// Makes room in the current answer, and returns how many bytes from value_got on there are.
size_t Connection::State::room_for_value() {
  std::string& value = current_answer().value;
  if (value.size() == value_got) {
    value.resize(std::min(value_bytes, value_got + kValueStepBytes));
  }
  return value.size() - value_got;
}

// Whether something came.
bool Connection::State::receive(std::optional<Deadline> deadline) {
  if (input_begin == input_end) input_begin = input_end = 0;
  if (input_begin > kInputBytes / 2) {
    std::memmove(input.get(), input.get() + input_begin, input_end - input_begin);
    input_end -= input_begin;
    input_begin = 0;
  }
  iovec into[2];
  size_t count = 0;
  size_t direct = 0;
  if (in_value && value_got < value_bytes) {
    direct = room_for_value();
    into[count++] = {current_answer().value.data() + value_got, direct};
  }
  // What is behind the value, and no part of it that would have to be copied.
  const size_t room = value_got + direct == value_bytes || !in_value ? kInputBytes - input_end : 0;
  if (room > 0) into[count++] = {input.get() + input_end, room};
  const Transport::Moved moved = deadline ? transport->receive_by({into, count}, *deadline)
                                          : transport->receive({into, count});
  switch (moved.status) {
    case Transport::Status::Again:
      return false;
    case Transport::Status::Closed:
      // Servers with users close after a line that is too short for a login.
      fail(error(ErrorKind::Closed, is_barrier_asked && !knows_meta
                                        ? "has closed the connection, perhaps to a client without "
                                          "a login, instead of answering mn"
                                        : "has closed the connection"));
      return false;
    case Transport::Status::Broken:
      fail_broken();
      return false;
    case Transport::Status::Moved:
      break;
  }
  drained = moved.bytes < direct + room && !transport->holds_input();
  const size_t to_value = std::min(direct, moved.bytes);
  value_got += to_value;
  input_end += moved.bytes - to_value;
  take_input();
  if (is_idle()) unproven_batches.clear();  // the callers may let go of them from here on
  return true;
}

void Connection::State::take_input() {
  while (!failure) {
    if (!(in_value ? take_value() : take_head())) return;
  }
}

// False if more has to come.
bool Connection::State::take_value() {
  std::string& value = current_answer().value;
  if (value_got < value_bytes) {
    // Only the beginning of a value gets here, before any room was made for the rest.
    assert(input_begin == input_end || value.size() == value_got);
    const size_t taken = std::min(value_bytes - value_got, input_end - input_begin);
    value.append(input.get() + input_begin, taken);
    value_got += taken;
    input_begin += taken;
  }
  if (value_got < value_bytes || held().size() < trailer_bytes) return false;
  if (held().substr(0, trailer_bytes) != kCrlf.substr(0, trailer_bytes)) {
    fail_protocol("sent a value that is longer than it said");
    return false;
  }
  input_begin += trailer_bytes;
  in_value = false;
  settle(settle_value(current(), current_answer()), {});
  return true;
}

bool Connection::State::take_head() {
  if (held().empty()) return false;
  if (told == 0 && held().front() == kTooManyConnections.front()) {  // in binary, too
    if (is_turned_away(held())) {
      fail(error(ErrorKind::Unreachable, "says: " + std::string(kTooManyConnections)));
      return false;
    }
    if (kTooManyConnections.starts_with(held())) return false;
  }
  ReplyHead head;
  const bool binary = options.dialect == Dialect::Binary;
  const ParsedReply parsed =
      binary ? proto::parse_binary_reply(held(), head) : proto::parse_text_reply(held(), head);
  switch (parsed.status) {
    case ParsedReply::Status::NeedMore:
      if (told == asked && (binary || ((last_told != nullptr || !unproven_batches.empty()) &&
                                       !is_barrier_asked && !is_in_line()))) {
        fail_protocol("sent what nobody asked for");
      }
      return false;
    case ParsedReply::Status::Malformed:
      fail_protocol("sent what is no reply");
      return false;
    case ParsedReply::Status::Complete:
      break;
  }
  if (is_barrier_asked) {
    if (!take_barrier(head)) return false;
    input_begin += parsed.consumed;
    return true;
  }
  if (is_in_line()) {
    if (!take_line_head(head)) return false;
    if (head.kind == proto::ReplyKind::End) {
      input_begin += parsed.consumed;
      return true;
    }
  }
  if (told == asked) {
    unasked(head);
    return false;
  }
  if (!answers_current(head)) {
    fail_protocol("answered another request than the one that was to be answered");
    return false;
  }
  if (options.dialect == Dialect::Meta) note_meta_reply(head);
  const Meaning meaning = settle_head(current(), options.dialect, head, current_answer());
  if (meaning != Meaning::Nonsense && proves_last_told(head)) last_told = nullptr;
  if (meaning != Meaning::Value) {
    settle(meaning, head);  // while the head's views are good
    if (!failure) input_begin += parsed.consumed;
    return !failure;
  }
  if (!may_hold(head.value_bytes)) return false;
  in_value = true;
  value_bytes = static_cast<size_t>(head.value_bytes);
  value_got = 0;
  trailer_bytes = head.trailer_bytes;
  current_answer().value.reserve(value_bytes);  // of which nothing is touched yet
  input_begin += parsed.consumed;
  return true;
}

// By its opaque; a refusal in text has none.
bool Connection::State::answers_current(const ReplyHead& head) {
  const bool binary = options.dialect == Dialect::Binary;
  if (!binary && head.kind == proto::ReplyKind::Refused) return true;
  if (!has_opaque(current().verb, options.dialect)) return head.opaque.empty();
  const bool is_en = !binary && head.word == "EN";
  if (is_en && head.opaque.empty()) return !misses_have_opaques && is_missed_with_en(current());
  if (head.opaque != RequestNumber(options.dialect, first_number + told).opaque()) return false;
  misses_have_opaques = misses_have_opaques || is_en;
  return true;
}

// Whether a value of so many bytes may be received; else the connection has failed.
bool Connection::State::may_hold(uint64_t bytes) {
  if (bytes > options.most_value_bytes) {
    ++told;
    ++batches.front().answered;
    answer_failed(batches.front().answers[batches.front().answered - 1],
                  error(ErrorKind::TooLarge,
                        "announces a value of " + std::to_string(bytes) + " bytes, more than the " +
                            std::to_string(options.most_value_bytes) + " that are taken"));
    // The others may be asked again on another connection.
    leave(error(ErrorKind::Closed, "was left: it announced a value that is too large"));
    return false;
  }
  if (bytes > options.most_reply_bytes - held_bytes) {
    leave(error(ErrorKind::TooLarge, "announces values of more bytes together than the " +
                                         std::to_string(options.most_reply_bytes) +
                                         " that are taken"));
    return false;
  }
  held_bytes += bytes;
  return true;
}

// Whether an answer to what is not told of the line, which is of the first batch, can have this
// key.
bool Connection::State::expects(std::string_view key) const {
  uint32_t left = lines.front().end - told;
  if (left == 0) return false;
  const Batch& batch = batches.front();
  for (size_t i = batch.answered; left > 0; ++i) {
    if (batch.answers[i].error) continue;  // not asked
    if (batch.operations[i].key == key) return true;
    --left;
  }
  return false;
}

// A reply to a get fits no other command: had one before it been lost, it would have come too
// early, and had one come twice, too late.
void Connection::State::note_line_reply() {
  unproven_batches.clear();
  if (!batches.empty()) batches.front().proven = batches.front().answered;
}

// What a head says of the gets before the one that it is for, or with END of all that are left:
// they are not there. False: it has failed.
bool Connection::State::take_line_head(const ReplyHead& head) {
  const bool is_end = head.kind == proto::ReplyKind::End;
  const bool is_value = head.kind == proto::ReplyKind::Value;
  if (head.kind == proto::ReplyKind::Refused) {
    if (told != lines.front().end) return true;  // it is for the current one, as far as one knows
    fail(refusal(head));
    return false;
  }
  if (is_value && told != lines.front().end && current().key == head.key) {
    note_line_reply();
    return true;
  }
  if (!is_end && !(is_value && expects(head.key))) {
    fail_protocol("sent what is no reply to the request");
    return false;
  }
  note_line_reply();
  while (told != lines.front().end && (is_end || current().key != head.key)) {
    current_answer().outcome = Outcome::Missing;
    settle(Meaning::Answered, {});
  }
  if (is_end) lines.pop_front();
  return true;
}

// False: it has failed.
bool Connection::State::take_barrier(const ReplyHead& head) {
  if (head.kind == proto::ReplyKind::Refused) {
    fail(refusal(head));
    return false;
  }
  const bool is_nothing_done =
      head.kind == proto::ReplyKind::Missing || head.kind == proto::ReplyKind::Exists;
  const bool is_its_own =
      barrier_proves ? is_nothing_done &&
                           head.opaque == RequestNumber(options.dialect, barrier_number).opaque()
                     : head.kind == proto::ReplyKind::Noop;
  if (!is_its_own) {
    fail_protocol("answered another request than the one that was to be answered");
    return false;
  }
  is_barrier_asked = false;
  knows_meta = true;
  last_told = nullptr;
  if (barrier_proves) prove();
  return true;
}

// What it says of the server and of the replies before it. It is the current operation's.
void Connection::State::note_meta_reply(const ReplyHead& head) {
  if (head.kind == proto::ReplyKind::Refused) return;
  const bool is_noop = current().verb == Verb::Noop && head.kind == proto::ReplyKind::Noop;
  if (!head.opaque.empty()) prove();
  if (is_noop || has_opaque(current().verb, options.dialect)) knows_meta = true;
}

// Whether a reply that fits the current request cannot be that of a later one, whose predecessor is
// in the last value. In text that may be so of a refusal, of an EN without an opaque, of MN and of
// END.
bool Connection::State::proves_last_told(const ReplyHead& head) const {
  if (options.dialect == Dialect::Binary) return true;
  if (head.kind == proto::ReplyKind::Refused) return false;
  return options.dialect == Dialect::Classic || !head.opaque.empty();
}

// The current answer is the last, unless it is text without a value: that proves nothing. A counter
// of meta is told in a value, which may be that of the next counter.
void Connection::State::note_told() {
  const Verb verb = current().verb;
  const bool binary = options.dialect == Dialect::Binary;
  const bool counts = verb == Verb::Increment || verb == Verb::Decrement;
  const bool has_number = counts && options.dialect != Dialect::Classic;
  const bool has_body = current_answer().outcome == Outcome::Done &&
                        (verb == Verb::Get || has_number || (binary && verb == Verb::Version));
  if (!binary && !has_body) return;
  last_told = &current_answer();
  last_told_has_body = has_body;
  last_told_changes = changes_something(current());
}

void Connection::State::prove() noexcept {
  for (Answer* const answer : unproven) answer->in_doubt = false;
  unproven.clear();
  unproven_ok.clear();
  has_unproven = unproven_may_change = false;
}

// A server that is full says so before it has read anything.
void Connection::State::unasked(const ReplyHead& head) {
  if (head.kind != proto::ReplyKind::Refused) return fail_protocol("sent what nobody asked for");
  const Error why = refusal(head);
  doubt_last_told(why);
  fail(why);
}

// The current operation, which leaves no doubt at once where the reply is known to be its own.
void Connection::State::refused(const ReplyHead& head) {
  Answer& answer = current_answer();
  Error why = refusal(head);
  const bool done = leaves_nothing_older(current(), options.dialect, head);
  if (options.dialect == Dialect::Meta) {
    if (done) unproven.push_back(&answer);
    has_unproven = true;
    unproven_may_change = unproven_may_change || changes_something(current());
  }
  answer_failed(answer, std::move(why));
  if (done && options.dialect != Dialect::Meta) answer.in_doubt = false;
}

// The current operation is a flush_all, and an OK has come.
void Connection::State::flushed() {
  if (options.dialect != Dialect::Meta) return;
  unproven_ok.push_back(&current_answer());
  has_unproven = unproven_may_change = true;
}

// The current operation is at its end.
void Connection::State::settle(Meaning meaning, const ReplyHead& head) {
  if (meaning == Meaning::Nonsense) {
    return fail_protocol("sent what is no reply to the request");
  }
  bool lost = false;
  if (meaning == Meaning::Refused) {
    lost = loses_step(current(), options.dialect, head);
    refused(head);
  } else if (current().verb == Verb::FlushAll) {
    flushed();
  }
  note_told();
  ++told;
  ++batches.front().answered;
  drop_answered();
  if (lost) {
    leave(error(ErrorKind::Closed, "was left: it refused a request in the middle of it (" +
                                       std::string(head.text) + ")"));
  }
}

// -- Getting on.

void Connection::State::go(Deadline deadline) {
  fail_if_inherited();
  for (int round = 1; !failure && !is_idle(); ++round) {
    bool moved = false;
    if (has_output()) {
      moved = send();
      // Whatever is answered first comes later: poll() says when.
      if (!failure && !has_output() && !transport->holds_input()) return;
    }
    if (!failure && receive() && !drained) moved = true;
    if (!moved) return;
    if (round % kRoundsBetweenClocks == 0 && deadline != Deadline::max() &&
        std::chrono::steady_clock::now() >= deadline) {
      return;
    }
  }
}

// False, and failed, at the deadline or when cancelled.
bool Connection::State::wait(Deadline deadline) {
  const short what = static_cast<short>(POLLIN | (has_output() ? POLLOUT : 0));
  const bool late = deadline != Deadline::max() && std::chrono::steady_clock::now() >= deadline;
  if (!late && wait_until_ready(transport->fd(), what, deadline, cancellation)) return true;
  fail(error(ErrorKind::Timeout, "did not answer in time"));
  return false;
}

// -- Words of an operator.

Result<void> Connection::State::say(std::string_view bytes, Deadline deadline) {
  output.clear();
  pieces.assign(1, {const_cast<char*>(bytes.data()), bytes.size()});
  first_piece = 0;
  while (!failure && has_output()) {
    if (!send() && !failure) wait(deadline);
  }
  if (failure) return *failure;
  return {};
}

// Waits for bytes behind those that are held; false, and failed, if none come.
bool Connection::State::receive_more(Deadline deadline) {
  if (input_begin == input_end) input_begin = input_end = 0;
  const iovec room = {input.get() + input_end, kInputBytes - input_end};
  assert(room.iov_len > 0);
  // Who always has something to say is not waited for, and so not timed, below.
  if (deadline != Deadline::max() && std::chrono::steady_clock::now() >= deadline) {
    return wait(deadline);
  }
  for (;;) {
    // First, as TLS may hold what poll() knows nothing of.
    const Transport::Moved moved = transport->receive({&room, 1});
    switch (moved.status) {
      case Transport::Status::Moved:
        input_end += moved.bytes;
        return true;
      case Transport::Status::Again:
        if (!wait(deadline)) return false;
        break;
      case Transport::Status::Closed:
        fail(error(ErrorKind::Closed, "has closed the connection"));
        return false;
      case Transport::Status::Broken:
        fail_broken();
        return false;
    }
  }
}

// Gives out the lines that are there. True: the last has come. `begun` is a line without its end.
Result<bool> Connection::State::take_lines(std::string& begun,
                                           std::span<const std::string_view> ends,
                                           const std::function<bool(std::string_view)>& on_line) {
  while (!failure) {
    const std::string_view all = held();
    const size_t newline = all.find('\n');
    if (newline == all.npos) {
      begun += all;
      input_begin = input_end = 0;
      if (begun.size() > kMostAskedLineBytes) fail_protocol("sent a line without an end");
      break;
    }
    std::string_view line = all.substr(0, newline);
    if (!begun.empty()) line = begun.append(line);
    input_begin += newline + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    ReplyHead head;
    const bool known = proto::read_reply_line(line, head);
    if (known && head.kind == proto::ReplyKind::Refused && !is_end(line, ends)) {
      return refusal(head);
    }
    if (!on_line(line)) {
      fail(error(ErrorKind::Closed, "was left in the middle of its reply"));
      break;
    }
    if (is_end(line, ends)) return true;
    begun.clear();
  }
  if (failure) return *failure;
  return false;
}

Result<void> Connection::State::ask_lines(std::string_view command,
                                          std::span<const std::string_view> ends, Deadline deadline,
                                          const std::function<bool(std::string_view)>& on_line) {
  assert(is_idle());
  last_told = nullptr;
  fail_if_inherited();
  if (failure) return *failure;
  if (options.dialect == Dialect::Binary) {
    return error(ErrorKind::BadRequest, "speaks binary here, which has no lines");
  }
  if (command.empty()) return error(ErrorKind::BadRequest, "is not asked: there is no command");
  Result<void> said = say(std::string(command) + "\r\n", deadline);
  if (!said) return said;
  std::string begun;
  for (;;) {
    const Result<bool> taken = take_lines(begun, ends, on_line);
    if (failure) return *failure;
    if (!taken.ok() || *taken) {
      // A block behind a line that was refused is taken for commands.
      const bool lost = !taken.ok() && command.find('\n') != command.npos;
      if (lost || !held().empty()) fail_protocol("said more than was asked");
      if (!taken.ok()) return taken.error();
      return {};
    }
    if (!receive_more(deadline)) return *failure;
  }
}

// -- Logins.

Result<void> Connection::State::login(Deadline deadline) {
  if (options.user.empty()) return {};
  const Result<void> done =
      options.dialect == Dialect::Binary ? login_by_sasl(deadline) : login_by_set(deadline);
  if (done.ok() || done.error().kind != ErrorKind::Refused) return done;
  return Error{ErrorKind::Denied, done.error().text};
}

// memcached's protocol.txt, "Authentication". Only the length of the set counts. A server that
// wants no login takes it for an item, which is out of date at once: it holds a password.
Result<void> Connection::State::login_by_set(Deadline deadline) {
  if (options.user.find(' ') != options.user.npos) {
    return error(ErrorKind::BadRequest, "cannot be told a user's name with a blank");
  }
  const std::string value = options.user + " " + options.password;
  const std::string_view ends[] = {"STORED"};
  return ask_lines("set larder-login 0 -1 " + std::to_string(value.size()) + "\r\n" + value, ends,
                   deadline, [](std::string_view) { return true; });
}

// SASL PLAIN (RFC 4616): one message, which is all there is to say.
Result<void> Connection::State::login_by_sasl(Deadline deadline) {
  constexpr std::string_view kMechanism = "PLAIN";
  if ((options.user + options.password).find('\0') != std::string::npos) {
    return error(ErrorKind::BadRequest, "cannot be told a name or a password with a NUL");
  }
  const std::string message = '\0' + options.user + '\0' + options.password;
  char head[proto::BinaryRequestHeader::kBytes];
  proto::put_binary_request_header(
      head, {.opcode = proto::kSaslStartOpcode,
             .opaque = {},
             .key_bytes = static_cast<uint16_t>(kMechanism.size()),
             .body_bytes = static_cast<uint32_t>(kMechanism.size() + message.size())});
  const std::string request = std::string(head, sizeof head).append(kMechanism).append(message);
  const Result<void> said = say(request, deadline);
  if (!said) return said;
  for (;;) {
    ReplyHead reply;
    const ParsedReply parsed = proto::parse_binary_reply(held(), reply);
    const bool complete = parsed.status == ParsedReply::Status::Complete;
    if (parsed.status == ParsedReply::Status::Malformed ||
        (complete && (reply.opcode != proto::kSaslStartOpcode ||
                      reply.value_bytes > proto::kMaxReplyTextBytes))) {
      fail_protocol("sent what is no reply to a login");
      return *failure;
    }
    if (complete && reply.kind != proto::ReplyKind::Value) {
      return error(ErrorKind::Denied, "does not accept the login: " + std::string(reply.text));
    }
    // What a server says to a login that it accepts is of no use.
    if (complete && held().size() >= parsed.consumed + reply.value_bytes) {
      input_begin += parsed.consumed + reply.value_bytes;
      return {};
    }
    if (!receive_more(deadline)) return *failure;
  }
}

// -- The connection.

Connection::Connection(std::unique_ptr<State> state) : state_(std::move(state)) {}

Connection::~Connection() {
  if (!state_->failure && !idle()) {
    state_->fail(state_->error(ErrorKind::Closed, "was left before it had answered"));
  }
}

Result<std::unique_ptr<Connection>> Connection::open(const Endpoint& endpoint,
                                                     const ConnectionOptions& options,
                                                     Deadline deadline, std::string_view preferred,
                                                     const Cancellation* cancellation) {
  Result<Connected> connected =
      connect_to(endpoint, options.name_servers, deadline, preferred, cancellation);
  if (!connected) return connected.error();
  return open_over(std::move(*connected), endpoint, options, deadline, cancellation);
}

Result<std::unique_ptr<Connection>> Connection::open_over(Connected connected,
                                                          const Endpoint& endpoint,
                                                          const ConnectionOptions& options,
                                                          Deadline deadline,
                                                          const Cancellation* cancellation) {
  auto state = std::make_unique<State>();
  state->endpoint = endpoint;
  state->address = std::move(connected.address);
  state->options = options;
  state->cancellation = cancellation;
  if (options.tls.enabled) {
    Result<std::unique_ptr<Transport>> made =
        tls_transport(std::move(connected.socket), options.tls, endpoint, deadline, cancellation);
    if (!made) return made.error();
    state->transport = std::move(*made);
  } else {
    state->transport = plain_transport(std::move(connected.socket));
  }
  const Result<void> accepted = state->login(deadline);
  if (!accepted) return accepted.error();
  return std::unique_ptr<Connection>(new Connection(std::move(state)));
}

void Connection::submit(std::span<const Operation> operations, std::span<Answer> answers) {
  state_->submit(operations, answers);
}

bool Connection::idle() const noexcept { return state_->is_idle(); }

int Connection::fd() const noexcept {
  return state_->transport == nullptr ? -1 : state_->transport->fd();
}

short Connection::events() const noexcept {
  return static_cast<short>(POLLIN | (state_->has_output() ? POLLOUT : 0));
}

void Connection::advance(Deadline deadline) { state_->go(deadline); }

void Connection::advance_by(Deadline deadline) {
  state_->fail_if_inherited();
  if (state_->has_output()) {
    if (wait_until_ready(fd(), events(), deadline)) state_->go(deadline);
    return;
  }
  for (int round = 1; !failed() && !idle() && !state_->has_output() && state_->receive(deadline);
       ++round) {
    if (round % kRoundsBetweenClocks == 0 && std::chrono::steady_clock::now() >= deadline) return;
  }
}

void Connection::fail(Error error) noexcept { state_->fail(std::move(error)); }

bool Connection::failed() const noexcept { return state_->failure.has_value(); }

const std::optional<Error>& Connection::failure() const noexcept { return state_->failure; }

bool Connection::was_left() const noexcept { return state_->is_left; }

LingeringList Connection::take_lingering() noexcept {
  LingeringList taken;
  if (std::exchange(state_->lingers, false)) taken.splice(taken.end(), state_->lingering);
  return taken;
}

bool Connection::is_inherited() const noexcept { return state_->is_inherited(); }

bool Connection::is_in_step() const noexcept {
  return !failed() && !is_inherited() && idle() && state_->held().empty() &&
         !state_->transport->holds_input();
}

bool Connection::is_stale() const {
  if (failed()) return true;
  return idle() && (!is_in_step() || state_->transport->is_readable());
}

void Connection::run(std::span<const Operation> operations, std::span<Answer> answers,
                     Deadline deadline) {
  assert(idle());
  // Where memory runs out the caller's operations and answers go before the connection does.
  struct Unwind {
    State& state;
    ~Unwind() {
      if (!state.failure && !state.is_idle()) state.fail({ErrorKind::Closed, {}});
    }
  } unwind{*state_};
  state_->submit(operations, answers);
  state_->go(deadline);
  while (!state_->failure && !idle() && state_->wait(deadline)) state_->go(deadline);
}

Result<std::string> Connection::ask(std::string_view command,
                                    std::span<const std::string_view> ends, Deadline deadline) {
  std::string reply;
  bool too_long = false;
  const Result<void> asked = state_->ask_lines(command, ends, deadline, [&](std::string_view line) {
    too_long = reply.size() + line.size() + kCrlf.size() > state_->options.most_value_bytes;
    if (!too_long) reply.append(line).append(kCrlf);
    return !too_long;
  });
  if (asked) return reply;
  if (too_long) {
    return state_->error(ErrorKind::Protocol, "answers with more than is taken");
  }
  return asked.error();
}

Result<void> Connection::ask_lines(std::string_view command, std::span<const std::string_view> ends,
                                   Deadline deadline,
                                   const std::function<bool(std::string_view)>& on_line) {
  return state_->ask_lines(command, ends, deadline, on_line);
}

const Endpoint& Connection::endpoint() const noexcept { return state_->endpoint; }

const std::string& Connection::address() const noexcept { return state_->address; }

}  // namespace larder::client
