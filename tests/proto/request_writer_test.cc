#include "proto/request_writer.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "proto/binary_protocol.h"
#include "proto/text_protocol.h"
#include "proto/verbs.h"
#include "tests/proto/parse_one.h"
#include "tests/proto/player.h"
#include "tests/proto/written.h"

using namespace larder::proto;
using larder::test::describe;
using larder::test::ParseOne;

namespace {

std::string request(const Command& command, std::string_view value = {}) {
  ReplyBuffer out;
  REQUIRE(write_request(command, value, out));
  return larder::test::joined(out);
}

bool refuses(const Command& command) {
  ReplyBuffer out;
  return !write_request(command, "value", out) && out.empty();
}

Command command_of(Dialect dialect, Op op, std::string_view key = {}, uint32_t want = 0) {
  Command command;
  command.dialect = dialect;
  command.op = op;
  command.key = key;
  command.want = want;
  return command;
}

// What a server makes of the request, but for what only a parser fills in: the flags as they came,
// and how long the value is.
template <class P>
std::string parsed(const Command& command, std::string_view value) {
  ParseOne<P> one(request(command, value));
  REQUIRE(one.complete());
  CHECK(one.command.value_bytes == (command.op == Op::Store ? value.size() : 0));
  // Behind the head stands the value and nothing else.
  const std::string behind = one.input.substr(one.parsed.consumed);
  const bool binary = command.dialect == Dialect::Binary;
  const std::string trailer = command.op == Op::Store && !binary ? "\r\n" : "";
  CHECK((behind == std::string(command.op == Op::Store ? value : std::string_view{}) + trailer));
  one.command.return_flags = {};
  one.command.value_bytes = 0;
  one.command.opcode = 0;
  return describe(one.command);
}

void check_identity(Command command, std::string_view value = {}) {
  const bool binary = command.dialect == Dialect::Binary;
  const std::string back =
      binary ? parsed<BinaryProtocol>(command, value) : parsed<TextProtocol>(command, value);
  command.return_flags = {};
  command.value_bytes = 0;
  if (command.op == Op::Get && command.dialect == Dialect::Classic) command.want |= Want::kLastKey;
  CHECK(back == describe(command));
}

constexpr StoreMode kModes[] = {StoreMode::Set, StoreMode::Add, StoreMode::Replace,
                                StoreMode::Append, StoreMode::Prepend};

}  // namespace

TEST_CASE("requests are spelled as memcached's documents do") {
  Command set = command_of(Dialect::Classic, Op::Store, "k");
  set.client_flags = 5;
  set.exptime = -1;
  CHECK(request(set, "abc") == "set k 5 -1 3\r\nabc\r\n");
  set.want = Want::kCompareCas | Want::kQuiet;
  set.cas = 99;
  CHECK(request(set, "abc") == "cas k 5 -1 3 99 noreply\r\nabc\r\n");
  CHECK(request(command_of(Dialect::Classic, Op::Get, "k")) == "get k\r\n");
  CHECK(request(command_of(Dialect::Classic, Op::Get, "k", Want::kCas)) == "gets k\r\n");
  Command gat = command_of(Dialect::Classic, Op::Get, "k", Want::kCas | Want::kTouch);
  gat.exptime = 7;
  CHECK(request(gat) == "gats 7 k\r\n");
  CHECK(request(command_of(Dialect::Classic, Op::Remove, "k")) == "delete k\r\n");
  CHECK(request(command_of(Dialect::Classic, Op::Arith, "k", Want::kDecrement)) == "decr k 1\r\n");
  CHECK(request(command_of(Dialect::Classic, Op::Flush)) == "flush_all\r\n");
  CHECK(request(command_of(Dialect::Meta, Op::Version)) == "version\r\n");
  CHECK(request(command_of(Dialect::Meta, Op::Quit)) == "quit\r\n");
  CHECK(request(command_of(Dialect::Meta, Op::Noop)) == "mn\r\n");

  Command mg = command_of(Dialect::Meta, Op::Get, "k", Want::kValue | Want::kTouch);
  mg.exptime = 30;
  mg.return_flags = "f c";
  mg.opaque = "7";
  CHECK(request(mg) == "mg k v T30 O7 f c\r\n");
  Command ms = command_of(Dialect::Meta, Op::Store, "a b", Want::kBase64Key);
  ms.mode = StoreMode::Add;
  CHECK(request(ms, "xy") == "ms YSBi 2 ME b\r\nxy\r\n");
  Command ma = command_of(Dialect::Meta, Op::Arith, "k", Want::kVivify | Want::kValue);
  ma.initial = 3;
  ma.vivify_exptime = 60;
  CHECK(request(ma) == "ma k v J3 N60\r\n");
}

