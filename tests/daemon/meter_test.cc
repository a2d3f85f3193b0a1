#include "daemon/meter.h"

#include <array>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

namespace larder::daemon {
namespace {

constexpr core::Seconds kNow = 50;
constexpr int64_t kUnixTimeOfZero = 1'000'000;
constexpr uint64_t kSeed = 42;

// Gets of one key, as a batch.
struct Reads {
  explicit Reads(size_t count, proto::Status status = proto::Status::Hit)
      : commands(count), replies(count) {
    for (proto::Command& command : commands) {
      command.op = proto::Op::Get;
      command.key = "user:1";
    }
    for (proto::Reply& reply : replies) reply.status = status;
  }
  std::vector<proto::Command> commands;
  std::vector<proto::Reply> replies;
};

struct Fixture {
  explicit Fixture(MeterSettings settings = {})
      : meter(std::make_unique<Meter>(settings, keys, slow, kUnixTimeOfZero, kSeed)) {}

  uint64_t recorded(CommandKind kind) {
    LatencySnapshot snapshot;
    snapshot.add(meter->latencies()[static_cast<size_t>(kind)]);
    return snapshot.count();
  }
  uint64_t samples() {
    meter->flush_if_old(kNow + 1);
    return keys.figures(100, 100, kNow).samples;
  }
  std::vector<SlowRequest> slow_requests() {
    uint64_t total = 0;
    return slow.latest(total);
  }

  KeySamples keys{':', 7};
  SlowLog slow;
  std::unique_ptr<Meter> meter;
};

TEST_CASE("some reads of connections are timed, one of kTimeEvery on average") {
  Fixture f;
  const Reads reads(10);
  const int rounds = 16'000;
  for (int i = 0; i < rounds; ++i) {
    const uint64_t began = f.meter->begin();
    if (began != 0) CHECK(f.meter->end(began, reads.commands, kNow) >= began);
  }
  CHECK(static_cast<double>(f.recorded(CommandKind::Get)) ==
        Approx(10.0 * rounds / kTimeEvery).epsilon(0.1));
}

TEST_CASE("each command of a batch is recorded as what it is, and the end of a line is none") {
  Fixture f;
  Reads reads(6);
  reads.commands[2].want = proto::Want::kTouch;
  reads.commands[5].op = proto::Op::EndOfKeys;
  const uint64_t began = f.meter->begin();  // the first is timed
  REQUIRE(began != 0);
  f.meter->end(began, reads.commands, kNow);
  CHECK(f.recorded(CommandKind::Get) == 4);
  CHECK(f.recorded(CommandKind::Gat) == 1);
  CHECK(f.recorded(CommandKind::Other) == 0);
}

TEST_CASE("one key of kKeySampleEvery is looked at, in batches and alone") {
  Fixture f;
  const Reads reads(50);
  const Reads misses(7, proto::Status::Miss);
  proto::Command store;
  store.op = proto::Op::Store;
  store.key = "page:1";
  const proto::Reply stored;
  const int rounds = 50'000;
  for (int i = 0; i < rounds; ++i) {
    f.meter->look_at(reads.commands, reads.replies, kNow);
    f.meter->look_at(misses.commands, misses.replies, kNow);
    f.meter->look_at(store, stored, kNow);
  }
  const double every = kKeySampleEvery;
  CHECK(static_cast<double>(f.samples()) == Approx(58.0 * rounds / every).epsilon(0.05));
  const KeyFigures figures = f.keys.figures(100, 100, kNow);
  REQUIRE(figures.prefixes.size() == 2);
  CHECK(static_cast<double>(figures.prefixes[0].hits) ==
        Approx(50.0 * rounds / every).epsilon(0.05));
  CHECK(static_cast<double>(figures.prefixes[0].misses) ==
        Approx(7.0 * rounds / every).epsilon(0.1));
  CHECK(static_cast<double>(figures.prefixes[1].sets) == Approx(rounds / every).epsilon(0.3));
}

TEST_CASE("without sampling nothing is timed or looked at") {
  Fixture f({false, 0});
  const Reads reads(50);
  for (int i = 0; i < 10'000; ++i) {
    CHECK(f.meter->begin() == 0);
    f.meter->look_at(reads.commands, reads.replies, kNow);
  }
  CHECK(f.samples() == 0);
}

TEST_CASE("keys that may not be shown are not looked at") {
  Fixture f({true, 1, false});
  const Reads reads(50);
  for (int i = 0; i < 1000; ++i) f.meter->look_at(reads.commands, reads.replies, kNow);
  CHECK(f.samples() == 0);
  f.meter->end(1, reads.commands, kNow);
  REQUIRE(f.slow_requests().size() == 1);
  CHECK(f.slow_requests()[0].key.empty());
}

TEST_CASE("with a limit every read is timed, and what takes longer is kept") {
  Fixture f({false, 1});
  const Reads reads(3);
  const uint64_t began = f.meter->begin();
  REQUIRE(began != 0);
  REQUIRE(f.meter->begin() != 0);
  f.meter->end(began - 5'000'000, reads.commands, kNow);  // as if it had begun then
  f.meter->end(UINT64_MAX, reads.commands, kNow);         // no time at all
  const std::vector<SlowRequest> slow = f.slow_requests();
  REQUIRE(slow.size() == 1);
  CHECK(slow[0].microseconds >= 5000);
  CHECK(slow[0].kind == CommandKind::Get);
  CHECK(slow[0].commands == 3);
  CHECK(slow[0].key == "user:1");
  CHECK(slow[0].unix_time == kUnixTimeOfZero + kNow);
  CHECK(f.recorded(CommandKind::Get) == 0);  // sampling is off
}

TEST_CASE("samples are handed over when there are many, or a second has passed") {
  Fixture f;
  proto::Command get;
  get.op = proto::Op::Get;
  get.key = "k";
  const proto::Reply reply;
  f.meter->look_at(get, reply, kNow);  // the first is looked at
  CHECK(f.keys.figures(1, 1, kNow).samples == 0);
  f.meter->flush_if_old(kNow);
  CHECK(f.keys.figures(1, 1, kNow).samples == 1);
  f.meter->flush_if_old(kNow + 1);
  CHECK(f.keys.figures(1, 1, kNow).samples == 1);
  for (int i = 0; i < 100 * static_cast<int>(kKeySampleEvery); ++i) {
    f.meter->look_at(get, reply, kNow);
  }
  CHECK(f.keys.figures(1, 1, kNow).samples >= 64);
}

}  // namespace
}  // namespace larder::daemon
