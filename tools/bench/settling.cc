#include "tools/bench/settling.h"

#include <chrono>
#include <thread>
#include <vector>

namespace larder::bench {

Settling settling_of(std::span<const CpuSample> samples) {
  if (samples.empty()) return Settling::Busy;
  size_t quiet = 0;
  for (size_t i = samples.size() - 1; i > 0 && quiet < kSettledWindows; --i, ++quiet) {
    const double wall = samples[i].at_seconds - samples[i - 1].at_seconds;
    const double cpu = samples[i].cpu_seconds - samples[i - 1].cpu_seconds;
    if (cpu >= kSettledCpuShare * wall) break;
  }
  if (quiet == kSettledWindows) return Settling::Settled;
  const double waited = samples.back().at_seconds - samples.front().at_seconds;
  return waited < kSettleLimitSeconds ? Settling::Busy : Settling::Never;
}

bool wait_until_settled(const Server& server, const std::atomic<bool>* stop) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<CpuSample> samples;
  while (stop == nullptr || !stop->load(std::memory_order_relaxed)) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    samples.push_back({passed.count(), server.cpu_nanoseconds() / 1e9});
    const Settling settling = settling_of(samples);
    if (settling != Settling::Busy) return settling == Settling::Settled;
    std::this_thread::sleep_for(std::chrono::duration<double>(kSettleWindowSeconds));
  }
  return false;
}

}  // namespace larder::bench