TEST_CASE("one line asks for many keys") {
  std::vector<std::string> names;
  for (size_t bytes = 1; bytes <= 250; ++bytes) names.emplace_back(bytes, 'k');
  const std::vector<std::string_view> keys(names.begin(), names.end());
  ReplyBuffer out;
  write_gets(keys, out);
  write_gets({keys.data(), 2}, out);
  std::string expected = "gets";
  for (const std::string& name : names) expected += " " + name;
  CHECK(larder::test::joined(out) == expected + "\r\ngets k kk\r\n");
}

TEST_CASE("what a dialect cannot say is not said") {
  CHECK(refuses(command_of(Dialect::Classic, Op::Noop)));
  CHECK(refuses(command_of(Dialect::Classic, Op::Describe, "k")));
  CHECK(refuses(command_of(Dialect::Meta, Op::Touch, "k")));
  CHECK(refuses(command_of(Dialect::Meta, Op::Stats)));
  CHECK(refuses(command_of(Dialect::Binary, Op::Error)));
  CHECK(refuses(command_of(Dialect::Binary, Op::Verbosity)));
  CHECK(refuses(command_of(Dialect::Binary, Op::Get, "k", Want::kValue | Want::kDecrement)));
}

TEST_CASE("a classic parser makes of a request the command that it was") {
  std::mt19937 random(1);
  const std::string values[] = {"", "x", std::string(1024, 'c'), std::string(100000, 'r')};
  const std::string longest(250, 'k');
  for (const std::string_view key : {std::string_view("k"), std::string_view(longest)}) {
    for (const uint32_t quiet : {0u, Want::kQuiet}) {
      for (const int32_t exptime : {0, 1, -1, INT32_MAX, INT32_MIN}) {
        for (const StoreMode mode : kModes) {
          Command store = command_of(Dialect::Classic, Op::Store, key, quiet);
          store.mode = mode;
          store.exptime = exptime;
          store.client_flags = static_cast<uint32_t>(random());
          for (const std::string& value : values) check_identity(store, value);
          if (mode != StoreMode::Set) continue;
          store.want |= Want::kCompareCas;
          store.cas = ~uint64_t{0};
          check_identity(store, "v");
        }
        Command touch = command_of(Dialect::Classic, Op::Touch, key, quiet);
        touch.exptime = exptime;
        check_identity(touch);
        Command gat = command_of(Dialect::Classic, Op::Get, key, Want::kValue | Want::kTouch);
        gat.exptime = exptime;
        check_identity(gat);
        gat.want |= Want::kCas;
        check_identity(gat);
        Command flush = command_of(Dialect::Classic, Op::Flush, {}, quiet | Want::kDelay);
        flush.exptime = exptime;
        check_identity(flush);
      }
      check_identity(command_of(Dialect::Classic, Op::Remove, key, quiet));
      for (const uint64_t delta : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) {
        Command count = command_of(Dialect::Classic, Op::Arith, key, quiet);
        count.delta = delta;
        check_identity(count);
        count.want |= Want::kDecrement;
        check_identity(count);
      }
    }
    check_identity(command_of(Dialect::Classic, Op::Get, key, Want::kValue));
    check_identity(command_of(Dialect::Classic, Op::Get, key, Want::kValue | Want::kCas));
  }
  check_identity(command_of(Dialect::Classic, Op::Version));
  check_identity(command_of(Dialect::Classic, Op::Quit));
}

