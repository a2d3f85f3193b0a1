// Every reply, at every split point, in every dialect; and every byte of them changed.
#include "tools/bench/dialect.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace larder::bench;

namespace {

using Name = Dialect::Name;
constexpr Name kMemcached[] = {Name::Classic, Name::Meta, Name::Binary};
constexpr Name kAll[] = {Name::Classic, Name::Meta, Name::Binary, Name::Resp};

// What a server does with an op.
struct Case {
  Op op;
  enum Outcome { Hit, Miss, Exists } outcome = Hit;
};

// Replies as a server sends them, and which of their bytes may have other values: numbers that the
// load cannot know.
struct Replies {
  std::string bytes;
  std::vector<bool> free;

  void add(const std::string& text) {
    bytes += text;
    free.resize(bytes.size(), false);
  }
  void add_free(const std::string& text) {
    bytes += text;
    free.resize(bytes.size(), true);
  }
};

struct Fixture {
  explicit Fixture(uint32_t value_bytes = 20)
      : data{Keys("key-", Distribution::parse("uniform:12:40"), 1000),
             Keys("ctr-", Distribution(20), kCounters), Values(Distribution(value_bytes)),
             Distribution(0)} {}

  std::string key(const Op& op) const {
    const bool counter = op.kind == Kind::Incr || op.kind == Kind::Add;
    return (counter ? data.counters : data.keys).text(op.number);
  }
  Data data;
};

void classic_reply(const Fixture& f, const Case& c, Replies& out) {
  if (c.op.quiet) return;
  const bool hit = c.outcome == Case::Hit;
  switch (c.op.kind) {
    case Kind::Get:
    case Kind::Gets:
      if (hit) {
        out.add("VALUE " + f.key(c.op) + " 0 " + std::to_string(f.data.values.bytes(c.op.number)));
        if (c.op.kind == Kind::Gets) {
          out.add(" ");
          out.add_free("77");
        }
        out.add("\r\n" + f.data.values.text(c.op.number) + "\r\n");
      }
      break;
    case Kind::Set:
      return out.add("STORED\r\n");
    case Kind::Add:
      return out.add(hit ? "STORED\r\n" : "NOT_STORED\r\n");
    case Kind::Cas:
      return out.add(hit                         ? "STORED\r\n"
                     : c.outcome == Case::Exists ? "EXISTS\r\n"
                                                 : "NOT_FOUND\r\n");
    case Kind::Delete:
      return out.add(hit ? "DELETED\r\n" : "NOT_FOUND\r\n");
    case Kind::Touch:
      return out.add(hit ? "TOUCHED\r\n" : "NOT_FOUND\r\n");
    case Kind::Incr:
      if (!hit) return out.add("NOT_FOUND\r\n");
      out.add_free("12");
      return out.add("\r\n");
    default:
      break;
  }
}

void meta_reply(const Fixture& f, const Case& c, size_t slot, bool of_many, Replies& out) {
  const bool hit = c.outcome == Case::Hit;
  const std::string opaque = c.op.quiet ? " O" + std::to_string(slot) : "";
  const char* const not_found = "NF";
  const auto code = [&](const char* missed) {
    if (!hit) {
      out.add(missed + opaque + "\r\n");
    } else if (!c.op.quiet) {
      out.add("HD\r\n");
    }
  };
  switch (c.op.kind) {
    case Kind::Get:
    case Kind::Gets:
      if (hit) {
        out.add("VA " + std::to_string(f.data.values.bytes(c.op.number)) + " f0 k" + f.key(c.op));
        if (c.op.kind == Kind::Gets) {
          out.add(" c");
          out.add_free("77");
        }
        out.add("\r\n" + f.data.values.text(c.op.number) + "\r\n");
      } else if (!of_many) {
        out.add("EN k" + f.key(c.op) + "\r\n");
      }
      return;
    case Kind::Incr:
      if (!hit || c.op.quiet) return code(not_found);
      out.add("VA 2\r\n");
      out.add_free("12");
      return out.add("\r\n");
    case Kind::Touch:
      return out.add(hit ? "HD\r\n" : "EN\r\n");
    case Kind::Add:
      return code("NS");
    case Kind::Cas:
      return code(c.outcome == Case::Exists ? "EX" : not_found);
    default:
      return code(not_found);
  }
}

std::string big_endian(uint64_t n, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(n >> (8 * i));
  return text;
}

struct Frame {
  uint8_t opcode;
  uint16_t status = 0;
  std::string extras = "";
  std::string key = "";
  std::string value = "";
};

void add_frame(const Frame& frame, size_t slot, Replies& out, bool free_value = false) {
  out.add("\x81" + big_endian(frame.opcode, 1) + big_endian(frame.key.size(), 2) +
          big_endian(frame.extras.size(), 1) + big_endian(0, 1) + big_endian(frame.status, 2) +
          big_endian(frame.extras.size() + frame.key.size() + frame.value.size(), 4) +
          big_endian(1 << 16 | slot, 4));
  out.add_free(big_endian(77, 8));
  out.add(frame.extras + frame.key);
  (free_value ? out.add_free(frame.value) : out.add(frame.value));
}

void binary_reply(const Fixture& f, const Case& c, size_t slot, bool of_many, Replies& out) {
  const bool hit = c.outcome == Case::Hit;
  const bool quiet = c.op.quiet && c.op.kind != Kind::Touch;
  const auto plain = [&](uint8_t loud, uint8_t silent, uint16_t missed) {
    if (hit && quiet) return;
    Frame frame{.opcode = quiet ? silent : loud, .status = hit ? uint16_t{0} : missed};
    if (!hit) frame.value = missed == 1 ? "Not found" : "Data exists for key.";
    add_frame(frame, slot, out);
  };
  switch (c.op.kind) {
    case Kind::Get:
    case Kind::Gets: {
      if (!hit && of_many) return;
      Frame frame{.opcode = of_many ? uint8_t{0x0d} : uint8_t{0},
                  .status = hit ? uint16_t{0} : uint16_t{1}};
      if (hit) {
        frame.extras = big_endian(0, 4);
        frame.value = f.data.values.text(c.op.number);
        if (of_many) frame.key = f.key(c.op);
      } else {
        frame.value = "Not found";
      }
      return add_frame(frame, slot, out);
    }
    case Kind::Set:
      return plain(0x01, 0x11, 0x82);
    case Kind::Cas:
      return plain(0x01, 0x01, c.outcome == Case::Exists ? 2 : 1);
    case Kind::Add:
      return plain(0x02, 0x12, 2);
    case Kind::Delete:
      return plain(0x04, 0x14, 1);
    case Kind::Incr:
      if (!hit || quiet) return plain(0x05, 0x15, 1);
      return add_frame({.opcode = 0x05, .value = big_endian(12, 8)}, slot, out, true);
    case Kind::Touch:
      return plain(0x1c, 0x1c, 1);
    default:
      return;
  }
}

void resp_reply(const Fixture& f, const Case& c, Replies& out) {
  const bool hit = c.outcome == Case::Hit;
  const std::string value = f.data.values.text(c.op.number);
  switch (c.op.kind) {
    case Kind::Get:
      if (!hit) return out.add("$-1\r\n");
      return out.add("$" + std::to_string(value.size()) + "\r\n" + value + "\r\n");
    case Kind::Set:
      return out.add("+OK\r\n");
    case Kind::Add:
      return out.add(hit ? "+OK\r\n" : "$-1\r\n");
    case Kind::Delete:
    case Kind::Touch:
      out.add(":");
      out.add_free(hit ? "1" : "0");  // the load cannot know whether the key is there
      return out.add("\r\n");
    case Kind::Incr:
      out.add(":");
      out.add_free("12");
      return out.add("\r\n");
    default:
      return;
  }
}

// What a server answers to what the dialect has written for these ops.
Replies replies_of(Name name, const Fixture& f, const std::vector<Case>& cases) {
  Replies out;
  size_t slot = 0;
  int group_left = 0;
  bool quiet = false;
  const auto barrier = [&] {
    if (name == Name::Binary) {
      add_frame({.opcode = 0x0a}, slot, out);
    } else {
      out.add("MN\r\n");
    }
    ++slot;
  };
  for (const Case& c : cases) {
    if (c.op.group > 1) group_left = c.op.group;
    const bool of_many = c.op.kind == Kind::Get && group_left > 0;
    const bool has_quiet = c.op.kind != Kind::Touch || name == Name::Classic;
    Case played = c;
    played.op.quiet = c.op.quiet && has_quiet;
    quiet |= played.op.quiet;
    if (name == Name::Classic) classic_reply(f, played, out);
    if (name == Name::Meta) meta_reply(f, played, slot, of_many, out);
    if (name == Name::Binary) binary_reply(f, played, slot, of_many, out);
    if (name == Name::Resp) {
      if (c.op.kind == Kind::Get && c.op.group > 1) {
        out.add("*" + std::to_string(c.op.group) + "\r\n");
      }
      resp_reply(f, played, out);
    }
    ++slot;
    const bool last = of_many && --group_left == 0;
    const bool is_get = c.op.kind == Kind::Get || c.op.kind == Kind::Gets;
    if (name == Name::Classic && is_get && (!of_many || last)) {
      out.add("END\r\n");
      ++slot;
    } else if (last && (name == Name::Meta || name == Name::Binary)) {
      barrier();
    }
  }
  if (quiet) barrier();
  return out;
}

struct Read {
  Exchange exchange;
  Tally tally;
  bool broken = false;

