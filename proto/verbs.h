// What there is on the wire, as tables: text verbs, meta verbs and flags, binary opcodes. One row
// each, stated once; parsers look them up, writers and tests walk them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proto/command.h"
#include "proto/errors.h"

namespace larder::proto {

// -- Classic text --------------------------------------------------------------------------------

// How the rest of a classic line is read.
enum class LineShape : uint8_t {
  Keys,         // <key>+                              consumed key by key
  TimedKeys,    // <exptime> <key>+                    likewise
  Storage,      // <key> <flags> <exptime> <bytes> [noreply]
  CasStorage,   // <key> <flags> <exptime> <bytes> <cas> [noreply]
  Remove,       // <key> [ignored] [noreply]
  Arith,        // <key> <delta> [noreply]
  Touch,        // <key> <exptime> [noreply]
  Plain,        // whatever follows is not looked at
  Stats,        // the rest is the argument; likewise of watch
  Flush,        // [delay] [noreply]
  Verbosity,    // <level> [noreply]
  MemoryLimit,  // <MiB> [noreply]
  Shutdown,     // [graceful]
  Words,        // the rest is the argument, noreply and all
  DebugTime,    // p | r | <seconds>
  Config,       // get <name> | delete <name> | set <name> <flags> <bytes>
};

struct TextVerb {
  std::string_view word;
  Op op;
  LineShape shape;
  StoreMode mode = StoreMode::Set;
  uint32_t want = 0;
  bool after_blanks = false;  // administrative: also found behind leading blanks
};

inline constexpr auto kTextVerbs = std::to_array<TextVerb>({
    {"get", Op::Get, LineShape::Keys, StoreMode::Set, Want::kValue},
    {"set", Op::Store, LineShape::Storage},
    {"gets", Op::Get, LineShape::Keys, StoreMode::Set, Want::kValue | Want::kCas},
    {"delete", Op::Remove, LineShape::Remove},
    {"incr", Op::Arith, LineShape::Arith},
    {"decr", Op::Arith, LineShape::Arith, StoreMode::Set, Want::kDecrement},
    {"add", Op::Store, LineShape::Storage, StoreMode::Add},
    {"cas", Op::Store, LineShape::CasStorage, StoreMode::Set, Want::kCompareCas},
    {"touch", Op::Touch, LineShape::Touch},
    {"gat", Op::Get, LineShape::TimedKeys, StoreMode::Set, Want::kValue | Want::kTouch},
    {"gats", Op::Get, LineShape::TimedKeys, StoreMode::Set,
     Want::kValue | Want::kCas | Want::kTouch},
    {"replace", Op::Store, LineShape::Storage, StoreMode::Replace},
    {"append", Op::Store, LineShape::Storage, StoreMode::Append},
    {"prepend", Op::Store, LineShape::Storage, StoreMode::Prepend},
    {"version", Op::Version, LineShape::Plain},
    {"quit", Op::Quit, LineShape::Plain},
    {"stats", Op::Stats, LineShape::Stats},
    {"watch", Op::Watch, LineShape::Stats},
    {"flush_all", Op::Flush, LineShape::Flush, StoreMode::Set, 0, true},
    {"verbosity", Op::Verbosity, LineShape::Verbosity, StoreMode::Set, 0, true},
    {"cache_memlimit", Op::MemoryLimit, LineShape::MemoryLimit, StoreMode::Set, 0, true},
    {"shutdown", Op::Shutdown, LineShape::Shutdown, StoreMode::Set, 0, true},
    {"refresh_certs", Op::RefreshCerts, LineShape::Plain, StoreMode::Set, 0, true},
    {"lru_crawler", Op::Crawler, LineShape::Words, StoreMode::Set, 0, true},
    {"slabs", Op::Slabs, LineShape::Words, StoreMode::Set, 0, true},
    {"lru", Op::Lru, LineShape::Words, StoreMode::Set, 0, true},
    {"debugtime", Op::DebugTime, LineShape::DebugTime, StoreMode::Set, 0, true},
    {"config", Op::ConfigGet, LineShape::Config},
});

// The first four bytes of a word, blanks behind a shorter one, as they would be loaded from memory:
// enough to tell the verbs apart with one comparison.
constexpr uint32_t word_head(std::string_view word) noexcept {
  uint32_t head = 0;
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t byte = i < word.size() ? static_cast<unsigned char>(word[i]) : ' ';
    head |= byte << (std::endian::native == std::endian::little ? 8 * i : 24 - 8 * i);
  }
  return head;
}

