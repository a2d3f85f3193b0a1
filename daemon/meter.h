// Meter: a worker's instruments on the request path: how long requests take, and which keys come.
//
// It looks at a few and leaves the others alone: the reads of a connection that are timed and the
// keys that are sampled are drawn at random, so that no rhythm of the clients' escapes it or fools
// it. What is not looked at costs a decrement and a branch. With a limit for slow requests every
// read is timed, and a sample of them recorded.
//
// One thread, the worker's; latencies() any.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/units.h"
#include "daemon/key_samples.h"
#include "daemon/latency.h"
#include "daemon/slow_log.h"
#include "proto/command.h"
#include "proto/reply.h"

namespace larder::daemon {

// Of so many reads of connections one is timed, on average.
constexpr uint32_t kTimeEvery = 16;

struct MeterSettings {
  bool sampling = true;
  uint32_t slow_request_us = 0;  // 0: none is slow
  bool keys = true;              // whether keys may be looked at, and shown
};

class Meter {
 public:
  // The samples and the log are shared, and outlive it. `seed` is not 0.
  Meter(const MeterSettings& settings, KeySamples& keys, SlowLog& slow, int64_t unix_time_of_zero,
        uint64_t seed);

  // A read of a connection begins to be served. Returns the moment, or 0 if it is not timed.
  uint64_t begin() noexcept {
    if (--until_timed_ != 0) [[likely]]
      return 0;
    return begin_timed();
  }
  // These commands, which came together and were begun at `began`, have been answered. Returns the
  // moment: what comes next begins then.
  uint64_t end(uint64_t began, std::span<const proto::Command> commands, core::Seconds now);

  // Reads, and any other command, that have been answered.
  void look_at(std::span<const proto::Command> reads, std::span<const proto::Reply> replies,
               core::Seconds now) {
    if (until_key_ > reads.size()) [[likely]] {
      until_key_ -= reads.size();
      return;
    }
    sample_reads(reads, replies, now);
  }
  void look_at(const proto::Command& command, const proto::Reply& reply, core::Seconds now) {
    if (--until_key_ != 0) [[likely]]
      return;
    sample(command, reply, now);
    until_key_ = next(kKeySampleEvery);
  }

  // Hands over what has been sampled, unless that has been done in this second.
  void flush_if_old(core::Seconds now) {
    if (now != flushed_at_ && sampled_ > 0) flush(now);
  }

  LatencyHistograms& latencies() noexcept { return latencies_; }

 private:
  static constexpr size_t kSamples = 64;

  uint64_t begin_timed() noexcept;
  uint64_t next(uint32_t mean) noexcept;  // 1 to 2 * mean - 1
  void record(uint64_t ns, std::span<const proto::Command> commands);
  void sample_reads(std::span<const proto::Command> reads, std::span<const proto::Reply> replies,
                    core::Seconds now);
  void sample(const proto::Command& command, const proto::Reply& reply, core::Seconds now);
  void flush(core::Seconds now);

  uint64_t until_timed_;
  uint64_t until_key_;
  uint64_t until_recorded_ = 1;
  bool recording_ = false;  // what is timed now
  uint64_t random_;
  const bool sampling_;
  const bool keys_allowed_;
  const uint64_t slow_ns_;
  const int64_t unix_time_of_zero_;
  KeySamples& keys_;
  SlowLog& slow_;
  core::Seconds flushed_at_ = 0;
  size_t sampled_ = 0;
  std::array<KeySample, kSamples> samples_;
  LatencyHistograms latencies_;
};

}  // namespace larder::daemon
