#include "tools/bench/distribution.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>
#include <string>

#include "tools/bench/random.h"

using namespace larder::bench;

TEST_CASE("a number is a distribution that is always it") {
  for (const char* text : {"100", "fixed:100"}) {
    const Distribution d = Distribution::parse(text);
    CHECK(d.fixed());
    CHECK(d.at(0) == 100);
    CHECK(d.at(UINT64_MAX) == 100);
    CHECK(d.mean() == 100);
  }
}

TEST_CASE("uniform reaches from its beginning to its end") {
  const Distribution d = Distribution::parse("uniform:50:1000");
  CHECK(d.min() == 50);
  CHECK(d.max() == 1000);
  CHECK(d.mean() == Approx(525).epsilon(0.001));
}

TEST_CASE("lognormal has the mean that was asked for") {
  for (const char* sigma : {"0.1", "0.9", "1.5"}) {
    const Distribution d = Distribution::parse(std::string("lognormal:700:") + sigma);
    CHECK(d.mean() == Approx(700).epsilon(0.01));
    // Half of its values lie below the mean by exp(sigma^2 / 2).
    const double median = 700 / std::exp(std::stod(sigma) * std::stod(sigma) / 2);
    CHECK(d.table()[Distribution::kQuantiles / 2] == Approx(median).epsilon(0.03));
  }
}

TEST_CASE("zipf sizes fall off with their rank") {
  const Distribution d = Distribution::parse("zipf:10:1009:1");
  CHECK(d.min() == 10);
  double harmonic = 0;
  for (int r = 1; r <= 1000; ++r) harmonic += 1.0 / r;
  const auto share = [&](uint32_t size) {
    return static_cast<double>(std::count(d.table().begin(), d.table().end(), size)) /
           Distribution::kQuantiles;
  };
  CHECK(share(10) == Approx(1 / harmonic).epsilon(0.01));
  CHECK(share(11) == Approx(1 / (2 * harmonic)).epsilon(0.01));
  // Each rank adds as much to what lies above the minimum: rank * 1 / rank.
  CHECK(d.mean() == Approx(10 + 1000 / harmonic - 1).epsilon(0.02));
}

TEST_CASE("presets have the published means") {
  for (const Preset& preset : kPresets) {
    CAPTURE(std::string(preset.name));
    CHECK(Distribution::parse(preset.name).mean() == Approx(preset.value_bytes).epsilon(0.02));
  }
}

TEST_CASE("hashes draw from a distribution evenly") {
  const Distribution d = Distribution::parse("lognormal:500:1");
  double sum = 0;
  for (uint64_t n = 0; n < 100'000; ++n) sum += d.at(mix(n));
  CHECK(sum / 100'000 == Approx(500).epsilon(0.02));
}

TEST_CASE("clamping raises and lowers what lies outside") {
  const Distribution d = Distribution::parse("uniform:1:100").clamped(10, 20);
  CHECK(d.min() == 10);
  CHECK(d.max() == 20);
}

TEST_CASE("what is no distribution is refused by name") {
  for (const char* text :
       {"", "x", "-1", "fixed", "fixed:", "fixed:1:2", "uniform:5", "uniform:9:5", "uniform:a:b",
        "lognormal:1", "lognormal:x:1", "lognormal:100:9", "zipf:1:2", "zipf:5:1:1",
        "zipf:1:99999999:1", "twitter5", "5x"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH(Distribution::parse(text), Catch::StartsWith(std::string("'") + text + "'"));
  }
}