namespace verbs_detail {
inline constexpr auto kTextHeads = [] {
  std::array<uint32_t, kTextVerbs.size()> heads{};
  for (size_t i = 0; i < heads.size(); ++i) heads[i] = word_head(kTextVerbs[i].word);
  return heads;
}();
}  // namespace verbs_detail

// Null if there is no such verb.
constexpr const TextVerb* find_text_verb(std::string_view word) noexcept {
  const uint32_t head = word_head(word);
  for (size_t i = 0; i < kTextVerbs.size(); ++i) {
    if (verbs_detail::kTextHeads[i] == head && kTextVerbs[i].word == word) return &kTextVerbs[i];
  }
  return nullptr;
}

// Two verbs with one head would still be found, but a parser that dispatches on it could not.
static_assert([] {
  for (size_t i = 0; i < kTextVerbs.size(); ++i) {
    for (size_t j = i + 1; j < kTextVerbs.size(); ++j) {
      if (verbs_detail::kTextHeads[i] == verbs_detail::kTextHeads[j]) return false;
    }
  }
  return true;
}());

// -- Meta text -----------------------------------------------------------------------------------

struct MetaVerb {
  char letter;  // after the m
  Op op;
  uint32_t want = 0;  // the wishes that mean something to it; others are accepted and dropped
};

inline constexpr auto kMetaVerbs = std::to_array<MetaVerb>({
    {'g', Op::Get,
     Want::kValue | Want::kQuiet | Want::kNoBump | Want::kBase64Key | Want::kTouch | Want::kVivify |
         Want::kRecache | Want::kConditional | Want::kExplicitCas},
    {'s', Op::Store,
     Want::kQuiet | Want::kBase64Key | Want::kCompareCas | Want::kExplicitCas | Want::kInvalidate |
         Want::kVivify},
    {'d', Op::Remove,
     Want::kQuiet | Want::kBase64Key | Want::kTouch | Want::kCompareCas | Want::kExplicitCas |
         Want::kInvalidate | Want::kDropValue},
    {'a', Op::Arith,
     Want::kQuiet | Want::kBase64Key | Want::kValue | Want::kTouch | Want::kVivify |
         Want::kCompareCas | Want::kExplicitCas},
    {'n', Op::Noop},
    {'e', Op::Describe},
});

// Null if there is no such verb.
constexpr const MetaVerb* find_meta_verb(char letter) noexcept {
  for (const MetaVerb& verb : kMetaVerbs) {
    if (verb.letter == letter) return &verb;
  }
  return nullptr;
}

// What stands behind a flag's letter.
enum class MetaArgument : uint8_t {
  Unknown,  // there is no such flag
  None,     // nothing; what is there is not looked at
  Time,     // 32 bit signed
  Number32,
  Number64,
  Opaque,
  Mode,  // its first character counts
  Key,   // b: nothing, but the key is base64
};

struct MetaFlag {
  char letter;
  MetaArgument argument;
  ErrorId bad;  // for an argument that is no number; None: the line as a whole is called bad
  uint32_t want = 0;
};

