#include "daemon/prefix_stats.h"

namespace larder::daemon {

PrefixStats::Counts* PrefixStats::counts_of(std::string_view key) {
  const size_t end = key.find(delimiter_);
  if (end == std::string_view::npos) return nullptr;
  const std::string_view prefix = key.substr(0, end);
  const auto found = counts_.find(prefix);
  if (found != counts_.end()) return &found->second;
  if (counts_.size() >= kMaxPrefixes) return nullptr;
  return &counts_[std::string(prefix)];
}

void PrefixStats::count_get(std::string_view key, bool hit) {
  core::MutexLock lock(mutex_);
  Counts* counts = counts_of(key);
  if (counts == nullptr) return;
  ++counts->gets;
  if (hit) ++counts->hits;
}

void PrefixStats::count_set(std::string_view key) {
  core::MutexLock lock(mutex_);
  if (Counts* counts = counts_of(key)) ++counts->sets;
}

void PrefixStats::count_delete(std::string_view key) {
  core::MutexLock lock(mutex_);
  if (Counts* counts = counts_of(key)) ++counts->deletes;
}

std::string PrefixStats::dump() {
  core::MutexLock lock(mutex_);
  std::string text;
  for (const auto& [prefix, counts] : counts_) {
    text += "PREFIX " + prefix + " get " + std::to_string(counts.gets) + " hit " +
            std::to_string(counts.hits) + " set " + std::to_string(counts.sets) + " del " +
            std::to_string(counts.deletes) + "\r\n";
  }
  return text + "END";
}

void PrefixStats::clear() {
  core::MutexLock lock(mutex_);
  counts_.clear();
}

}  // namespace larder::daemon
