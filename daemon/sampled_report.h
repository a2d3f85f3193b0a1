// What is known of requests by timing some and looking at some keys, and how `stats latency`,
// `stats hotkeys` and `stats prefixes` say it. Figures of keys are estimates: samples times
// kKeySampleEvery.
#pragma once

#include <cstdint>
#include <vector>

#include "daemon/key_samples.h"
#include "daemon/latency.h"
#include "daemon/slow_log.h"
#include "proto/reply.h"

namespace larder::daemon {

// Filled in by Server at the time of the call.
struct SampledFigures {
  bool sampling = true;  // -o no_sampling: there is nothing
  LatencySnapshots latencies{};
  uint32_t key_sample_every = kKeySampleEvery;  // 0 with -X or -o no_sampling: no key is looked at
  KeyFigures keys;
  uint32_t slow_request_us = 0;
  std::vector<SlowRequest> slow;  // the latest first; without keys with -X
  uint64_t slow_total = 0;
};

// What `stats hotkeys` shows.
constexpr uint32_t kShownKeys = 32;

// <command>:count, mean_us, p50_us, p90_us, p99_us, p999_us of each command that was timed.
void append_latency_stats(const SampledFigures&, proto::StatList& rows);
// samples, sample_every; then hotkey:<key> as "share <least> <most>", the share of all requests
// with a key, in the last minutes, between these two.
void append_hot_key_stats(const SampledFigures&, proto::StatList& rows);
// prefix:<prefix> as "get <n> hit <n> set <n> del <n>", since the prefix came to be in the table.
void append_prefix_stats(const SampledFigures&, proto::StatList& rows);

// Of a key's share of the samples of the last minutes: it is between these.
struct Share {
  double least = 0;
  double most = 0;
};
Share share_of(const HotKey& key, const KeyFigures& keys) noexcept;

// Microseconds, rounded to hundredths.
double microseconds(uint64_t ns) noexcept;

}  // namespace larder::daemon