// Every flag is accepted by every meta command that takes flags, also where it means nothing.
inline constexpr auto kMetaFlags = std::to_array<MetaFlag>({
    {'b', MetaArgument::Key, ErrorId::MetaBadBase64, Want::kBase64Key},
    {'c', MetaArgument::None, ErrorId::None},                // answer the CAS
    {'f', MetaArgument::None, ErrorId::None},                // answer client flags
    {'h', MetaArgument::None, ErrorId::None},                // answer whether hit before
    {'k', MetaArgument::None, ErrorId::None},                // answer the key
    {'l', MetaArgument::None, ErrorId::None},                // answer seconds since the last access
    {'q', MetaArgument::None, ErrorId::None, Want::kQuiet},  // quiet
    {'s', MetaArgument::None, ErrorId::None},                // answer the value's size
    {'t', MetaArgument::None, ErrorId::None},                // answer the remaining seconds
    {'u', MetaArgument::None, ErrorId::None, Want::kNoBump},      // do not bump
    {'v', MetaArgument::None, ErrorId::None, Want::kValue},       // answer the value
    {'x', MetaArgument::None, ErrorId::None, Want::kDropValue},   // md: blank instead of removing
    {'I', MetaArgument::None, ErrorId::None, Want::kInvalidate},  // invalidate
    {'L', MetaArgument::None, ErrorId::None},                     // for proxies
    {'P', MetaArgument::None, ErrorId::None},                     // for proxies
    {'O', MetaArgument::Opaque, ErrorId::MetaOpaqueTooLong},
    {'M', MetaArgument::Mode, ErrorId::None},
    {'T', MetaArgument::Time, ErrorId::MetaBadToken, Want::kTouch},
    {'N', MetaArgument::Time, ErrorId::MetaBadToken, Want::kVivify},
    {'R', MetaArgument::Time, ErrorId::MetaBadToken, Want::kRecache},
    {'F', MetaArgument::Number32, ErrorId::None},
    {'C', MetaArgument::Number64, ErrorId::MetaBadToken, Want::kCompareCas | Want::kConditional},
    {'E', MetaArgument::Number64, ErrorId::MetaBadToken, Want::kExplicitCas},
    {'J', MetaArgument::Number64, ErrorId::MetaInvalidInitial},
    {'D', MetaArgument::Number64, ErrorId::MetaInvalidDelta},
});

namespace verbs_detail {
inline constexpr auto kMetaFlagByLetter = [] {
  std::array<MetaFlag, 128> by_letter{};
  for (const MetaFlag& flag : kMetaFlags) by_letter[static_cast<size_t>(flag.letter)] = flag;
  return by_letter;
}();
}  // namespace verbs_detail

// The row of a 7-bit character; its argument is Unknown if there is no such flag.
constexpr const MetaFlag& meta_flag(unsigned char letter) noexcept {
  return verbs_detail::kMetaFlagByLetter[letter];
}
static_assert(meta_flag('S').argument == MetaArgument::Unknown);

// -- Binary --------------------------------------------------------------------------------------

constexpr uint8_t kBinaryRequestMagic = 0x80;
constexpr uint8_t kBinaryReplyMagic = 0x81;

// What extras, key and body a request must have.
enum class BinaryShape : uint8_t {
  Unknown,  // no such opcode
  Empty,    // nothing at all
  Key,      // key
  KeyTime,  // exptime, key; what follows is taken for the next request
  Value,    // flags and exptime, key, value
  Concat,   // key, value
  Arith,    // delta, initial and exptime, key
  Flush,    // nothing, or a delay
  Stats,    // perhaps a key; what follows is taken for the next request
  Auth,     // key (the mechanism), what the client says
  Config,   // flags, key (the name), the block; what is too long or misshapen is skipped
};

// SASL. To the request loop they are unknown commands; who wants them looks at the opcode.
constexpr uint8_t kSaslListOpcode = 0x20;
constexpr uint8_t kSaslStartOpcode = 0x21;
constexpr uint8_t kSaslStepOpcode = 0x22;
constexpr bool is_sasl(uint8_t opcode) noexcept {
  return opcode >= kSaslListOpcode && opcode <= kSaslStepOpcode;
}

constexpr uint8_t kValueExtrasBytes = 8;
constexpr uint8_t kTimeExtrasBytes = 4;
constexpr uint8_t kArithExtrasBytes = 20;
constexpr uint8_t kConfigExtrasBytes = 4;

struct BinaryVerb {
  uint8_t opcode;
  Op op;
  BinaryShape shape;
  StoreMode mode = StoreMode::Set;
  uint32_t want = 0;
};

