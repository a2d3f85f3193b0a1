#include "tools/bench/popularity.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "tools/bench/words.h"

namespace larder::bench {
namespace {

// Draws ranks in constant time and memory whatever the number of keys: rejection from the integral
// of the density, after Hörmann and Derflinger, "Rejection-inversion to generate variates from
// monotone discrete distributions", 1996.
class Zipf {
 public:
  Zipf(double count, double skew)
      : count_(count),
        skew_(skew),
        low_(integral(1.5) - 1),
        high_(integral(count + 0.5)),
        sure_(2 - inverse(integral(2.5) - std::pow(2.0, -skew))) {}

  // From 1 to count.
  double draw(Random& random) const {
    for (;;) {
      const double u = high_ + random.unit() * (low_ - high_);
      const double x = inverse(u);
      const double rank = std::clamp(std::floor(x + 0.5), 1.0, count_);
      if (rank - x <= sure_ || u >= integral(rank + 0.5) - std::pow(rank, -skew_)) return rank;
    }
  }

 private:
  // Of x^-skew from 1 to x.
  double integral(double x) const {
    const double t = (1 - skew_) * std::log(x);
    return std::abs(t) < 1e-9 ? std::log(x) : std::expm1(t) / (1 - skew_);
  }
  double inverse(double y) const {
    const double t = (1 - skew_) * y;
    return std::abs(t) < 1e-9 ? std::exp(y) : std::exp(std::log1p(std::max(t, -1.0)) / (1 - skew_));
  }

  double count_;
  double skew_;
  double low_;
  double high_;
  double sure_;
};

}  // namespace

Popularity Popularity::parse(std::string_view text) {
  if (text == "uniform") return {Kind::Uniform};
  if (text == "sequential") return {Kind::Sequential};
  if (text == "unique") return {Kind::Unique};
  const auto words = split(text, ':');
  if (words.size() == 2 && words[0] == "zipf") {
    const auto skew = parse_real(words[1]);
    if (skew && *skew >= 0 && *skew <= 5) return {Kind::Zipf, *skew};
  }
  throw std::invalid_argument("'" + std::string(text) +
                              "' is not uniform, sequential, unique or zipf:SKEW (0 to 5)");
}

KeyOrder::KeyOrder(const Popularity& popularity, uint64_t keys, uint64_t first, uint64_t seed)
    : kind(popularity.kind), count(keys), next(first) {
  if (kind != Popularity::Kind::Zipf) return;
  Random random(seed);
  const Zipf zipf(static_cast<double>(count), popularity.skew);
  ring.resize(kRing);
  for (uint32_t& n : ring) n = static_cast<uint32_t>(zipf.draw(random)) - 1;
}

}  // namespace larder::bench
