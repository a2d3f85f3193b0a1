#include "tools/bench/classic.h"

#include "tools/bench/text_line.h"
#include "tools/bench/words.h"

namespace larder::bench {
namespace {

// A key and all that stands around it in a request but the value.
constexpr size_t kRequestBytes = Keys::kRoomBytes + 100;

// What a line says of a slot's op.
enum class Meaning { Done, Missed, Wrong };

Meaning meaning_of(std::string_view line, Kind kind) {
  const auto either = [line](std::string_view done, std::string_view missed) {
    return line == done ? Meaning::Done : line == missed ? Meaning::Missed : Meaning::Wrong;
  };
  switch (kind) {
    case Kind::Set:
      return either("STORED", "STORED");
    case Kind::Add:
      return either("STORED", "NOT_STORED");
    case Kind::Cas:
      return line == "EXISTS" ? Meaning::Missed : either("STORED", "NOT_FOUND");
    case Kind::Delete:
      return either("DELETED", "NOT_FOUND");
    case Kind::Touch:
      return either("TOUCHED", "NOT_FOUND");
    case Kind::Incr: {
      // A counter begins with 0, so it is above that after any incr.
      const auto number = parse_number(line);
      return number && *number > 0 ? Meaning::Done : either("", "NOT_FOUND");
    }
    default:
      return Meaning::Wrong;
  }
}

// "VALUE key 0 100\r\n"; its length. `head` has kRequestBytes.
size_t write_value_head(char* head, const Data& data, uint32_t number) {
  std::memcpy(head, "VALUE   ", 8);
  char* out = head + 6;
  out += data.keys.write(out, number);
  std::memcpy(out, " 0  ", 4);
  const std::string_view line = data.values.length_line(number);
  std::memcpy(out + 3, line.data(), 16);
  return static_cast<size_t>(out + 3 - head) + line.size();
}

}  // namespace

char* Classic::write_set(char* out, std::string_view verb, const Op& op) const {
  out = put(out, verb);
  out += data_.keys.write(out, op.number);
  const uint32_t ttl = data_.ttl(op.number);
  if (ttl == 0) {
    out = put(out, " 0 0 ");
  } else {
    out = put(out, " 0 ");
    out = write_decimal(out, ttl);
    *out++ = ' ';
  }
  const std::string_view length = data_.values.length_line(op.number);
  std::memcpy(out, length.data(), 16);
  out += length.size();
  if (op.kind == Kind::Cas || op.quiet) {
    out -= 2;
    if (op.kind == Kind::Cas) {
      *out++ = ' ';
      out = write_decimal(out, op.cas);
    }
    if (op.quiet) out = put(out, " noreply");
    out = put(out, "\r\n");
  }
  out = data_.values.write(out, op.number);
  return put(out, "\r\n");
}

void Classic::write(std::span<const Op> ops, Exchange& exchange, Output& output) const {
  bool quiet = false;
  int group_left = 0;
  for (const Op& op : ops) {
    const bool stores = op.kind == Kind::Set || op.kind == Kind::Cas;
    char* out = output.room(kRequestBytes + (stores ? data_.values.bytes(op.number) : 0));
    const bool is_get = op.kind == Kind::Get || op.kind == Kind::Gets;
    exchange.slots.push_back({op.number, op.kind, is_get || op.quiet});
    quiet |= op.quiet;
    const std::string_view line_end = op.quiet ? " noreply\r\n" : "\r\n";
    switch (op.kind) {
      case Kind::Get:
        if (op.group > 0) {
          group_left = op.group;
          out = put(out, "get");
        }
        *out++ = ' ';
        out += data_.keys.write(out, op.number);
        if (--group_left == 0) {
          out = put(out, "\r\n");
          exchange.slots.push_back({0, Kind::End, false});
        }
        break;
      case Kind::Gets:
        out = put(out, "gets ");
        out += data_.keys.write(out, op.number);
        out = put(out, "\r\n");
        exchange.slots.push_back({0, Kind::End, false});
        break;
      case Kind::Set:
        out = write_set(out, "set ", op);
        break;
      case Kind::Cas:
        out = write_set(out, "cas ", op);
        break;
      case Kind::Delete:
        out = put(out, "delete ");
        out += data_.keys.write(out, op.number);
        out = put(out, line_end);
        break;
      case Kind::Incr:
        out = put(out, "incr ");
        out += data_.counters.write(out, op.number);
        out = put(out, " 1");
        out = put(out, line_end);
        break;
      case Kind::Add:
        out = put(out, "add ");
        out += data_.counters.write(out, op.number);
        out = put(out, " 0 0 1\r\n0\r\n");
        break;
      case Kind::Touch:
        out = put(out, "touch ");
        out += data_.keys.write(out, op.number);
        *out++ = ' ';
        out = write_decimal(out, data_.ttl(op.number));
        out = put(out, line_end);
        break;
      case Kind::End:
      case Kind::Barrier:
      case Kind::Array:
        break;
    }
    output.written(out);
  }
  if (quiet) {
    output.written(put(output.room(4), "mn\r\n"));
    exchange.slots.push_back({0, Kind::Barrier, false});
  }
}

Dialect::Step Classic::step(const char*& p, const char* end, Exchange& exchange,
                            Tally& tally) const {
  const Slot& slot = exchange.slots[exchange.cursor];
  const auto available = static_cast<size_t>(end - p);
  // What nearly all replies are is compared as a whole, without looking for the end of a line.
  if (slot.kind == Kind::Get) {
    char head[kRequestBytes];
    const size_t bytes = write_value_head(head, data_, slot.number);
    if (available >= bytes && std::memcmp(p, head, bytes) == 0) {
      return take_value(p, end, bytes, exchange, tally);
    }
  } else if (slot.kind == Kind::Set && !slot.quiet) {
    if (available >= 8 && std::memcmp(p, "STORED\r\n", 8) == 0) {
      p += 8;
      hit(exchange, tally);
      return Step::Next;
    }
  } else if (slot.kind == Kind::End) {
    if (available >= 5 && std::memcmp(p, "END\r\n", 5) == 0) {
      p += 5;
      ++exchange.cursor;
      return Step::Next;
    }
  }
  if (available == 0) return Step::More;
  const auto line = line_at(p, end);
  return line ? take_line(p, *line, end, exchange, tally) : Step::More;
}

Dialect::Step Classic::take_line(const char*& p, std::string_view line, const char* end,
                                 Exchange& exchange, Tally& tally) const {
  if (line.starts_with("VALUE ")) return take_value_line(p, line, end, exchange, tally);
  const size_t at = next_loud(exchange);
  const Slot& slot = exchange.slots[at];
  const char* const after = p + line.size() + 2;
  if (is_error_line(line)) {
    tally.error(describe(exchange.slots[exchange.cursor]), line);
    p = after;
    // It came in the place of a reply, END included; or for a quiet one, with the barrier to come.
    if (slot.kind != Kind::Barrier || line == "ERROR") exchange.cursor = at + 1;
    return Step::Next;
  }
  Meaning meaning = meaning_of(line, slot.kind);
  const bool ends =
      (slot.kind == Kind::End && line == "END") || (slot.kind == Kind::Barrier && line == "MN");
  if (meaning == Meaning::Wrong && !ends) {
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

Dialect::Step Classic::take_value_line(const char*& p, std::string_view line, const char* end,
                                       Exchange& exchange, Tally& tally) const {
  const auto words = split(line, ' ');
  const std::string_view key = words[1];
  size_t at = exchange.cursor;
  char expected[Keys::kRoomBytes];
  for (; exchange.slots[at].quiet; ++at) {
    const Slot& slot = exchange.slots[at];
    if (slot.kind != Kind::Get && slot.kind != Kind::Gets) continue;
    if (key == std::string_view(expected, data_.keys.write(expected, slot.number))) break;
  }
  const Slot& slot = exchange.slots[at];
  const bool with_cas = slot.kind == Kind::Gets;
  const bool fits = slot.quiet && words.size() == (with_cas ? 5 : 4) && words[2] == "0" &&
                    parse_number(words[3]) == data_.values.bytes(slot.number);
  const auto cas = with_cas && fits ? parse_number(words[4]) : 0;
  if (!fits || !cas) {
    tally.error(describe(exchange.slots[exchange.cursor]), line);
    return Step::Broken;
  }
  pass(exchange, at, tally);
  exchange.cas = *cas;
  return take_value(p, end, line.size() + 2, exchange, tally);
}

}  // namespace larder::bench