TEST_CASE("a meta parser makes of a request the command that it was") {
  const std::string odd("\0 \r\n\xff", 5);
  // Every set of wishes that the verb knows, with and without words of its own.
  for (const std::string_view key : {std::string_view("k"), std::string_view(odd)}) {
    const uint32_t base64 = key == odd ? Want::kBase64Key : 0;
    for (const MetaVerb& verb : kMetaVerbs) {
      if (verb.op == Op::Noop || verb.op == Op::Describe) continue;
      uint32_t subset = 0;
      do {
        subset = (subset - verb.want) & verb.want;  // the next subset
        if ((subset & Want::kBase64Key) != base64) continue;
        // C is one wish to a get and another to everything else; I and N are dropped where they
        // mean nothing to a store.
        Command command = command_of(Dialect::Meta, verb.op, key, subset);
        const bool compares = command.wants(Want::kCompareCas | Want::kConditional);
        if (compares) command.cas = 12345678901234567890u;
        if (command.wants(Want::kExplicitCas)) command.new_cas = 77;
        if (command.wants(Want::kTouch)) command.exptime = -5;
        if (command.wants(Want::kVivify)) command.vivify_exptime = 30;
        if (command.wants(Want::kRecache)) command.recache_exptime = 20;
        if (verb.op == Op::Arith) {
          command.delta = 18446744073709551615u;
          // An initial number goes with the wish to create.
          if (command.wants(Want::kVivify)) command.initial = 13;
          command.want |= (subset & Want::kQuiet) == 0 ? Want::kDecrement : 0u;
        }
        command.opaque = "op";
        command.return_flags = "k t s";
        if (verb.op != Op::Store) {
          check_identity(command);
          continue;
        }
        command.client_flags = 4294967295u;
        for (const StoreMode mode : kModes) {
          Command store = command;
          store.mode = mode;
          const bool concat = mode == StoreMode::Append || mode == StoreMode::Prepend;
          if (store.wants(Want::kVivify) && !concat) continue;
          if (store.wants(Want::kInvalidate) && (concat || !store.wants(Want::kCompareCas))) {
            continue;
          }
          // To add by version, or to replace by it, is spelled otherwise.
          if (store.wants(Want::kCompareCas) &&
              (mode == StoreMode::Add || mode == StoreMode::Replace)) {
            continue;
          }
          store.exptime = 9;
          check_identity(store, "value");
        }
      } while (subset != 0);
    }
  }
  check_identity(command_of(Dialect::Meta, Op::Noop));
}

TEST_CASE("a binary parser makes of a request the command that it was") {
  const std::string values[] = {"", "x", std::string(1024, 'c'), std::string(100000, 'r')};
  const std::string odd("\0 \r\n\xff", 5);
  int verbs = 0;
  for (const BinaryVerb& verb : kBinaryVerbs) {
    if (verb.op == Op::Error || verb.op == Op::Stats || verb.op == Op::ConfigGet ||
        verb.op == Op::ConfigSet || verb.op == Op::ConfigDelete) {
      continue;
    }
    ++verbs;
    CAPTURE(int{verb.opcode});
    Command command = command_of(Dialect::Binary, verb.op, {}, verb.want);
    command.mode = verb.mode;
    command.opaque = "\xff\x80 \n";
    if (verb.shape != BinaryShape::Empty && verb.shape != BinaryShape::Flush) command.key = odd;
    CHECK(static_cast<uint8_t>(request(command)[1]) == verb.opcode);
    if (verb.shape == BinaryShape::Value || verb.shape == BinaryShape::KeyTime) {
      command.exptime = -2;
    }
    if (verb.shape == BinaryShape::Value) command.client_flags = 4294967295u;
    if (verb.shape == BinaryShape::Flush) {
      check_identity(command);
      command.want |= Want::kDelay;
      command.exptime = 10;
    }
    if (verb.shape == BinaryShape::Arith) {
      command.delta = ~uint64_t{0};
      command.vivify_exptime = -1;  // which is how it is said that nothing is created
      check_identity(command);
      command.want |= Want::kVivify;
      command.initial = 5;
      command.vivify_exptime = 60;
    }
    for (const std::string& value : values) {
      check_identity(command, value);
      if (verb.op != Op::Store) break;
    }
    if (verb.op != Op::Store && verb.op != Op::Remove && verb.op != Op::Arith) continue;
    command.want |= Want::kCompareCas;
    command.cas = ~uint64_t{0} - 1;
    check_identity(command, "v");
  }
  CHECK(verbs == 31);
}

TEST_CASE("a long value is sent from where it lies, a short one from among its words") {
  const std::string long_value(5000, 'v');
  for (const Dialect dialect : {Dialect::Classic, Dialect::Meta, Dialect::Binary}) {
    ReplyBuffer out;
    const Command set = command_of(dialect, Op::Store, "k");
    REQUIRE(write_request(set, long_value, out));
    REQUIRE(write_request(set, "short", out));
    const auto& pieces = out.pieces();
    REQUIRE(pieces.size() == 3);
    CHECK(pieces[1].data == long_value.data());
    CHECK(pieces[1].bytes == long_value.size());
  }
}