inline constexpr auto kBinaryVerbs = std::to_array<BinaryVerb>({
    {0x00, Op::Get, BinaryShape::Key, StoreMode::Set, Want::kValue},
    {0x01, Op::Store, BinaryShape::Value, StoreMode::Set},
    {0x02, Op::Store, BinaryShape::Value, StoreMode::Add},
    {0x03, Op::Store, BinaryShape::Value, StoreMode::Replace},
    {0x04, Op::Remove, BinaryShape::Key},
    {0x05, Op::Arith, BinaryShape::Arith},
    {0x06, Op::Arith, BinaryShape::Arith, StoreMode::Set, Want::kDecrement},
    {0x07, Op::Quit, BinaryShape::Empty},
    {0x08, Op::Flush, BinaryShape::Flush},
    {0x09, Op::Get, BinaryShape::Key, StoreMode::Set, Want::kValue | Want::kQuiet},
    {0x0a, Op::Noop, BinaryShape::Empty},
    {0x0b, Op::Version, BinaryShape::Empty},
    {0x0c, Op::Get, BinaryShape::Key, StoreMode::Set, Want::kValue | Want::kKey},
    {0x0d, Op::Get, BinaryShape::Key, StoreMode::Set, Want::kValue | Want::kKey | Want::kQuiet},
    {0x0e, Op::Store, BinaryShape::Concat, StoreMode::Append},
    {0x0f, Op::Store, BinaryShape::Concat, StoreMode::Prepend},
    {0x10, Op::Stats, BinaryShape::Stats},
    {0x11, Op::Store, BinaryShape::Value, StoreMode::Set, Want::kQuiet},
    {0x12, Op::Store, BinaryShape::Value, StoreMode::Add, Want::kQuiet},
    {0x13, Op::Store, BinaryShape::Value, StoreMode::Replace, Want::kQuiet},
    {0x14, Op::Remove, BinaryShape::Key, StoreMode::Set, Want::kQuiet},
    {0x15, Op::Arith, BinaryShape::Arith, StoreMode::Set, Want::kQuiet},
    {0x16, Op::Arith, BinaryShape::Arith, StoreMode::Set, Want::kDecrement | Want::kQuiet},
    {0x17, Op::Quit, BinaryShape::Empty, StoreMode::Set, Want::kQuiet},
    {0x18, Op::Flush, BinaryShape::Flush, StoreMode::Set, Want::kQuiet},
    {0x19, Op::Store, BinaryShape::Concat, StoreMode::Append, Want::kQuiet},
    {0x1a, Op::Store, BinaryShape::Concat, StoreMode::Prepend, Want::kQuiet},
    {0x1c, Op::Touch, BinaryShape::KeyTime, StoreMode::Set, Want::kTouch},
    {0x1d, Op::Get, BinaryShape::KeyTime, StoreMode::Set, Want::kValue | Want::kTouch},
    {0x1e, Op::Get, BinaryShape::KeyTime, StoreMode::Set,
     Want::kValue | Want::kTouch | Want::kQuiet},
    {kSaslListOpcode, Op::Error, BinaryShape::Empty},
    {kSaslStartOpcode, Op::Error, BinaryShape::Auth},
    {kSaslStepOpcode, Op::Error, BinaryShape::Auth},
    {0x23, Op::Get, BinaryShape::KeyTime, StoreMode::Set, Want::kValue | Want::kTouch | Want::kKey},
    {0x24, Op::Get, BinaryShape::KeyTime, StoreMode::Set,
     Want::kValue | Want::kTouch | Want::kKey | Want::kQuiet},
    {0x60, Op::ConfigGet, BinaryShape::Key},
    {0x64, Op::ConfigSet, BinaryShape::Config},
    {0x66, Op::ConfigDelete, BinaryShape::Key},
});

namespace verbs_detail {
inline constexpr auto kBinaryVerbByOpcode = [] {
  std::array<BinaryVerb, 256> by_opcode{};
  for (size_t i = 0; i < by_opcode.size(); ++i) {
    by_opcode[i] = {static_cast<uint8_t>(i), Op::Error, BinaryShape::Unknown};
  }
  for (const BinaryVerb& verb : kBinaryVerbs) by_opcode[verb.opcode] = verb;
  return by_opcode;
}();
}  // namespace verbs_detail

constexpr const BinaryVerb& binary_verb(uint8_t opcode) noexcept {
  return verbs_detail::kBinaryVerbByOpcode[opcode];
}

}  // namespace larder::proto
