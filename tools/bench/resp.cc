#include "tools/bench/resp.h"

#include "tools/bench/text_line.h"
#include "tools/bench/words.h"

namespace larder::bench {
namespace {

// All of a request but the value of a set, with kRoomBytes for the key. Of an MGET: its head, or
// one key.
constexpr size_t kRequestBytes = Keys::kRoomBytes + 100;

enum class Meaning { Done, Missed, Wrong };

Meaning meaning_of(std::string_view line, Kind kind) {
  switch (kind) {
    case Kind::Get:
      return line == "$-1" ? Meaning::Missed : Meaning::Wrong;
    case Kind::Set:
      return line == "+OK" ? Meaning::Done : Meaning::Wrong;
    case Kind::Add:
      return line == "+OK" ? Meaning::Done : line == "$-1" ? Meaning::Missed : Meaning::Wrong;
    case Kind::Delete:
    case Kind::Touch:
      return line == ":1" ? Meaning::Done : line == ":0" ? Meaning::Missed : Meaning::Wrong;
    case Kind::Incr: {
      // A counter begins with 0, so it is above that after any incr.
      const auto number = line.starts_with(':') ? parse_number(line.substr(1)) : std::nullopt;
      return number && *number > 0 ? Meaning::Done : Meaning::Wrong;
    }
    default:
      return Meaning::Wrong;
  }
}

// "$20\r\n" or "*3\r\n".
char* put_length(char* out, char type, size_t length) {
  *out++ = type;
  out = write_decimal(out, length);
  return put(out, "\r\n");
}

// A number as a bulk string: "$2\r\n60\r\n".
char* write_bulk_number(char* out, uint32_t number) {
  char digits[10];
  const auto length = static_cast<size_t>(write_decimal(digits, number) - digits);
  out = put_length(out, '$', length);
  return put(put(out, {digits, length}), "\r\n");
}

// "$100\r\n", the head of a value, in a get's reply and in a set; its end. 17 bytes may be written.
char* put_value_head(char* out, const Data& data, uint32_t number) {
  *out++ = '$';
  const std::string_view line = data.values.length_line(number);
  std::memcpy(out, line.data(), 16);
  return out + line.size();
}

}  // namespace

char* Resp::write_key(char* out, const Op& op) const {
  const Keys& keys = keys_of(op.kind);
  out = put_length(out, '$', keys.bytes(op.number));
  out += keys.write(out, op.number);
  return put(out, "\r\n");
}

char* Resp::write_set(char* out, const Op& op) const {
  const uint32_t ttl = data_.ttl(op.number);
  out = put(out, ttl > 0 ? "*5\r\n$3\r\nSET\r\n" : "*3\r\n$3\r\nSET\r\n");
  out = write_key(out, op);
  out = put_value_head(out, data_, op.number);
  out = data_.values.write(out, op.number);
  out = put(out, "\r\n");
  if (ttl == 0) return out;
  out = put(out, "$2\r\nEX\r\n");
  return write_bulk_number(out, ttl);
}

void Resp::write(std::span<const Op> ops, Exchange& exchange, Output& output) const {
  for (const Op& op : ops) {
    char* out =
        output.room(kRequestBytes + (op.kind == Kind::Set ? data_.values.bytes(op.number) : 0));
    if (op.kind == Kind::Get && op.group > 1) {
      exchange.slots.push_back({op.group, Kind::Array, false});
      out = put_length(out, '*', op.group + size_t{1});
      out = put(out, "$4\r\nMGET\r\n");
    }
    exchange.slots.push_back({op.number, op.kind, false});
    switch (op.kind) {
      case Kind::Get:
        if (op.group == 1) out = put(out, "*2\r\n$3\r\nGET\r\n");
        out = write_key(out, op);
        break;
      case Kind::Set:
        out = write_set(out, op);
        break;
      case Kind::Delete:
        out = put(out, "*2\r\n$3\r\nDEL\r\n");
        out = write_key(out, op);
        break;
      case Kind::Incr:
        out = put(out, "*3\r\n$6\r\nINCRBY\r\n");
        out = write_key(out, op);
        out = put(out, "$1\r\n1\r\n");
        break;
      case Kind::Add:
        out = put(out, "*4\r\n$3\r\nSET\r\n");
        out = write_key(out, op);
        out = put(out, "$1\r\n0\r\n$2\r\nNX\r\n");
        break;
      case Kind::Touch: {
        const uint32_t ttl = data_.ttl(op.number);
        out = put(out, ttl > 0 ? "*3\r\n$6\r\nEXPIRE\r\n" : "*2\r\n$5\r\nTOUCH\r\n");
        out = write_key(out, op);
        if (ttl > 0) out = write_bulk_number(out, ttl);
        break;
      }
      case Kind::Gets:
      case Kind::Cas:
      case Kind::End:
      case Kind::Barrier:
      case Kind::Array:
        break;
    }
    output.written(out);
  }
}

Dialect::Step Resp::step(const char*& p, const char* end, Exchange& exchange, Tally& tally) const {
  const Slot& slot = exchange.slots[exchange.cursor];
  const auto available = static_cast<size_t>(end - p);
  // What nearly all replies are is compared as a whole, without looking for the end of a line.
  if (slot.kind == Kind::Get) {
    char head[32];
    const auto bytes = static_cast<size_t>(put_value_head(head, data_, slot.number) - head);
    if (available >= bytes && std::memcmp(p, head, bytes) == 0) {
      return take_value(p, end, bytes, exchange, tally);
    }
  } else if (slot.kind == Kind::Set) {
    if (available >= 5 && std::memcmp(p, "+OK\r\n", 5) == 0) {
      p += 5;
      hit(exchange, tally);
      return Step::Next;
    }
  }
  if (available == 0) return Step::More;
  const auto line = line_at(p, end);
  return line ? take_line(p, *line, exchange, tally) : Step::More;
}

Dialect::Step Resp::take_line(const char*& p, std::string_view line, Exchange& exchange,
                              Tally& tally) const {
  const Slot& slot = exchange.slots[exchange.cursor];
  const bool is_array = slot.kind == Kind::Array;
  const bool is_error = line.starts_with('-') && !line.ends_with('\n');
  const Meaning meaning = meaning_of(line, slot.kind);
  const bool begins =
      is_array && line.starts_with('*') && parse_number(line.substr(1)) == slot.number;
  if (is_error || (meaning == Meaning::Wrong && !begins)) {
    tally.error(describe_request(exchange), line);
    if (!is_error) return Step::Broken;
  }
  p += line.size() + 2;
  if (is_error) {
    // It answers a whole request: of an MGET, no key has a reply of its own.
    exchange.cursor += is_array ? 1 + slot.number : 1;
  } else if (begins) {
    ++exchange.cursor;
  } else if (meaning == Meaning::Done) {
    hit(exchange, tally);
  } else {
    miss(exchange, tally);
  }
  return Step::Next;
}

// What the slot at the cursor asks for: "get of key-0001 (100 bytes)", "mget of 50 keys, the first
// key-0001".
std::string Resp::describe_request(const Exchange& exchange) const {
  const Slot& slot = exchange.slots[exchange.cursor];
  if (slot.kind != Kind::Array) return describe(slot);
  const Slot& first = exchange.slots[exchange.cursor + 1];
  return "mget of " + std::to_string(slot.number) + " keys, the first " +
         data_.keys.text(first.number);
}

}  // namespace larder::bench
