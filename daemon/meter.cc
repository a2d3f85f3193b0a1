#include "daemon/meter.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace larder::daemon {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

uint64_t nanoseconds() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

bool is_request(const proto::Command& command) noexcept {
  return command.op != proto::Op::EndOfKeys && command.op != proto::Op::Noop;
}

}  // namespace

Meter::Meter(const MeterSettings& settings, KeySamples& keys, SlowLog& slow,
             int64_t unix_time_of_zero, uint64_t seed)
    : until_timed_(settings.sampling || settings.slow_request_us != 0 ? 1 : kNever),
      until_key_(settings.sampling && settings.keys ? 1 : kNever),
      random_(seed),
      sampling_(settings.sampling),
      keys_allowed_(settings.keys),
      slow_ns_(settings.slow_request_us == 0 ? kNever : uint64_t{settings.slow_request_us} * 1000),
      unix_time_of_zero_(unix_time_of_zero),
      keys_(keys),
      slow_(slow) {}

// xorshift64: George Marsaglia, "Xorshift RNGs".
uint64_t Meter::next(uint32_t mean) noexcept {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return 1 + (random_ >> 32) % (2 * uint64_t{mean} - 1);
}

uint64_t Meter::begin_timed() noexcept {
  if (slow_ns_ == kNever) {
    until_timed_ = next(kTimeEvery);
    recording_ = true;
  } else {
    until_timed_ = 1;
    recording_ = sampling_ && --until_recorded_ == 0;
    if (recording_) until_recorded_ = next(kTimeEvery);
  }
  return nanoseconds();
}

uint64_t Meter::end(uint64_t began, std::span<const proto::Command> commands, core::Seconds now) {
  const uint64_t ended = nanoseconds();
  const uint64_t ns = ended - std::min(began, ended);
  if (recording_) record(ns, commands);
  if (ns > slow_ns_ && !commands.empty()) [[unlikely]] {
    const proto::Command& first = commands.front();
    slow_.add({unix_time_of_zero_ + now, ns / 1000, kind_of(first),
               static_cast<uint32_t>(commands.size()),
               std::string(keys_allowed_ ? first.key : std::string_view())});
  }
  return ended;
}

// All of one kind, as a rule: one addition for each run of them.
void Meter::record(uint64_t ns, std::span<const proto::Command> commands) {
  CommandKind kind = CommandKind::Get;
  uint64_t times = 0;
  const auto add = [&] {
    if (times > 0) latencies_[static_cast<size_t>(kind)].record(ns, times);
  };
  for (const proto::Command& command : commands) {
    if (!is_request(command)) continue;
    const CommandKind its = kind_of(command);
    if (its != kind) {
      add();
      kind = its;
      times = 0;
    }
    ++times;
  }
  add();
}

void Meter::sample_reads(std::span<const proto::Command> reads,
                         std::span<const proto::Reply> replies, core::Seconds now) {
  size_t done = 0;
  while (until_key_ <= reads.size() - done) {
    done += until_key_;
    sample(reads[done - 1], replies[done - 1], now);
    until_key_ = next(kKeySampleEvery);
  }
  until_key_ -= reads.size() - done;
}

void Meter::sample(const proto::Command& command, const proto::Reply& reply, core::Seconds now) {
  using What = KeySample::What;
  if (command.key.empty()) return;
  What what = What::Other;
  if (command.op == proto::Op::Get) {
    what = reply.status == proto::Status::Hit ? What::Hit : What::Miss;
  } else if (command.op == proto::Op::Store) {
    what = What::Set;
  } else if (command.op == proto::Op::Remove) {
    what = What::Delete;
  }
  samples_[sampled_++].set(command.key, what, keys_.seed());
  if (sampled_ == kSamples) flush(now);
}

void Meter::flush(core::Seconds now) {
  keys_.add({samples_.data(), sampled_}, now);
  sampled_ = 0;
  flushed_at_ = now;
}

}  // namespace larder::daemon
