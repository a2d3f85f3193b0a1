#include "tools/bench/distribution.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "tools/bench/words.h"

namespace larder::bench {
namespace {

constexpr uint32_t kMost = 1u << 30;

[[noreturn]] void refuse(std::string_view text, const char* why) {
  throw std::invalid_argument("'" + std::string(text) + "' " + why);
}

uint32_t whole(std::string_view text, std::string_view word) {
  const auto number = parse_number(word);
  if (!number || *number > kMost) refuse(text, "is not a distribution: a number is missing");
  return static_cast<uint32_t>(*number);
}

double real(std::string_view text, std::string_view word) {
  const auto number = parse_real(word);
  if (!number || *number < 0) refuse(text, "is not a distribution: a number is missing");
  return *number;
}

// The middle of the i-th of kQuantiles equal shares.
double middle(size_t i) {
  return (static_cast<double>(i) + 0.5) / static_cast<double>(Distribution::kQuantiles);
}

// How many deviations from the mean a normal value lies that a share of `q` does not exceed.
double normal_quantile(double q) {
  double low = -8;
  double high = 8;
  for (int i = 0; i < 60; ++i) {
    const double x = (low + high) / 2;
    (std::erfc(-x / std::numbers::sqrt2) / 2 < q ? low : high) = x;
  }
  return low;
}

std::vector<uint32_t> lognormal(double mean, double sigma) {
  std::vector<double> values(Distribution::kQuantiles);
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i)
    sum += values[i] = std::exp(sigma * normal_quantile(middle(i)));
  // The far tail is cut by taking middles; what it adds to the mean is given back to all.
  const double scale = mean * static_cast<double>(values.size()) / sum;
  std::vector<uint32_t> table;
  for (const double v : values) table.push_back(static_cast<uint32_t>(std::lround(v * scale)));
  return table;
}

std::vector<uint32_t> zipf(uint32_t min, uint32_t max, double skew) {
  std::vector<double> upto;  // share of the sizes so far, not yet divided by their sum
  double sum = 0;
  for (uint32_t r = 0; r <= max - min; ++r) upto.push_back(sum += std::pow(r + 1.0, -skew));
  std::vector<uint32_t> table;
  for (size_t i = 0; i < Distribution::kQuantiles; ++i) {
    const auto at = std::lower_bound(upto.begin(), upto.end(), middle(i) * sum);
    table.push_back(min + static_cast<uint32_t>(at - upto.begin()));
  }
  return table;
}

}  // namespace

Distribution Distribution::parse(std::string_view text) {
  if (const Preset* preset = find_preset(text)) {
    return Distribution(lognormal(preset->value_bytes, kPresetSigma));
  }
  const std::vector<std::string_view> words = split(text, ':');
  const std::string_view name = words[0];
  if (words.size() == 1) return Distribution(whole(text, name));
  if (name == "fixed" && words.size() == 2) return Distribution(whole(text, words[1]));
  if (name == "uniform" && words.size() == 3) {
    const uint32_t min = whole(text, words[1]);
    const uint32_t max = whole(text, words[2]);
    if (max < min) refuse(text, "ends below its beginning");
    std::vector<uint32_t> table;
    for (size_t i = 0; i < kQuantiles; ++i) {
      table.push_back(min + static_cast<uint32_t>(middle(i) * (max - min + 1.0)));
    }
    return Distribution(std::move(table));
  }
  if (name == "lognormal" && words.size() == 3) {
    const double mean = real(text, words[1]);
    const double sigma = real(text, words[2]);
    if (mean > 1e7 || sigma > 4)
      refuse(text, "asks for a mean above 10,000,000 or a sigma above 4");
    return Distribution(lognormal(mean, sigma));
  }
  if (name == "zipf" && words.size() == 4) {
    const uint32_t min = whole(text, words[1]);
    const uint32_t max = whole(text, words[2]);
    if (max < min) refuse(text, "ends below its beginning");
    if (max - min > 10'000'000) refuse(text, "spans more than 10,000,000");
    return Distribution(zipf(min, max, real(text, words[3])));
  }
  refuse(text,
         "is not a distribution: N, uniform:MIN:MAX, lognormal:MEAN:SIGMA, zipf:MIN:MAX:SKEW or a "
         "preset");
}

double Distribution::mean() const {
  double sum = 0;
  for (const uint32_t v : table_) sum += v;
  return sum / static_cast<double>(table_.size());
}

Distribution Distribution::clamped(uint32_t least, uint32_t most) const {
  std::vector<uint32_t> table = table_;
  for (uint32_t& v : table) v = std::clamp(v, least, most);
  return Distribution(std::move(table));
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

}  // namespace larder::bench
