#include "tools/bench/binary.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace larder::bench {
namespace {

constexpr size_t kHeaderBytes = 24;
constexpr uint8_t kRequest = 0x80;
constexpr uint8_t kReply = 0x81;

constexpr uint8_t kGet = 0x00, kSet = 0x01, kAdd = 0x02, kDelete = 0x04, kIncr = 0x05, kNoop = 0x0a,
                  kGetKQ = 0x0d, kSetQ = 0x11, kDeleteQ = 0x14, kIncrQ = 0x15, kTouch = 0x1c;
constexpr uint16_t kOk = 0, kNotFound = 1, kExists = 2, kNotStored = 5;

static_assert(std::endian::native == std::endian::little);
uint16_t swapped(uint16_t n) { return __builtin_bswap16(n); }
uint32_t swapped(uint32_t n) { return __builtin_bswap32(n); }
uint64_t swapped(uint64_t n) { return __builtin_bswap64(n); }

template <class Number>
char* put_number(char* out, Number n) {
  n = swapped(n);
  std::memcpy(out, &n, sizeof n);
  return out + sizeof n;
}

template <class Number>
Number number_at(const char* p) {
  Number n;
  std::memcpy(&n, p, sizeof n);
  return swapped(n);
}

uint8_t opcode_of(const Slot& slot) {
  switch (slot.kind) {
    case Kind::Get:
      return slot.quiet ? kGetKQ : kGet;
    case Kind::Gets:
      return kGet;
    case Kind::Set:
      return slot.quiet ? kSetQ : kSet;
    case Kind::Cas:
      return kSet;
    case Kind::Delete:
      return slot.quiet ? kDeleteQ : kDelete;
    case Kind::Incr:
      return slot.quiet ? kIncrQ : kIncr;
    case Kind::Add:
      return kAdd;
    case Kind::Touch:
      return kTouch;
    case Kind::End:
    case Kind::Barrier:
    case Kind::Array:
      break;
  }
  return kNoop;
}

uint32_t opaque_of(const Exchange& exchange, size_t index) {
  return static_cast<uint32_t>(exchange.serial) << 16 | static_cast<uint32_t>(index);
}

// What a server says where an op misses; empty where it may not with this status.
std::string_view word_of_miss(uint16_t status, Kind kind) {
  switch (status) {
    case kNotFound:
      return kind == Kind::Set || kind == Kind::Add || kind == Kind::Barrier ? "" : "Not found";
    case kExists:
      return kind == Kind::Cas || kind == Kind::Add ? "Data exists for key." : "";
    case kNotStored:
      return kind == Kind::Add ? "Not stored." : "";
    default:
      return "";
  }
}

}  // namespace

void Binary::write(std::span<const Op> ops, Exchange& exchange, Output& output) const {
  bool quiet = false;
  int group_left = 0;
  const auto request = [&](const Slot& slot, uint64_t cas) {
    const bool stores = slot.kind == Kind::Set || slot.kind == Kind::Cas;
    const size_t value_bytes = stores                   ? data_.values.bytes(slot.number)
                               : slot.kind == Kind::Add ? 1
                                                        : 0;
    char* const header = output.room(kHeaderBytes + Keys::kRoomBytes + 20 + value_bytes);
    char* out = header + kHeaderBytes;
    uint8_t extras = 0;
    if (stores || slot.kind == Kind::Add) {
      out = put_number(out, uint32_t{0});  // flags
      out = put_number(out, stores ? data_.ttl(slot.number) : 0);
      extras = 8;
    } else if (slot.kind == Kind::Incr) {
      out = put_number(out, uint64_t{1});
      out = put_number(out, uint64_t{0});
      out = put_number(out, UINT32_MAX);  // do not create
      extras = 20;
    } else if (slot.kind == Kind::Touch) {
      out = put_number(out, data_.ttl(slot.number));
      extras = 4;
    }
    size_t key_bytes = 0;
    if (slot.kind != Kind::Barrier) key_bytes = keys_of(slot.kind).write(out, slot.number);
    out += key_bytes;
    if (stores) {
      out = data_.values.write(out, slot.number);
    } else if (slot.kind == Kind::Add) {
      *out++ = '0';
    }
    char* h = header;
    *h++ = static_cast<char>(kRequest);
    *h++ = static_cast<char>(opcode_of(slot));
    h = put_number(h, static_cast<uint16_t>(key_bytes));
    *h++ = static_cast<char>(extras);
    *h++ = 0;
    h = put_number(h, uint16_t{0});
    h = put_number(h, static_cast<uint32_t>(out - header - static_cast<ptrdiff_t>(kHeaderBytes)));
    h = put_number(h, opaque_of(exchange, exchange.slots.size()));
    put_number(h, cas);
    output.written(out);
    exchange.slots.push_back(slot);
  };
  for (const Op& op : ops) {
    if (op.group > 1) group_left = op.group;
    const bool of_many = op.kind == Kind::Get && group_left > 0;
    const bool is_quiet = op.quiet && op.kind != Kind::Touch;  // which has no quiet opcode
    quiet |= is_quiet;
    request({op.number, op.kind, of_many || is_quiet}, op.cas);
    if (of_many && --group_left == 0) request({0, Kind::Barrier, false}, 0);
  }
  if (quiet) request({0, Kind::Barrier, false}, 0);
}