  bool well() const { return exchange.done() && tally.errors == 0 && !broken; }
};

std::vector<Op> ops_of(const std::vector<Case>& cases) {
  std::vector<Op> ops;
  for (const Case& c : cases) ops.push_back(c.op);
  return ops;
}

// Reads the fragments as a connection does: what is left is in front of what comes next.
Read read(Name name, const Fixture& f, const std::vector<Case>& cases,
          const std::vector<std::string_view>& fragments) {
  const auto dialect = Dialect::make(name, f.data);
  Read r;
  Output output;
  r.exchange.begin();
  dialect->write(ops_of(cases), r.exchange, output);
  std::string tail;
  for (const std::string_view fragment : fragments) {
    if (fragment.empty()) continue;
    // Of the exact size, for AddressSanitizer to see what is read beyond it.
    const std::vector<char> bytes = [&] {
      std::vector<char> all(tail.begin(), tail.end());
      all.insert(all.end(), fragment.begin(), fragment.end());
      all.shrink_to_fit();
      return all;
    }();
    const auto taken = dialect->read(bytes.data(), bytes.size(), r.exchange, r.tally);
    if (taken.broken) {
      r.broken = true;
      return r;
    }
    tail.assign(bytes.begin() + static_cast<std::ptrdiff_t>(taken.bytes), bytes.end());
  }
  return r;
}

Op op(Kind kind, uint32_t number, bool quiet = false) {
  return {.number = number, .group = 1, .kind = kind, .quiet = quiet, .cas = 77};
}

// A multiget of keys from `first` on; 'h' hits, 'm' misses.
void add_multiget(std::vector<Case>& cases, uint32_t first, const std::string& outcomes) {
  for (size_t i = 0; i < outcomes.size(); ++i) {
    Op get = op(Kind::Get, first + static_cast<uint32_t>(i));
    get.group = i == 0 ? static_cast<uint16_t>(outcomes.size()) : uint16_t{0};
    cases.push_back({get, outcomes[i] == 'h' ? Case::Hit : Case::Miss});
  }
}

// RESP has neither cas nor noreply, and its incr creates what is missing.
bool resp_has(const std::vector<Case>& cases) {
  return std::none_of(cases.begin(), cases.end(), [](const Case& c) {
    return c.op.kind == Kind::Gets || c.op.kind == Kind::Cas || c.op.quiet ||
           (c.op.kind == Kind::Incr && c.outcome == Case::Miss);
  });
}

std::vector<std::vector<Case>> all_cases(Name name) {
  std::vector<std::vector<Case>> all;
  for (const Kind kind : {Kind::Get, Kind::Gets, Kind::Set, Kind::Add, Kind::Cas, Kind::Delete,
                          Kind::Incr, Kind::Touch}) {
    all.push_back({{op(kind, 5), Case::Hit}});
    if (kind != Kind::Set) all.push_back({{op(kind, 5), Case::Miss}});
  }
  all.push_back({{op(Kind::Cas, 5), Case::Exists}});
  for (const char* outcomes : {"hhhhh", "mmmmm", "hmhhm", "mhmmh", "hm", "mh"}) {
    all.emplace_back();
    add_multiget(all.back(), 10, outcomes);
  }
  // noreply alone, and between others.
  all.push_back({{op(Kind::Set, 1, true)}, {op(Kind::Set, 2, true)}, {op(Kind::Delete, 3, true)}});
  all.push_back({{op(Kind::Set, 1, true)},
                 {op(Kind::Get, 2), Case::Hit},
                 {op(Kind::Incr, 4, true)},
                 {op(Kind::Touch, 5, true)},
                 {op(Kind::Get, 6), Case::Miss},
                 {op(Kind::Gets, 6), Case::Miss},
                 {op(Kind::Delete, 3, true)}});
  if (name == Name::Resp) std::erase_if(all, [](const auto& cases) { return !resp_has(cases); });
  // A pipeline of everything.
  std::vector<Case> many;
  for (const auto& one : all) many.insert(many.end(), one.begin(), one.end());
  all.push_back(many);
  if (name == Name::Resp) return all;
  // What noreply does not silence: meta and binary answer a delete of nothing.
  all.push_back({{op(Kind::Set, 1, true)}, {op(Kind::Delete, 3, true), Case::Miss}});
  return all;
}

}  // namespace

