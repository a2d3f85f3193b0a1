#include "proto/meta_parser.h"

#include "proto/base64.h"
#include "proto/limits.h"

namespace larder::proto {
namespace {

constexpr size_t kKeyToken = 1;
constexpr size_t kLengthToken = 2;  // ms only

// A flag starts with a letter or a digit, or one of the six characters between Z and a; anything
// else spoils the line before its flags are looked at one by one.
bool begin_like_flags(const Tokens& tokens, size_t first) noexcept {
  for (size_t i = first; i < tokens.count(); ++i) {
    const unsigned char c = static_cast<unsigned char>(*tokens.begin_of(i));
    if (!(c >= 'A' && c <= 'z') && !(c >= '0' && c <= '9')) return false;
  }
  return true;
}

bool decode_key(Command& command) noexcept {
  // The key is a view into the line, which is ours to change.
  char* const key = const_cast<char*>(command.key.data());
  const size_t decoded = base64_decode_in_place(key, command.key.size());
  command.key = {key, decoded};
  return decoded > 0;
}

// The numbers and the key; opaque and mode have their own time.
bool read_argument(const MetaFlag& flag, std::string_view argument, Command& command) noexcept {
  switch (flag.argument) {
    case MetaArgument::Key:
      return decode_key(command);
    case MetaArgument::Time: {
      int32_t& out = flag.letter == 'T'   ? command.exptime
                     : flag.letter == 'N' ? command.vivify_exptime
                                          : command.recache_exptime;
      return !argument.empty() && read_i32(argument, out);
    }
    case MetaArgument::Number32:
      return !argument.empty() && read_u32(argument, command.client_flags);
    case MetaArgument::Number64: {
      uint64_t& out = flag.letter == 'C'   ? command.cas
                      : flag.letter == 'E' ? command.new_cas
                      : flag.letter == 'D' ? command.delta
                                           : command.initial;
      return !argument.empty() && read_u64(argument, out);
    }
    default:
      return true;
  }
}

struct Flags {
  ErrorId error = ErrorId::None;
  char mode = '\0';  // none given
  bool long_opaque = false;
};

// Reads all flags into `command`. A flag that is unknown or comes twice ends the walk and is what
// the client hears of; of several bad arguments it hears of the last.
Flags read_flags(const Tokens& tokens, size_t first, Command& command) noexcept {
  Flags flags;
  if (command.key.size() > kMaxKeyBytes) {
    flags.error = ErrorId::BadCommandLine;
    return flags;
  }
  if (tokens.count() > kMaxMetaTokens) {
    flags.error = ErrorId::MetaFlagsTooLong;
    return flags;
  }
  uint64_t seen = 0;  // one bit per character from A on; digits are no flags at all
  ErrorId bad = ErrorId::BadCommandLine;
  bool any_bad = false;
  for (size_t i = first; i < tokens.count(); ++i) {
    const std::string_view token = tokens[i];
    const MetaFlag& flag = meta_flag(static_cast<unsigned char>(token[0]));
    if (flag.argument == MetaArgument::Unknown) {
      flags.error = ErrorId::MetaInvalidFlag;
      return flags;
    }
    const uint64_t bit = uint64_t{1} << (flag.letter - 'A');
    if ((seen & bit) != 0) {
      flags.error = ErrorId::MetaDuplicateFlag;
      return flags;
    }
    seen |= bit;
    command.want |= flag.want;
    if (flag.argument == MetaArgument::None) continue;
    if (flag.argument == MetaArgument::Mode) {
      flags.mode = token.size() > 1 ? token[1] : ' ';
    } else if (flag.argument == MetaArgument::Opaque) {
      command.opaque = token.substr(1);
      flags.long_opaque = token.size() > kMaxOpaqueTokenBytes;
    } else if (!read_argument(flag, token.substr(1), command)) {
      any_bad = true;
      if (flag.bad != ErrorId::None) bad = flag.bad;
    }
  }
  if (any_bad) flags.error = bad;
  return flags;
}

bool read_store_mode(char mode, Command& command) noexcept {
  switch (mode) {
    case '\0':
    case 'S':
      command.mode = StoreMode::Set;
      return true;
    case 'E':
      command.mode = StoreMode::Add;
      return true;
    case 'A':
      command.mode = StoreMode::Append;
      return true;
    case 'P':
      command.mode = StoreMode::Prepend;
      return true;
    case 'R':
      command.mode = StoreMode::Replace;
      return true;
    default:
      return false;
  }
}

// What a combination of flags comes to: C makes a set or a replace a compare-and-swap; to add it
// means nothing, and C0 means nothing to append and prepend. Only a compare-and-swap can
// invalidate, only append and prepend can vivify. E0 leaves the choice to the server.
void settle_store(Command& command) noexcept {
  const bool concat = command.mode == StoreMode::Append || command.mode == StoreMode::Prepend;
  if (command.mode == StoreMode::Add || (concat && command.cas == 0)) {
    command.want &= ~Want::kCompareCas;
  }
  if (command.wants(Want::kCompareCas) && command.mode == StoreMode::Replace) {
    command.mode = StoreMode::Set;
  }
  if (concat || !command.wants(Want::kCompareCas)) command.want &= ~Want::kInvalidate;
  if (!concat) command.want &= ~Want::kVivify;
  if (command.new_cas == 0) command.want &= ~Want::kExplicitCas;
}

ErrorId settle_mode(char mode, Command& command) noexcept {
  if (command.op == Op::Store) {
    if (!read_store_mode(mode, command)) return ErrorId::MetaInvalidModeStore;
    settle_store(command);
  } else if (command.op == Op::Arith) {
    if (mode == 'D' || mode == '-') {
      command.want |= Want::kDecrement;
    } else if (mode != '\0' && mode != 'I' && mode != '+') {
      return ErrorId::MetaInvalidModeArith;
    }
    if (command.cas == 0) command.want &= ~Want::kCompareCas;
  }
  return ErrorId::None;
}

// me knows no flag but b, and takes that only if something else follows it.
void parse_describe(const Tokens& tokens, Command& command) noexcept {
  if (command.key.size() > kMaxKeyBytes) return command.refuse(ErrorId::BadCommandLine);
  if (tokens.count() < 4 || tokens[2] != "b") return;
  command.want |= Want::kBase64Key;
  if (!decode_key(command)) command.refuse(ErrorId::BadCommandLine);
}

}  // namespace

void parse_meta(Line line, const MetaVerb& verb, Command& command) noexcept {
  command.dialect = Dialect::Meta;
  command.op = verb.op;
  if (verb.op == Op::Noop) return;

  const Tokens tokens(line);
  const size_t first_flag = verb.op == Op::Store ? kLengthToken + 1 : kKeyToken + 1;
  if (tokens.count() < first_flag || !begin_like_flags(tokens, first_flag)) {
    return command.refuse(ErrorId::BadCommandLine);
  }
  command.key = tokens[kKeyToken];
  if (verb.op == Op::Describe) return parse_describe(tokens, command);

  uint32_t swallow_bytes = 0;
  if (verb.op == Op::Store) {
    int32_t length = 0;
    if (!read_i32(tokens[kLengthToken], length) || length < 0 || length > kMaxTextValueBytes) {
      return command.refuse(ErrorId::BadCommandLine);
    }
    command.value_bytes = static_cast<uint32_t>(length);
    // From here on it is known where the value ends, so a refusal skips it.
    swallow_bytes = command.value_bytes + 2;
  }

  Flags flags = read_flags(tokens, first_flag, command);
  if (flags.error != ErrorId::None && verb.op == Op::Arith) {
    flags.error = ErrorId::MetaInvalidOrDuplicate;
  }
  command.want &= verb.want;
  if (flags.error == ErrorId::None) flags.error = settle_mode(flags.mode, command);
  if (flags.error == ErrorId::None && flags.long_opaque) flags.error = ErrorId::MetaOpaqueTooLong;
  if (flags.error != ErrorId::None) return command.refuse(flags.error, swallow_bytes);
  if (tokens.count() > first_flag) {
    const char* const begin = tokens.begin_of(first_flag);
    command.return_flags = {begin, static_cast<size_t>(line.end - begin)};
  }
}

size_t parse_plain_mg(const char* data, const char* end, Command& command) noexcept {
  constexpr const MetaVerb* kVerb = find_meta_verb('g');
  constexpr int kMostFlags = kMaxMetaTokens - kKeyToken - 1;
  const char* const key = data + 3;
  const char* p = find_blank_or_newline(key, end);
  const auto key_bytes = static_cast<size_t>(p - key);
  if (p == end || *p != ' ' || key_bytes == 0 || key_bytes > kMaxKeyBytes) return 0;
  const char* const flags = p + 1;
  uint64_t seen = 0;
  uint32_t want = 0;
  std::string_view opaque;
  for (int i = 0; i < kMostFlags; ++i) {
    // At a blank, with a flag behind it.
    if (end - p < 4 || (p[1] & 0x80) != 0) return 0;
    const MetaFlag& flag = meta_flag(static_cast<unsigned char>(p[1]));
    const char* stop = p + 2;
    if (flag.argument == MetaArgument::Opaque) {
      while (stop != end && *stop > ' ') ++stop;
      opaque = {p + 2, static_cast<size_t>(stop - p - 2)};
      if (opaque.size() >= kMaxOpaqueTokenBytes || end - stop < 2) return 0;
    } else if (flag.argument != MetaArgument::None) {
      return 0;
    }
    const uint64_t bit = uint64_t{1} << (flag.letter - 'A');
    if ((seen & bit) != 0) return 0;
    seen |= bit;
    want |= flag.want;
    p = stop;
    if (*p == ' ') continue;
    if (p[0] != '\r' || p[1] != '\n') return 0;
    command.reset();
    command.dialect = Dialect::Meta;
    command.op = Op::Get;
    command.want = want & kVerb->want;
    command.key = {key, key_bytes};
    command.opaque = opaque;
    command.return_flags = {flags, static_cast<size_t>(p - flags)};
    return static_cast<size_t>(p + 2 - data);
  }
  return 0;
}

}  // namespace larder::proto