Dialect::Step Binary::step(const char*& p, const char* end, Exchange& exchange,
                           Tally& tally) const {
  const auto available = static_cast<size_t>(end - p);
  if (available < kHeaderBytes) return Step::More;
  // Which slot? Any quiet one from here on, or the next that is not.
  size_t at = exchange.cursor;
  const auto opaque = number_at<uint32_t>(p + 12);
  while (exchange.slots[at].quiet && opaque != opaque_of(exchange, at)) ++at;
  const Slot& slot = exchange.slots[at];
  if (static_cast<uint8_t>(p[0]) != kReply || static_cast<uint8_t>(p[1]) != opcode_of(slot) ||
      opaque != opaque_of(exchange, at) || p[5] != 0) {
    tally.error(describe(exchange.slots[exchange.cursor]), {p, kHeaderBytes});
    return Step::Broken;
  }
  return take_reply(p, end, at, exchange, tally);
}

Dialect::Step Binary::take_reply(const char*& p, const char* end, size_t at, Exchange& exchange,
                                 Tally& tally) const {
  const auto available = static_cast<size_t>(end - p);
  const Slot& slot = exchange.slots[at];
  const auto key_bytes = number_at<uint16_t>(p + 2);
  const auto extras = static_cast<uint8_t>(p[4]);
  const auto status = number_at<uint16_t>(p + 6);
  const auto body = number_at<uint32_t>(p + 8);
  const auto broken = [&] {
    tally.error(describe(slot), {p, std::min<size_t>(available, kHeaderBytes + body)});
    return Step::Broken;
  };
  const bool is_get = slot.kind == Kind::Get || slot.kind == Kind::Gets;
  if (is_get && status == kOk) {
    char key[Keys::kRoomBytes];
    const size_t key_expected = slot.quiet ? data_.keys.write(key, slot.number) : 0;
    if (extras != 4 || key_bytes != key_expected ||
        body != 4 + key_bytes + data_.values.bytes(slot.number)) {
      return broken();
    }
    const size_t head = kHeaderBytes + 4 + key_bytes;
    if (available < head) return Step::More;
    if (number_at<uint32_t>(p + kHeaderBytes) != 0 ||
        std::memcmp(p + kHeaderBytes + 4, key, key_bytes) != 0) {
      return broken();
    }
    pass(exchange, at, tally);
    exchange.cas = number_at<uint64_t>(p + 16);
    return take_value(p, end, head, exchange, tally);
  }
  if (body > kWholeBytes) return broken();
  if (available < kHeaderBytes + body) return Step::More;
  if (status == kOk) {
    const bool is_incr = slot.kind == Kind::Incr;
    // memcached answers touch with the flags as extras.
    const bool is_touch = slot.kind == Kind::Touch && extras == 4 && body == 4;
    if (!is_touch && (extras != 0 || key_bytes != 0 || body != (is_incr ? 8u : 0u))) {
      return broken();
    }
    if (is_incr && number_at<uint64_t>(p + kHeaderBytes) == 0) return broken();
    pass(exchange, at, tally);
    p += kHeaderBytes + body;
    if (slot.kind == Kind::Barrier) {
      ++exchange.cursor;
    } else {
      hit(exchange, tally);
    }
    return Step::Next;
  }
  // Any other status comes with a word about it, and nothing else.
  if (extras != 0 || key_bytes != 0) return broken();
  const std::string_view word = word_of_miss(status, slot.kind);
  const bool may_miss = !word.empty() && std::string_view(p + kHeaderBytes, body) == word;
  if (!word.empty() && !may_miss) return broken();
  pass(exchange, at, tally);
  if (may_miss) {
    p += kHeaderBytes + body;
    miss(exchange, tally);
    return Step::Next;
  }
  // An error in the place of a reply, which can be read on from.
  tally.error(describe(slot), {p, kHeaderBytes + body});
  p += kHeaderBytes + body;
  ++exchange.cursor;
  return Step::Next;
}

}  // namespace larder::bench
