#include "daemon/sampled_report.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/exposition.h"

namespace larder::daemon {
namespace {

std::string estimate(uint64_t samples) { return std::to_string(samples * kKeySampleEvery); }

// Four digits behind the point are finer than any sample.
std::string share_text(double share) { return decimal(std::round(share * 1e4) / 1e4); }

}  // namespace

double microseconds(uint64_t ns) noexcept {
  return std::round(static_cast<double>(ns) / 10.0) / 100.0;
}

Share share_of(const HotKey& key, const KeyFigures& keys) noexcept {
  if (keys.total <= 0) return {};
  return {std::clamp((key.count - key.error) / keys.total, 0.0, 1.0),
          std::clamp(key.count / keys.total, 0.0, 1.0)};
}

void append_latency_stats(const SampledFigures& figures, proto::StatList& rows) {
  for (size_t i = 0; i < kCommandKinds; ++i) {
    const LatencySnapshot& latency = figures.latencies[i];
    if (latency.count() == 0) continue;
    const std::string command = std::string(name_of(static_cast<CommandKind>(i))) + ':';
    const auto add = [&](std::string_view name, std::string value) {
      rows.emplace_back(command + std::string(name), std::move(value));
    };
    add("count", std::to_string(latency.count()));
    add("mean_us", decimal(microseconds(latency.mean_ns())));
    add("p50_us", decimal(microseconds(latency.quantile_ns(0.5))));
    add("p90_us", decimal(microseconds(latency.quantile_ns(0.9))));
    add("p99_us", decimal(microseconds(latency.quantile_ns(0.99))));
    add("p999_us", decimal(microseconds(latency.quantile_ns(0.999))));
  }
  rows.emplace_back("slow_request_us", std::to_string(figures.slow_request_us));
  rows.emplace_back("slow_requests", std::to_string(figures.slow_total));
}

void append_hot_key_stats(const SampledFigures& figures, proto::StatList& rows) {
  rows.emplace_back("samples", std::to_string(figures.keys.samples));
  rows.emplace_back("sample_every", std::to_string(figures.key_sample_every));
  const size_t shown = std::min<size_t>(figures.keys.keys.size(), kShownKeys);
  for (size_t i = 0; i < shown; ++i) {
    const HotKey& key = figures.keys.keys[i];
    const Share share = share_of(key, figures.keys);
    rows.emplace_back("hotkey:" + printable_key(key.key),
                      "share " + share_text(share.least) + ' ' + share_text(share.most));
  }
}

void append_prefix_stats(const SampledFigures& figures, proto::StatList& rows) {
  for (const PrefixFigures& prefix : figures.keys.prefixes) {
    rows.emplace_back("prefix:" + printable_key(prefix.prefix),
                      "get " + estimate(prefix.hits + prefix.misses) + " hit " +
                          estimate(prefix.hits) + " set " + estimate(prefix.sets) + " del " +
                          estimate(prefix.deletes));
  }
}

}  // namespace larder::daemon
