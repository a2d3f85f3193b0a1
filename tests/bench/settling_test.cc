#include "tools/bench/settling.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace larder::bench;

namespace {

// Samples whose windows have these shares of a core.
std::vector<CpuSample> samples_of(const std::vector<double>& shares) {
  std::vector<CpuSample> samples{{100, 5}};
  for (const double share : shares) {
    const CpuSample last = samples.back();
    samples.push_back(
        {last.at_seconds + kSettleWindowSeconds, last.cpu_seconds + share * kSettleWindowSeconds});
  }
  return samples;
}

}  // namespace

TEST_CASE("a server is settled after a second of quiet windows, and not before") {
  CHECK(settling_of({}) == Settling::Busy);
  CHECK(settling_of(samples_of({})) == Settling::Busy);
  CHECK(settling_of(samples_of({0, 0, 0, 0})) == Settling::Busy);
  CHECK(settling_of(samples_of({0, 0, 0, 0, 0})) == Settling::Settled);
  CHECK(settling_of(samples_of({0.009, 0.009, 0.009, 0.009, 0.009})) == Settling::Settled);
  CHECK(settling_of(samples_of({0.011, 0.011, 0.011, 0.011, 0.011})) == Settling::Busy);
}

TEST_CASE("a busy window among quiet ones starts the second again") {
  CHECK(settling_of(samples_of({0, 0, 0, 0, 0.27})) == Settling::Busy);
  CHECK(settling_of(samples_of({0, 0, 0, 0, 0.27, 0, 0, 0, 0})) == Settling::Busy);
  CHECK(settling_of(samples_of({0.27, 0, 0, 0, 0, 0})) == Settling::Settled);
}

TEST_CASE("a server that stays busy never settles, and the wait is bounded") {
  const auto windows = static_cast<size_t>(kSettleLimitSeconds / kSettleWindowSeconds);
  CHECK(settling_of(samples_of(std::vector<double>(windows - 1, 0.5))) == Settling::Busy);
  CHECK(settling_of(samples_of(std::vector<double>(windows + 1, 0.5))) == Settling::Never);
  // A server whose last windows were quiet has settled, late or not.
  std::vector<double> late(windows, 0.5);
  late.insert(late.end(), kSettledWindows, 0);
  CHECK(settling_of(samples_of(late)) == Settling::Settled);
}
