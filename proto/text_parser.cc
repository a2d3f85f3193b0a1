#include "proto/text_parser.h"

#include <cstring>
#include <string_view>

#include "proto/limits.h"
#include "proto/meta_parser.h"
#include "proto/verbs.h"

namespace larder::proto {
namespace {

using Status = Parsed::Status;

constexpr size_t kCrlfBytes = 2;
constexpr uint64_t kMaxMemoryLimitMiB = 1000000000;  // above it a client surely meant bytes
constexpr std::string_view kGraceful = "graceful";
constexpr std::string_view kHttpToken = "HTTP/";

constexpr const TextVerb* kGet = find_text_verb("get");
constexpr const TextVerb* kGets = find_text_verb("gets");
constexpr const TextVerb* kGat = find_text_verb("gat");
constexpr const TextVerb* kGats = find_text_verb("gats");
constexpr const TextVerb* kSet = find_text_verb("set");

uint32_t load_head(const char* p) noexcept {
  uint32_t head;
  std::memcpy(&head, p, sizeof head);
  return head;
}

void read_noreply(const Tokens& tokens, Command& command) noexcept {
  if (tokens.ends_with_noreply()) command.want |= Want::kQuiet;
}

// set k flags exptime bytes [cas] [noreply]. Until the length is known to be good, nothing can be
// skipped and noreply is not looked at; from there on the value is skipped if the line is refused.
void parse_storage(Line line, const Tokens& tokens, bool has_cas, Command& command) noexcept {
  int32_t length = 0;
  if (tokens.count() < 5 || !read_i32(tokens[4], length) || length < 0 ||
      length > kMaxTextValueBytes) {
    return command.refuse(ErrorId::BadCommandLine);
  }
  read_noreply(tokens, command);
  command.key = tokens[1];
  command.value_bytes = static_cast<uint32_t>(length);
  if (command.key.size() > kMaxKeyBytes ||
      !read_lax_flags(tokens.begin_of(2), line.end, command.client_flags) ||
      !read_lax_exptime(tokens.begin_of(3), line.end, command.exptime) ||
      (has_cas && (tokens.count() < 6 || !read_u64(tokens[5], command.cas)))) {
    command.refuse(ErrorId::BadCommandLine, command.value_bytes + kCrlfBytes);
  }
}

// config set <name> <flags> <bytes>. How long its block is, \r\n included; 0 if none is waited for:
// it is another line, or one that is refused.
size_t config_block_bytes(const Tokens& tokens) noexcept {
  uint32_t length = 0;
  if (tokens.count() < 5 || tokens[0] != "config" || tokens[1] != "set" ||
      !read_u32(tokens[4], length) || length > kMaxConfigBytes) {
    return 0;
  }
  return size_t{length} + kCrlfBytes;
}

void parse_config_set(const Tokens& tokens, Command& command) noexcept {
  command.op = Op::ConfigSet;
  int32_t length = 0;
  if (tokens.count() < 5 || !read_i32(tokens[4], length) || length < 0 ||
      length > kMaxTextValueBytes) {
    return command.refuse(ErrorId::BadCommandLine);
  }
  command.key = tokens[2];
  command.value_bytes = static_cast<uint32_t>(length);
  if (tokens.count() > 5 || command.key.size() > kMaxKeyBytes ||
      !read_u32(tokens[3], command.client_flags)) {
    return command.refuse(ErrorId::BadCommandLine, command.value_bytes + kCrlfBytes);
  }
  if (command.value_bytes > kMaxConfigBytes) {
    command.refuse(ErrorId::TooLarge, command.value_bytes + kCrlfBytes);
  }
}

void parse_config(const Tokens& tokens, Command& command) noexcept {
  const std::string_view what = tokens.count() < 2 ? std::string_view{} : tokens[1];
  if (what == "set") return parse_config_set(tokens, command);
  if (what != "get" && what != "delete") return command.refuse(ErrorId::UnknownCommand);
  command.op = what == "get" ? Op::ConfigGet : Op::ConfigDelete;
  if (tokens.count() != 3 || tokens[2].size() > kMaxKeyBytes) {
    return command.refuse(ErrorId::BadCommandLine);
  }
  command.key = tokens[2];
}

// The block has come whole, with what should be its \r\n.
void take_config_block(const char* block, Command& command) noexcept {
  if (command.op != Op::ConfigSet) {  // refused: it is skipped here and now
    command.swallow_bytes = 0;
    return;
  }
  if (std::memcmp(block + command.value_bytes, "\r\n", kCrlfBytes) != 0) {
    return command.refuse(ErrorId::BadDataChunk);
  }
  command.args = {block, command.value_bytes};
}

// The commands with one key and at most one argument; `tokens` counts what they must have.
bool read_key(const Tokens& tokens, size_t at_least, Command& command) noexcept {
  if (tokens.count() < at_least) {
    command.refuse(ErrorId::BadCommandLine);
    return false;
  }
  read_noreply(tokens, command);
  command.key = tokens[1];
  if (command.key.size() <= kMaxKeyBytes) return true;
  command.refuse(ErrorId::BadCommandLine);
  return false;
}

void parse_flush(const Tokens& tokens, Command& command) noexcept {
  if (tokens.count() == (command.quiet() ? 2 : 1)) return;
  if (!read_i32(tokens[1], command.exptime)) return command.refuse(ErrorId::InvalidExptime);
  command.want |= Want::kDelay;
}

void parse_number(const Tokens& tokens, ErrorId error, Command& command) noexcept {
  uint32_t number = 0;
  if (tokens.count() < 2 || !read_u32(tokens[1], number)) return command.refuse(error);
  command.delta = number;
}

// What stands between the verb and the end of the line, without the blanks around it.
std::string_view rest_of(Line line, const Tokens& tokens) noexcept {
  if (tokens.count() < 2) return {};
  const char* const begin = tokens.begin_of(1);
  const char* end = line.end;
  while (end[-1] == ' ') --end;
  return {begin, static_cast<size_t>(end - begin)};
}

void parse_verb(Line line, const TextVerb& verb, const Tokens& tokens, Command& command) noexcept {
  command.op = verb.op;
  command.mode = verb.mode;
  command.want = verb.want;
  if (verb.after_blanks) read_noreply(tokens, command);
  switch (verb.shape) {
    case LineShape::Keys:
    case LineShape::TimedKeys:
      // With a key on the line it would have been consumed key by key.
      return command.refuse(ErrorId::BadCommandLine);
    case LineShape::Storage:
      return parse_storage(line, tokens, false, command);
    case LineShape::CasStorage:
      return parse_storage(line, tokens, true, command);
    case LineShape::Remove:
      read_key(tokens, 2, command);
      return;
    case LineShape::Arith:
      if (read_key(tokens, 3, command) && !read_u64(tokens[2], command.delta)) {
        command.refuse(ErrorId::InvalidDelta);
      }
      return;
    case LineShape::Touch:
      if (read_key(tokens, 3, command) && !read_i32(tokens[2], command.exptime)) {
        command.refuse(ErrorId::InvalidExptime);
      }
      return;
    case LineShape::Plain:
      return;
    case LineShape::Stats:
    case LineShape::Words:
      command.args = rest_of(line, tokens);
      return;
    case LineShape::Flush:
      return parse_flush(tokens, command);
    case LineShape::Verbosity:
      return parse_number(tokens, ErrorId::BadCommandLine, command);
    case LineShape::MemoryLimit:
      parse_number(tokens, ErrorId::UnknownCommand, command);
      if (command.op != Op::Error && command.delta > kMaxMemoryLimitMiB) {
        command.refuse(ErrorId::MemLimitMegabytes);
      }
      return;
    case LineShape::Shutdown:
      command.args = rest_of(line, tokens);
      if (tokens.count() == 2 && kGraceful.starts_with(tokens[1])) command.want |= Want::kGraceful;
      return;
    case LineShape::DebugTime:
      if (tokens.count() < 2) return command.refuse(ErrorId::UnknownCommand);
      command.args = tokens[1];
      return;
    case LineShape::Config:
      return parse_config(tokens, command);
  }
}

// A whole line that is not of the get family. False: close the connection without a word.
bool parse_line(Line line, size_t line_bytes, Command& command) noexcept {
  if (line_bytes < kMinLineBytes) {
    command.refuse(ErrorId::BadCommandLine);
    return true;
  }
  const char* const word_end = find_blank_or_newline(line.begin, line.end);
  const std::string_view word(line.begin, static_cast<size_t>(word_end - line.begin));
  if (word.size() == 2 && word[0] == 'm') {
    if (const MetaVerb* const verb = find_meta_verb(word[1])) {
      parse_meta(line, *verb, command);
      return true;
    }
  }
  const Tokens tokens(line);
  const TextVerb* verb = find_text_verb(word);
  if (verb == nullptr && word.empty() && tokens.count() > 0) {
    verb = find_text_verb(tokens[0]);
    if (verb != nullptr && !verb->after_blanks) verb = nullptr;
  }
  if (verb != nullptr) {
    parse_verb(line, *verb, tokens, command);
    return true;
  }
  // A web page's script can make a browser send us a request with lines of its choice; the request
  // line comes first and gives it away.
  if (tokens.count() > 1 && tokens[tokens.count() - 1].starts_with(kHttpToken)) return false;
  command.refuse(ErrorId::UnknownCommand);
  read_noreply(tokens, command);
  return true;
}

// A line that begins like `config`: `consumed` bytes end with it, `rest` has come behind it.
Parsed parse_config_line(Line line, size_t consumed, std::string_view rest,
                         Command& command) noexcept {
  const size_t block_bytes = config_block_bytes(Tokens(line));
  const auto line_bytes = static_cast<size_t>(rest.data() - line.begin);
  if (rest.size() < block_bytes) return {Status::NeedMore, consumed - line_bytes};
  command.reset();
  if (!parse_line(line, line_bytes, command)) return {Status::Close, consumed};
  if (block_bytes > 0) take_config_block(rest.data(), command);
  return {Status::Complete, consumed + block_bytes};
}

// A few digits, as many as 32 bits hold for certain, and what follows them; null if it is anything
// else.
const char* read_few_digits(const char* p, const char* end, char then, uint32_t& out) noexcept {
  constexpr std::ptrdiff_t kFewDigits = 9;
  const char* const begin = p;
  uint32_t sum = 0;
  for (; p != end && static_cast<unsigned char>(*p - '0') < 10; ++p) {
    sum = sum * 10 + static_cast<uint32_t>(*p - '0');
  }
  if (p == begin || p - begin > kFewDigits || p == end || *p != then) return nullptr;
  out = sum;
  return p + 1;
}

// parse_line for the set that clients send, in one pass: one blank between all words, plain
// numbers, nothing behind the length, and \r\n. `data` begins with "set ". How long the line is; 0
// if it is any other. (Pipelined sets: 1.00 to 1.05; mgs like that: 1.12.)
size_t parse_plain_set(const char* data, const char* end, Command& command) noexcept {
  const char* const key = data + 4;
  const char* p = find_blank_or_newline(key, end);
  const auto key_bytes = static_cast<size_t>(p - key);
  if (p == end || *p != ' ' || key_bytes == 0 || key_bytes > kMaxKeyBytes) return 0;
  uint32_t flags = 0;
  uint32_t exptime = 0;
  uint32_t length = 0;
  if ((p = read_few_digits(p + 1, end, ' ', flags)) == nullptr ||
      (p = read_few_digits(p, end, ' ', exptime)) == nullptr ||
      (p = read_few_digits(p, end, '\r', length)) == nullptr || p == end || *p != '\n') {
    return 0;
  }
  command.reset();
  command.op = Op::Store;
  command.mode = StoreMode::Set;
  command.want = kSet->want;
  command.key = {key, key_bytes};
  command.client_flags = flags;
  command.exptime = static_cast<int32_t>(exptime);
  command.value_bytes = length;
  return static_cast<size_t>(p + 1 - data);
}

size_t parse_plain_line(const char* data, const char* end, Command& command) noexcept {
  if (end - data < 8) return 0;
  const uint32_t head = load_head(data);
  if (head == word_head("set")) return parse_plain_set(data, end, command);
  if (data[0] == 'm' && data[1] == 'g' && data[2] == ' ') return parse_plain_mg(data, end, command);
  return 0;
}

}  // namespace

Parsed TextParser::parse(char* data, size_t bytes, Command& command) noexcept {
  const char* p = data;
  const char* const end = data + bytes;
  if (state_ == State::SkipLine) {
    const void* const newline = bytes > 0 ? std::memchr(data, '\n', bytes) : nullptr;
    if (newline == nullptr) return {Status::NeedMore, bytes};
    p = static_cast<const char*>(newline) + 1;
    state_ = State::Line;
  }
  if (state_ == State::Keys || begin_keys(p, end)) return next_key(data, p, end, command);

  const size_t skipped = static_cast<size_t>(p - data);
  if (const size_t plain = parse_plain_line(p, end, command); plain > 0) {
    return {Status::Complete, skipped + plain};
  }
  const size_t left = bytes - skipped;
  char* const begin = data + skipped;
  char* const newline = left > 0 ? static_cast<char*>(std::memchr(begin, '\n', left)) : nullptr;
  if (newline == nullptr) {
    return {left > kMaxUnfinishedLineBytes ? Status::Close : Status::NeedMore, skipped};
  }
  const size_t line_bytes = static_cast<size_t>(newline - begin) + 1;
  const bool crlf = newline != begin && newline[-1] == '\r';
  const Line line = {begin, newline - (crlf ? 1 : 0)};
  if (line_bytes >= kMinLineBytes && load_head(begin) == word_head("config")) [[unlikely]] {
    return parse_config_line(line, skipped + line_bytes, {newline + 1, end}, command);
  }
  command.reset();
  const bool go_on = parse_line(line, line_bytes, command);
  return {go_on ? Status::Complete : Status::Close, skipped + line_bytes};
}

bool TextParser::begin_keys(const char*& p, const char* end) noexcept {
  if (end - p < 4) return false;
  const uint32_t head = load_head(p);
  const TextVerb* verb = nullptr;
  const char* q = p + 4;
  if (head == word_head("get")) {
    verb = kGet;
  } else if (head == word_head("gat")) {
    verb = kGat;
  } else if ((head == word_head("gets") || head == word_head("gats")) && q != end && *q == ' ') {
    verb = head == word_head("gets") ? kGets : kGats;
    ++q;
  } else {
    return false;
  }
  if (end[-1] != '\n' && static_cast<size_t>(end - p) <= kMaxUnfinishedLineBytes &&
      std::memchr(p, '\n', static_cast<size_t>(end - p)) == nullptr) {
    return false;  // half a line: no key of it is answered, or touched, yet
  }
  bad_exptime_ = false;
  exptime_ = 0;
  if (verb->shape == LineShape::TimedKeys) {
    while (q != end && *q == ' ') ++q;
    const char* const time = q;
    q = find_blank_or_newline(q, end);
    // Endless, or without a key behind it: then the line is looked at as a whole.
    if (q == end || *q == '\n') return false;
    bad_exptime_ = !read_i32({time, static_cast<size_t>(q - time)}, exptime_);
  }
  want_ = verb->want;
  any_key_ = false;
  state_ = State::Keys;
  p = q;
  return true;
}

Parsed TextParser::next_key(const char* data, const char* p, const char* end,
                            Command& command) noexcept {
  while (p != end && *p == ' ') ++p;
  const auto up_to = [&](const char* q) { return static_cast<size_t>(q - data); };

  const char* const stop = find_blank_or_newline(p, end);
  const char* key_end = stop;
  if (stop == end) {
    // Its end has not come. One carriage return may still turn out to belong to the newline.
    const size_t so_far = static_cast<size_t>(end - p);
    const bool may_end = so_far > 0 && end[-1] == '\r';
    if (so_far - (may_end ? 1 : 0) <= kMaxKeyBytes) return {Status::NeedMore, up_to(p)};
  } else if (*stop == '\n' && stop != p && stop[-1] == '\r') {
    --key_end;
  }
  const std::string_view key(p, static_cast<size_t>(key_end - p));

  if (key.empty()) {
    state_ = State::Line;
    command.reset();
    if (any_key_) {
      command.op = Op::EndOfKeys;
    } else {
      command.refuse(ErrorId::BadCommandLine);
    }
    return {Status::Complete, up_to(stop) + 1};
  }
  if (bad_exptime_) return refuse_keys(up_to(p), ErrorId::InvalidExptime, command);
  if (key.size() > kMaxKeyBytes) return refuse_keys(up_to(p), ErrorId::BadCommandLine, command);
  any_key_ = true;
  command.reset();
  command.op = Op::Get;
  command.want = want_;
  command.exptime = exptime_;
  command.key = key;
  if (stop == end || *stop != '\n') return {Status::Complete, up_to(key_end)};
  command.want |= Want::kLastKey;
  state_ = State::Line;
  return {Status::Complete, up_to(stop) + 1};
}

// The rest of the line is skipped as it comes. What was answered of it already is taken back as far
// as that is still possible: upstream reads the line as a whole before it answers.
Parsed TextParser::refuse_keys(size_t consumed, ErrorId error, Command& command) noexcept {
  state_ = State::SkipLine;
  command.reset();
  command.refuse(error);
  command.want = Want::kRewind;
  return {Status::Complete, consumed};
}

}  // namespace larder::proto