TEST_CASE("every reply is understood at every split point") {
  const Fixture f;
  for (const Name name : kAll) {
    for (const auto& cases : all_cases(name)) {
      const std::string text = replies_of(name, f, cases).bytes;
      CAPTURE(std::string(name_of(name)), cases.size(), text);
      const Read whole = read(name, f, cases, {text});
      if (!whole.tally.examples.empty()) INFO(whole.tally.examples.front());
      REQUIRE(whole.well());
      size_t counted = 0;
      for (size_t k = 0; k < kKinds; ++k) counted += whole.tally.hits[k] + whole.tally.misses[k];
      REQUIRE(counted == cases.size());
      for (size_t at = 1; at < text.size(); ++at) {
        const std::string_view all = text;
        const Read parts = read(name, f, cases, {all.substr(0, at), all.substr(at)});
        REQUIRE(parts.well());
        REQUIRE(parts.tally.hits == whole.tally.hits);
        REQUIRE(parts.tally.misses == whole.tally.misses);
      }
      std::vector<std::string_view> bytes;
      for (const char& c : text) bytes.emplace_back(&c, 1);
      REQUIRE(read(name, f, cases, bytes).well());
    }
  }
}

TEST_CASE("every byte that is changed in a reply is noticed") {
  const Fixture f;
  for (const Name name : kAll) {
    for (const auto& cases : all_cases(name)) {
      const Replies replies = replies_of(name, f, cases);
      for (size_t at = 0; at < replies.bytes.size(); ++at) {
        if (replies.free[at]) continue;
        for (const char flip : {'\x01', '\x20', '\x80'}) {
          std::string wrong = replies.bytes;
          wrong[at] ^= flip;
          CAPTURE(std::string(name_of(name)), at, replies.bytes, wrong);
          REQUIRE(!read(name, f, cases, {wrong}).well());
        }
      }
    }
  }
}

