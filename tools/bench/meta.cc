#include "tools/bench/meta.h"

#include "tools/bench/text_line.h"
#include "tools/bench/words.h"

namespace larder::bench {
namespace {

constexpr size_t kRequestBytes = Keys::kRoomBytes + 100;

enum class Meaning { Done, Missed, Wrong };

Meaning meaning_of(std::string_view code, Kind kind) {
  const bool not_found = code == "NF";
  switch (kind) {
    case Kind::Set:
      return code == "HD" ? Meaning::Done : Meaning::Wrong;
    case Kind::Add:
      return code == "HD" ? Meaning::Done : code == "NS" ? Meaning::Missed : Meaning::Wrong;
    case Kind::Cas:
      return code == "HD"                ? Meaning::Done
             : code == "EX" || not_found ? Meaning::Missed
                                         : Meaning::Wrong;
    case Kind::Delete:
    case Kind::Incr:  // HD only when quiet: its number is a VA, read elsewhere
      return code == "HD" ? Meaning::Done : not_found ? Meaning::Missed : Meaning::Wrong;
    case Kind::Touch:
      return code == "HD" ? Meaning::Done : code == "EN" ? Meaning::Missed : Meaning::Wrong;
    case Kind::Get:
    case Kind::Gets:
      return code == "EN" ? Meaning::Missed : Meaning::Wrong;
    default:
      return Meaning::Wrong;
  }
}

// "VA 100 f0 kKEY\r\n"; its length.
size_t write_value_head(char* head, const Data& data, uint32_t number) {
  std::memcpy(head, "VA  ", 4);
  char* out = head + 3;
  const std::string_view line = data.values.length_line(number);
  std::memcpy(out, line.data(), 16);
  out += line.size() - 2;
  std::memcpy(out, " f0 k   ", 8);
  out += 5;
  out += data.keys.write(out, number);
  std::memcpy(out, "\r\n", 2);
  return static_cast<size_t>(out - head) + 2;
}

// The token of a flag, behind the first `skip` words; nothing if the flag is not there.
std::optional<std::string_view> token_of(const std::vector<std::string_view>& words, size_t skip,
                                         char flag) {
  for (size_t i = skip; i < words.size(); ++i) {
    if (!words[i].empty() && words[i][0] == flag) return words[i].substr(1);
  }
  return std::nullopt;
}

}  // namespace

void Meta::write(std::span<const Op> ops, Exchange& exchange, Output& output) const {
  bool quiet = false;
  int group_left = 0;
  const auto barrier = [&] {
    output.written(put(output.room(4), "mn\r\n"));
    exchange.slots.push_back({0, Kind::Barrier, false});
  };
  for (const Op& op : ops) {
    const bool stores = op.kind == Kind::Set || op.kind == Kind::Cas;
    char* out = output.room(kRequestBytes + (stores ? data_.values.bytes(op.number) : 0));
    if (op.group > 1) group_left = op.group;
    const bool of_many = op.kind == Kind::Get && group_left > 0;
    const bool is_quiet = op.quiet && op.kind != Kind::Touch;  // an mg whose q hides misses only
    const size_t index = exchange.slots.size();
    const auto key = [&] { out += keys_of(op.kind).write(out, op.number); };
    const auto line_end = [&] {
      if (is_quiet) {
        out = put(out, " q O");
        out = write_decimal(out, index);
      }
      out = put(out, "\r\n");
    };
    exchange.slots.push_back({op.number, op.kind, of_many || is_quiet});
    quiet |= is_quiet;
    switch (op.kind) {
      case Kind::Get:
        out = put(out, "mg ");
        key();
        out = put(out, of_many ? " v f k q\r\n" : " v f k\r\n");
        break;
      case Kind::Gets:
        out = put(out, "mg ");
        key();
        out = put(out, " v f k c\r\n");
        break;
      case Kind::Set:
      case Kind::Cas: {
        out = put(out, "ms ");
        key();
        *out++ = ' ';
        const std::string_view length = data_.values.length_line(op.number);
        out = put(out, length.substr(0, length.size() - 2));
        if (const uint32_t ttl = data_.ttl(op.number); ttl > 0) {
          out = put(out, " T");
          out = write_decimal(out, ttl);
        }
        if (op.kind == Kind::Cas) {
          out = put(out, " C");
          out = write_decimal(out, op.cas);
        }
        line_end();
        out = data_.values.write(out, op.number);
        out = put(out, "\r\n");
        break;
      }
      case Kind::Delete:
        out = put(out, "md ");
        key();
        line_end();
        break;
      case Kind::Incr:
        out = put(out, "ma ");
        key();
        if (!is_quiet) out = put(out, " v");
        line_end();
        break;
      case Kind::Add:
        out = put(out, "ms ");
        key();
        out = put(out, " 1 ME\r\n0\r\n");
        break;
      case Kind::Touch:
        out = put(out, "mg ");
        key();
        out = put(out, " T");
        out = write_decimal(out, data_.ttl(op.number));
        out = put(out, "\r\n");
        break;
      case Kind::End:
      case Kind::Barrier:
      case Kind::Array:
        break;
    }
    output.written(out);
    if (of_many && --group_left == 0) barrier();
  }
  if (quiet) barrier();
}

Dialect::Step Meta::step(const char*& p, const char* end, Exchange& exchange, Tally& tally) const {
  const Slot& slot = exchange.slots[exchange.cursor];
  const auto available = static_cast<size_t>(end - p);
  if (slot.kind == Kind::Get) {
    char head[kRequestBytes];
    const size_t bytes = write_value_head(head, data_, slot.number);
    if (available >= bytes && std::memcmp(p, head, bytes) == 0) {
      return take_value(p, end, bytes, exchange, tally);
    }
  }
  if (available == 0) return Step::More;
  const auto line = line_at(p, end);
  return line ? take_line(p, *line, end, exchange, tally) : Step::More;
}

Dialect::Step Meta::take_line(const char*& p, std::string_view line, const char* end,
                              Exchange& exchange, Tally& tally) const {
  if (line.starts_with("VA ")) return take_value_line(p, line, end, exchange, tally);
  const char* const after = p + line.size() + 2;
  size_t at = next_loud(exchange);
  if (is_error_line(line)) {
    tally.error(describe(exchange.slots[exchange.cursor]), line);
    p = after;
    // Whose it is in a quiet run cannot be told; that run goes on to its barrier.
    if (exchange.slots[at].kind != Kind::Barrier || line == "ERROR") exchange.cursor = at + 1;
    return Step::Next;
  }
  const auto words = split(line, ' ');
  if (const auto opaque = token_of(words, 1, 'O')) {
    const auto index = parse_number(*opaque);
    if (!index || *index < exchange.cursor || *index >= at) {
      tally.error(describe(exchange.slots[exchange.cursor]), line);
      return Step::Broken;
    }
    at = *index;
  }
  const Slot& slot = exchange.slots[at];
  const bool ends = slot.kind == Kind::Barrier && line == "MN";
  // Beside its code a reply has the opaque of a quiet request, or the key of a get; servers before
  // 1.6.45 leave that out of a miss.
  bool fits = words.size() == (slot.quiet ? 2 : 1);
  if (!slot.quiet && words.size() == 2 && (slot.kind == Kind::Get || slot.kind == Kind::Gets)) {
    fits = words[1] == "k" + data_.keys.text(slot.number);
  }
  const Meaning meaning = fits ? meaning_of(words[0], slot.kind) : Meaning::Wrong;
  const bool loud_incr = slot.kind == Kind::Incr && !slot.quiet;
  if (!ends && (meaning == Meaning::Wrong || (loud_incr && meaning == Meaning::Done))) {
    tally.error(describe(slot), line);
    return Step::Broken;
  }
  pass(exchange, at, tally);
  p = after;
  if (ends) {
    ++exchange.cursor;
  } else if (meaning == Meaning::Done) {
    hit(exchange, tally);
  } else {
    miss(exchange, tally);
  }
  return Step::Next;
}

Dialect::Step Meta::take_value_line(const char*& p, std::string_view line, const char* end,
                                    Exchange& exchange, Tally& tally) const {
  const auto words = split(line, ' ');
  const auto key = token_of(words, 2, 'k');
  if (!key) {
    const size_t at = next_loud(exchange);
    if (exchange.slots[at].kind == Kind::Incr && words.size() == 2) {
      return take_number(p, line, end, at, exchange, tally);
    }
    tally.error(describe(exchange.slots[exchange.cursor]), line);
    return Step::Broken;
  }
  char expected[Keys::kRoomBytes];
  const auto is_asked = [&](const Slot& slot) {
    return (slot.kind == Kind::Get || slot.kind == Kind::Gets) &&
           *key == std::string_view(expected, data_.keys.write(expected, slot.number));
  };
  size_t at = exchange.cursor;
  while (exchange.slots[at].quiet && !is_asked(exchange.slots[at])) ++at;
  const Slot& slot = exchange.slots[at];
  const bool with_cas = slot.kind == Kind::Gets;
  const bool fits = is_asked(slot) && words.size() == (with_cas ? 5 : 4) && words[2] == "f0" &&
                    parse_number(words[1]) == data_.values.bytes(slot.number);
  const auto cas = with_cas ? parse_number(token_of(words, 2, 'c').value_or("")) : 0;
  if (!fits || !cas) {
    tally.error(describe(exchange.slots[exchange.cursor]), line);
    return Step::Broken;
  }
  pass(exchange, at, tally);
  exchange.cas = *cas;
  return take_value(p, end, line.size() + 2, exchange, tally);
}

Dialect::Step Meta::take_number(const char*& p, std::string_view line, const char* end, size_t at,
                                Exchange& exchange, Tally& tally) const {
  const auto bytes = parse_number(line.substr(3));
  const char* const digits = p + line.size() + 2;
  if (bytes && *bytes > 0 && *bytes <= 20) {
    if (static_cast<size_t>(end - digits) < *bytes + 2) return Step::More;
    const auto number = parse_number({digits, *bytes});
    if (number && *number > 0 && std::string_view(digits + *bytes, 2) == "\r\n") {
      pass(exchange, at, tally);
      p = digits + *bytes + 2;
      hit(exchange, tally);
      return Step::Next;
    }
  }
  tally.error(describe(exchange.slots[at]), {p, static_cast<size_t>(end - p)});
  return Step::Broken;
}

}  // namespace larder::bench
