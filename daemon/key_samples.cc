#include "daemon/key_samples.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <random>

namespace larder::daemon {
namespace {

std::string name_of(const KeySample& sample) {
  std::string name(sample.view());
  if (!sample.cut) return name;
  char digits[16];
  return name + "..." +
         std::string(digits, std::to_chars(digits, digits + sizeof digits, sample.hash, 16).ptr);
}

// Slots by count, the largest first, and of those `most`.
std::vector<uint32_t> largest(const SpaceSaving& counts, uint32_t most) {
  std::vector<uint32_t> slots(counts.size());
  for (uint32_t slot = 0; slot < counts.size(); ++slot) slots[slot] = slot;
  const auto end = slots.begin() + std::min(counts.size(), most);
  std::partial_sort(slots.begin(), end, slots.end(), [&](uint32_t a, uint32_t b) {
    return counts.count_of(a) > counts.count_of(b);
  });
  slots.erase(end, slots.end());
  return slots;
}

}  // namespace

void KeySample::set(std::string_view whole_key, What became, uint64_t seed) noexcept {
  hash = core::hash_key(whole_key, seed).bits;
  what = became;
  cut = whole_key.size() > kKeyBytes;
  key_bytes = static_cast<uint8_t>(std::min(whole_key.size(), kKeyBytes));
  std::memcpy(key.data(), whole_key.data(), key_bytes);
}

uint64_t KeySamples::random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

void KeySamples::add(std::span<const KeySample> samples, core::Seconds now) {
  core::MutexLock lock(mutex_);
  age(now);
  samples_ += samples.size();
  for (const KeySample& sample : samples) {
    std::string name = name_of(sample);  // before the slot is another key's: it allocates
    const SpaceSaving::Place place = key_counts_.count(sample.hash);
    if (place.fresh) keys_[place.slot] = std::move(name);
    add_prefix(sample);
  }
}

void KeySamples::add_prefix(const KeySample& sample) {
  const std::string_view key = sample.view();
  const size_t end = key.find(delimiter_);
  if (end == std::string_view::npos) return;
  const std::string_view name = key.substr(0, end);
  Prefix of_sample{std::string(name)};  // before the slot is another prefix's: it allocates
  const SpaceSaving::Place place = prefix_counts_.count(core::hash_key(name, seed_).bits);
  Prefix& prefix = prefixes_[place.slot];
  if (place.fresh) prefix = std::move(of_sample);
  switch (sample.what) {
    case KeySample::What::Hit:
      ++prefix.hits;
      break;
    case KeySample::What::Miss:
      ++prefix.misses;
      break;
    case KeySample::What::Set:
      ++prefix.sets;
      break;
    case KeySample::What::Delete:
      ++prefix.deletes;
      break;
    case KeySample::What::Other:
      break;
  }
}

void KeySamples::age(core::Seconds now) {
  if (halved_at_ == 0) halved_at_ = now;
  // After a long silence a few halves leave nothing that counts.
  constexpr int kEnough = 16;
  for (int i = 0; now - halved_at_ >= kHalfLifeSeconds && now > halved_at_; ++i) {
    if (i == kEnough) {
      halved_at_ = now;
      break;
    }
    key_counts_.halve();
    prefix_counts_.halve();
    halved_at_ += kHalfLifeSeconds;
  }
}

KeyFigures KeySamples::figures(uint32_t most_keys, uint32_t most_prefixes, core::Seconds now) {
  core::MutexLock lock(mutex_);
  age(now);
  KeyFigures figures;
  figures.total = key_counts_.total();
  figures.samples = samples_;
  for (const uint32_t slot : largest(key_counts_, most_keys)) {
    figures.keys.push_back({keys_[slot], key_counts_.count_of(slot), key_counts_.error_of(slot)});
  }
  for (const uint32_t slot : largest(prefix_counts_, most_prefixes)) {
    const Prefix& prefix = prefixes_[slot];
    figures.prefixes.push_back({prefix.name, prefix.hits, prefix.misses, prefix.sets,
                                prefix.deletes, prefix_counts_.count_of(slot)});
  }
  return figures;
}

void KeySamples::clear() {
  core::MutexLock lock(mutex_);
  key_counts_.clear();
  prefix_counts_.clear();
  samples_ = 0;
}

}  // namespace larder::daemon