TEST_CASE("a reply too few or too many is noticed") {
  const Fixture f;
  for (const Name name : kAll) {
    for (const auto& cases : all_cases(name)) {
      const std::string text = replies_of(name, f, cases).bytes;
      for (size_t bytes = 0; bytes < text.size(); ++bytes) {
        REQUIRE(!read(name, f, cases, {std::string_view(text).substr(0, bytes)}).well());
      }
      REQUIRE(!read(name, f, cases, {text + "\r\n"}).well());
      REQUIRE(!read(name, f, cases, {text + text}).well());
    }
  }
}

TEST_CASE("large values are checked in parts") {
  const Fixture f(20'000);
  for (const Name name : kAll) {
    std::vector<Case> cases{{op(name == Name::Resp ? Kind::Get : Kind::Gets, 3), Case::Hit}};
    add_multiget(cases, 10, "mhm");
    const std::string text = replies_of(name, f, cases).bytes;
    const std::string_view all = text;
    for (size_t at = 1; at < text.size(); at += at < 200 || at > text.size() - 200 ? 1 : 61) {
      REQUIRE(read(name, f, cases, {all.substr(0, at), all.substr(at)}).well());
    }
    std::vector<std::string_view> pieces;
    for (size_t at = 0; at < text.size(); at += 1000) pieces.push_back(all.substr(at, 1000));
    REQUIRE(read(name, f, cases, pieces).well());
    for (size_t at = 0; at < text.size(); at += 499) {
      std::string wrong = text;
      wrong[at] ^= 1;
      std::vector<std::string_view> parts;
      for (size_t i = 0; i < wrong.size(); i += 777) {
        parts.push_back(std::string_view(wrong).substr(i, 777));
      }
      if (replies_of(name, f, cases).free[at]) continue;
      CAPTURE(std::string(name_of(name)), at);
      REQUIRE(!read(name, f, cases, parts).well());
    }
  }
}

TEST_CASE("another key's value is noticed") {
  const Fixture f;
  for (const Name name : kAll) {
    const Replies other = replies_of(name, f, {{op(Kind::Get, 6), Case::Hit}});
    CHECK(!read(name, f, {{op(Kind::Get, 5), Case::Hit}}, {other.bytes}).well());
  }
}

TEST_CASE("errors are counted, shown, and read on from") {
  const Fixture f;
  const std::vector<Case> cases{{op(Kind::Set, 1)}, {op(Kind::Get, 2)}, {op(Kind::Set, 3)}};
  for (const char* error : {"SERVER_ERROR out of memory storing object\r\n", "ERROR\r\n",
                            "CLIENT_ERROR bad data chunk\r\n"}) {
    const Read classic = read(Name::Classic, f, cases, {"STORED\r\n", error, "STORED\r\n"});
    CHECK(classic.exchange.done());
    CHECK(classic.tally.errors == 1);
    CHECK_THAT(classic.tally.examples.at(0), Catch::Contains("expected get of key"));
    const Read meta = read(Name::Meta, f, cases, {"HD\r\n", error, "HD\r\n"});
    CHECK(meta.exchange.done());
    CHECK(meta.tally.errors == 1);
  }
  Replies binary;
  add_frame({.opcode = 0x01, .status = 0x82, .value = "Out of memory"}, 0, binary);
  const Read refused = read(Name::Binary, f, {{op(Kind::Set, 1)}}, {binary.bytes});
  CHECK(refused.exchange.done());
  CHECK(refused.tally.errors == 1);
}

TEST_CASE("an error line without a carriage return breaks the connection") {
  const Fixture f;
  for (const char* error : {"ERROR\n", "CLIENT_ERROR bad data chunk\n", "SERVER_ERROR\n"}) {
    for (const Name name : {Name::Classic, Name::Meta}) {
      CAPTURE(std::string(name_of(name)), error);
      const Read r = read(name, f, {{op(Kind::Set, 1)}}, {error});
      CHECK(r.broken);
      CHECK(r.tally.errors == 1);
    }
  }
}

TEST_CASE("an error of resp names what was asked and answers all keys of an mget") {
  const Fixture f;
  const std::vector<Case> single{{op(Kind::Set, 1)}, {op(Kind::Get, 2)}, {op(Kind::Set, 3)}};
  const Read one = read(Name::Resp, f, single, {"+OK\r\n", "-LOADING\r\n", "+OK\r\n"});
  CHECK(one.exchange.done());
  CHECK(!one.broken);
  CHECK(one.tally.errors == 1);
  CHECK(one.tally.hits[static_cast<size_t>(Kind::Set)] == 2);
  CHECK(one.tally.examples.at(0) ==
        "expected get of " + f.data.keys.text(2) + " (20 bytes); got '-LOADING'");
  std::vector<Case> cases;
  add_multiget(cases, 10, "hmh");
  cases.push_back({op(Kind::Delete, 4)});
  const Read many = read(Name::Resp, f, cases, {"-LOADING\r\n:1\r\n"});
  CHECK(many.exchange.done());
  CHECK(many.tally.errors == 1);
  CHECK(many.tally.hits[static_cast<size_t>(Kind::Get)] == 0);
  CHECK(many.tally.hits[static_cast<size_t>(Kind::Delete)] == 1);
  CHECK(many.tally.examples.at(0) ==
        "expected mget of 3 keys, the first " + f.data.keys.text(10) + "; got '-LOADING'");
}

TEST_CASE("a reply of resp that is of another type breaks the connection") {
  const Fixture f;
  const std::vector<Case> get{{op(Kind::Get, 2), Case::Hit}};
  for (const char* reply : {"$19\r\n", "*1\r\n", ":1\r\n", "+OK\r\n", "$-2\r\n", "$\r\n", "\r\n",
                            "-ERR no carriage return\n", "VALUE k 0 20\r\n"}) {
    CAPTURE(reply);
    const Read r = read(Name::Resp, f, get, {reply});
    CHECK(r.broken);
    CHECK(r.tally.errors == 1);
  }
  std::vector<Case> many;
  add_multiget(many, 10, "mm");
  for (const char* reply : {"*-1\r\n", "*1\r\n$-1\r\n", "*3\r\n$-1\r\n", "$-1\r\n$-1\r\n"}) {
    CAPTURE(reply);
    CHECK(read(Name::Resp, f, many, {reply}).broken);
  }
  CHECK(read(Name::Resp, f, {{op(Kind::Incr, 2)}}, {":0\r\n"}).broken);
  CHECK(read(Name::Resp, f, {{op(Kind::Delete, 2)}}, {":2\r\n"}).broken);
}

TEST_CASE("a missed get of resp is followed by a set where the load wants that") {
  const Fixture f;
  std::vector<Case> cases;
  add_multiget(cases, 10, "hm");
  const auto dialect = Dialect::make(Name::Resp, f.data);
  Exchange exchange;
  exchange.begin();
  Output output;
  dialect->write(ops_of(cases), exchange, output);
  Tally tally;
  tally.fill_on_miss = true;
  const std::string text = replies_of(Name::Resp, f, cases).bytes;
  CHECK(!dialect->read(text.data(), text.size(), exchange, tally).broken);
  REQUIRE(exchange.follow_ups.size() == 1);
  CHECK(exchange.follow_ups[0].kind == Kind::Set);
  CHECK(exchange.follow_ups[0].number == 11);
}

TEST_CASE("what follows from a reply is asked next") {
  const Fixture f;
  for (const Name name : kMemcached) {
    const std::vector<Case> cases{{op(Kind::Gets, 1), Case::Hit}, {op(Kind::Incr, 2), Case::Miss}};
    const Read r = read(name, f, cases, {replies_of(name, f, cases).bytes});
    REQUIRE(r.exchange.follow_ups.size() == 2);
    CHECK(r.exchange.follow_ups[0].kind == Kind::Cas);
    CHECK(r.exchange.follow_ups[0].number == 1);
    CHECK(r.exchange.follow_ups[0].cas == 77);
    CHECK(r.exchange.follow_ups[1].kind == Kind::Add);
    CHECK(r.exchange.follow_ups[1].number == 2);
  }
}

TEST_CASE("requests are what the protocol says") {
  const Data data{Keys("key-", Distribution(12), 100), Keys("ctr-", Distribution(20), kCounters),
                  Values(Distribution(3)), Distribution(60)};
  const std::string value = data.values.text(7);
  const auto written = [&](Name name, std::vector<Op> ops) {
    Exchange exchange;
    exchange.begin();
    Output output;
    Dialect::make(name, data)->write(ops, exchange, output);
    return std::string(output.text());
  };
  std::vector<Op> two{op(Kind::Get, 7), op(Kind::Get, 8)};
  two[0].group = 2;
  two[1].group = 0;
  CHECK(written(Name::Classic, two) == "get ke0000000007 ke0000000008\r\n");
  CHECK(written(Name::Classic, {op(Kind::Gets, 7)}) == "gets ke0000000007\r\n");
  CHECK(written(Name::Classic, {op(Kind::Set, 7)}) ==
        "set ke0000000007 0 60 3\r\n" + value + "\r\n");
  CHECK(written(Name::Classic, {op(Kind::Set, 7, true)}) ==
        "set ke0000000007 0 60 3 noreply\r\n" + value + "\r\nmn\r\n");
  CHECK(written(Name::Classic, {op(Kind::Cas, 7)}) ==
        "cas ke0000000007 0 60 3 77\r\n" + value + "\r\n");
  CHECK(written(Name::Classic, {op(Kind::Delete, 7), op(Kind::Touch, 7), op(Kind::Incr, 7)}) ==
        "delete ke0000000007\r\ntouch ke0000000007 60\r\nincr ctr-0000000000000007 1\r\n");
  CHECK(written(Name::Classic, {op(Kind::Add, 7)}) == "add ctr-0000000000000007 0 0 1\r\n0\r\n");
  CHECK(written(Name::Meta, two) == "mg ke0000000007 v f k q\r\nmg ke0000000008 v f k q\r\nmn\r\n");
  CHECK(written(Name::Meta, {op(Kind::Get, 7), op(Kind::Gets, 7)}) ==
        "mg ke0000000007 v f k\r\nmg ke0000000007 v f k c\r\n");
  CHECK(written(Name::Meta, {op(Kind::Set, 7), op(Kind::Cas, 7)}) ==
        "ms ke0000000007 3 T60\r\n" + value + "\r\nms ke0000000007 3 T60 C77\r\n" + value + "\r\n");
  CHECK(written(Name::Meta, {op(Kind::Get, 7), op(Kind::Delete, 7, true)}) ==
        "mg ke0000000007 v f k\r\nmd ke0000000007 q O1\r\nmn\r\n");
  CHECK(
      written(Name::Meta, {op(Kind::Incr, 7), op(Kind::Touch, 7), op(Kind::Add, 7)}) ==
      "ma ctr-0000000000000007 v\r\nmg ke0000000007 T60\r\nms ctr-0000000000000007 1 ME\r\n0\r\n");
  const std::string key = "ke0000000007";
  CHECK(written(Name::Binary, {op(Kind::Set, 7)}) ==
        std::string("\x80\x01\x00\x0c\x08\x00\x00\x00\x00\x00\x00\x17\x00\x01\x00\x00", 16) +
            big_endian(77, 8) + big_endian(0, 4) + big_endian(60, 4) + key + value);
}

TEST_CASE("requests of resp are arrays of bulk strings") {
  const auto written = [](uint32_t ttl, const std::vector<Op>& ops) {
    const Data data{Keys("key-", Distribution(12), 100), Keys("ctr-", Distribution(20), kCounters),
                    Values(Distribution(3)), Distribution(ttl)};
    Exchange exchange;
    exchange.begin();
    Output output;
    Dialect::make(Name::Resp, data)->write(ops, exchange, output);
    return std::string(output.text());
  };
  const std::string value = Values(Distribution(3)).text(7);
  const std::string key = "$12\r\nke0000000007\r\n";
  const std::string counter = "$20\r\nctr-0000000000000007\r\n";
  std::vector<Op> two{op(Kind::Get, 7), op(Kind::Get, 8)};
  CHECK(written(0, two) ==
        "*2\r\n$3\r\nGET\r\n" + key + "*2\r\n$3\r\nGET\r\n$12\r\nke0000000008\r\n");
  two[0].group = 2;
  two[1].group = 0;
  CHECK(written(0, two) == "*3\r\n$4\r\nMGET\r\n" + key + "$12\r\nke0000000008\r\n");
  CHECK(written(0, {op(Kind::Set, 7)}) == "*3\r\n$3\r\nSET\r\n" + key + "$3\r\n" + value + "\r\n");
  CHECK(written(60, {op(Kind::Set, 7)}) ==
        "*5\r\n$3\r\nSET\r\n" + key + "$3\r\n" + value + "\r\n$2\r\nEX\r\n$2\r\n60\r\n");
  CHECK(written(60, {op(Kind::Delete, 7)}) == "*2\r\n$3\r\nDEL\r\n" + key);
  CHECK(written(60, {op(Kind::Touch, 7)}) == "*3\r\n$6\r\nEXPIRE\r\n" + key + "$2\r\n60\r\n");
  CHECK(written(0, {op(Kind::Touch, 7)}) == "*2\r\n$5\r\nTOUCH\r\n" + key);
  CHECK(written(60, {op(Kind::Incr, 7)}) == "*3\r\n$6\r\nINCRBY\r\n" + counter + "$1\r\n1\r\n");
  CHECK(written(60, {op(Kind::Add, 7)}) ==
        "*4\r\n$3\r\nSET\r\n" + counter + "$1\r\n0\r\n$2\r\nNX\r\n");
}
