#include "daemon/prefix_stats.h"

#include <algorithm>
#include <charconv>
#include <new>

namespace larder::daemon {
namespace {

constexpr size_t kUsualLineBytes = 64;  // without the prefix

void append_number(std::string_view name, uint64_t number, std::string& text) {
  char digits[20];
  text.append(name).append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

}  // namespace

PrefixStats::Counts* PrefixStats::counts_of(std::string_view key) {
  const size_t end = key.find(delimiter_);
  if (end == std::string_view::npos) return nullptr;
  const std::string_view prefix = key.substr(0, end);
  const auto found = by_prefix_.find(prefix);
  if (found != by_prefix_.end()) return found->second;
  if (counts_.size() >= kMaxPrefixes) return nullptr;
  Counts& counts = counts_.emplace_back();
  try {
    counts.prefix = prefix;
    by_prefix_.emplace(counts.prefix, &counts);
    prefix_bytes_ += prefix.size();
  } catch (const std::bad_alloc&) {  // as if there were no room for another one
    counts_.pop_back();
    return nullptr;
  }
  return &counts;
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
  std::string text;
  {
    core::MutexLock lock(mutex_);
    text.reserve(prefix_bytes_ + counts_.size() * kUsualLineBytes);
  }
  size_t next = 0;
  do {
    next = append_slice(next, text);
  } while (next != 0);
  return text += "END";
}

size_t PrefixStats::append_slice(size_t first, std::string& text) {
  core::MutexLock lock(mutex_);
  const size_t end = std::min(first + kPrefixesPerSlice, counts_.size());
  for (size_t i = first; i < end; ++i) {
    const Counts& counts = counts_[i];
    text.append("PREFIX ").append(counts.prefix);
    append_number(" get ", counts.gets, text);
    append_number(" hit ", counts.hits, text);
    append_number(" set ", counts.sets, text);
    append_number(" del ", counts.deletes, text);
    text += "\r\n";
  }
  return end > first && end < counts_.size() ? end : 0;
}

void PrefixStats::clear() {
  core::MutexLock lock(mutex_);
  by_prefix_.clear();
  prefix_bytes_ = 0;
  counts_.clear();
}

}  // namespace larder::daemon
