#include "tools/bench/dialect.h"

#include <algorithm>
#include <stdexcept>

#include "tools/bench/binary.h"
#include "tools/bench/classic.h"
#include "tools/bench/meta.h"
#include "tools/bench/resp.h"

namespace larder::bench {
namespace {

constexpr std::string_view kNames[] = {"classic", "meta", "binary", "resp"};
constexpr size_t kShownBytes = 100;

std::string printable(std::string_view bytes) {
  std::string text;
  for (const char c : bytes.substr(0, kShownBytes)) {
    if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(c);
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  if (bytes.size() > kShownBytes) text += "... (" + std::to_string(bytes.size()) + " bytes)";
  return text;
}

}  // namespace

void Tally::error(std::string_view expected, std::string_view got) {
  ++errors;
  if (examples.size() >= kExamples) return;
  examples.push_back("expected " + printable(expected) + "; got " +
                     (got.empty() ? "nothing" : "'" + printable(got) + "'"));
}

std::unique_ptr<Dialect> Dialect::make(Name name, const Data& data) {
  switch (name) {
    case Name::Classic:
      return std::make_unique<Classic>(data);
    case Name::Meta:
      return std::make_unique<Meta>(data);
    case Name::Binary:
      return std::make_unique<Binary>(data);
    case Name::Resp:
      return std::make_unique<Resp>(data);
  }
  return nullptr;
}

Dialect::Taken Dialect::read(const char* data, size_t bytes, Exchange& exchange,
                             Tally& tally) const {
  const char* p = data;
  const char* const end = data + bytes;
  while (!exchange.done()) {
    const Step next =
        exchange.in_value ? stream_value(p, end, exchange, tally) : step(p, end, exchange, tally);
    if (next == Step::Next) continue;
    if (next == Step::More && static_cast<size_t>(end - p) > kTailBytes) {
      tally.error(describe(exchange.slots[exchange.cursor]), {p, kTailBytes});
      return {bytes, true};
    }
    return {static_cast<size_t>(p - data), next == Step::Broken};
  }
  if (p == end) return {bytes, false};
  tally.error("no more replies", {p, static_cast<size_t>(end - p)});
  return {bytes, true};
}

Dialect::Step Dialect::take_value(const char*& p, const char* end, size_t head_bytes,
                                  Exchange& exchange, Tally& tally) const {
  const uint32_t number = exchange.slots[exchange.cursor].number;
  const size_t bytes = data_.values.bytes(number);
  const auto available = static_cast<size_t>(end - p) - head_bytes;
  if (available >= bytes + trailer_bytes_) [[likely]] {
    const char* value = p + head_bytes;
    p = value + bytes + trailer_bytes_;
    return end_value(data_.values.matches(number, 0, value, bytes), value + bytes, exchange, tally);
  }
  if (bytes <= kWholeBytes) return Step::More;
  p += head_bytes;
  exchange.in_value = true;
  exchange.value_differs = false;
  exchange.value_position = 0;
  return Step::Next;
}

Dialect::Step Dialect::stream_value(const char*& p, const char* end, Exchange& exchange,
                                    Tally& tally) const {
  const uint32_t number = exchange.slots[exchange.cursor].number;
  const size_t bytes = data_.values.bytes(number);
  const size_t piece = std::min(static_cast<size_t>(end - p), bytes - exchange.value_position);
  if (piece > 0 && !data_.values.matches(number, exchange.value_position, p, piece)) {
    exchange.value_differs = true;
  }
  exchange.value_position += static_cast<uint32_t>(piece);
  p += piece;
  if (exchange.value_position < bytes) return Step::More;
  if (static_cast<size_t>(end - p) < trailer_bytes_) return Step::More;
  exchange.in_value = false;
  p += trailer_bytes_;
  return end_value(!exchange.value_differs, p - trailer_bytes_, exchange, tally);
}

Dialect::Step Dialect::end_value(bool equal, const char* trailer, Exchange& exchange,
                                 Tally& tally) const {
  if (trailer_bytes_ == 2 && (trailer[0] != '\r' || trailer[1] != '\n')) {
    tally.error("the end of the value of " + describe(exchange.slots[exchange.cursor]),
                {trailer, 2});
    return Step::Broken;
  }
  if (!equal) {
    // The length was right, so what follows can be read.
    const size_t bytes = data_.values.bytes(exchange.slots[exchange.cursor].number);
    const std::string_view got =
        bytes <= kWholeBytes ? std::string_view(trailer - bytes, bytes) : "a value of that length";
    tally.error(describe(exchange.slots[exchange.cursor]) + ": " +
                    data_.values.text(exchange.slots[exchange.cursor].number),
                got);
    ++exchange.cursor;
    return Step::Next;
  }
  hit(exchange, tally);
  return Step::Next;
}

void Dialect::pass(Exchange& exchange, size_t upto, Tally& tally) const {
  while (exchange.cursor < upto) {
    const Kind kind = exchange.slots[exchange.cursor].kind;
    if (kind == Kind::Get || kind == Kind::Gets) {
      miss(exchange, tally);
    } else {
      hit(exchange, tally);
    }
  }
}

void Dialect::hit(Exchange& exchange, Tally& tally) const {
  const Slot& slot = exchange.slots[exchange.cursor++];
  tally.hit(slot.kind);
  if (slot.kind == Kind::Gets) {
    exchange.follow_ups.push_back({.number = slot.number, .kind = Kind::Cas, .cas = exchange.cas});
  }
}

void Dialect::miss(Exchange& exchange, Tally& tally) const {
  const Slot& slot = exchange.slots[exchange.cursor++];
  tally.miss(slot.kind);
  if (slot.kind == Kind::Incr) {
    exchange.follow_ups.push_back({.number = slot.number, .kind = Kind::Add});
  } else if (slot.kind == Kind::Get && tally.fill_on_miss) {
    exchange.follow_ups.push_back({.number = slot.number, .kind = Kind::Set});
  }
}

std::string Dialect::describe(const Slot& slot) const {
  if (slot.kind == Kind::End) return "END";
  if (slot.kind == Kind::Barrier) return "the end of the exchange";
  if (slot.kind == Kind::Array) return "an array of " + std::to_string(slot.number);
  std::string text(kKindNames[static_cast<size_t>(slot.kind)]);
  text += " of " + keys_of(slot.kind).text(slot.number);
  if (slot.kind == Kind::Get || slot.kind == Kind::Gets) {
    text += " (" + std::to_string(data_.values.bytes(slot.number)) + " bytes)";
  }
  return text;
}

Dialect::Name parse_dialect(std::string_view text) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == text) return static_cast<Dialect::Name>(i);
  }
  throw std::invalid_argument("'" + std::string(text) + "' is not classic, meta, binary or resp");
}

std::string_view name_of(Dialect::Name name) { return kNames[static_cast<size_t>(name)]; }

}  // namespace larder::bench
