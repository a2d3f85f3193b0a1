// PrefixStats: gets, hits, sets and deletes by key prefix, for `stats detail`. Off unless -D or
// `stats detail on` asks for it; while it is on, every command takes one lock, as in memcached.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/mutex.h"

namespace larder::daemon {

class PrefixStats {
 public:
  // delimiter  ends the prefix of a key; a key without one is not counted
  PrefixStats(char delimiter, bool enabled) : delimiter_(delimiter), enabled_(enabled) {}

  bool enabled() const noexcept { return enabled_.load(std::memory_order_relaxed); }
  void enable(bool on) noexcept { enabled_.store(on, std::memory_order_relaxed); }

  void count_get(std::string_view key, bool hit) EXCLUDES(mutex_);
  void count_set(std::string_view key) EXCLUDES(mutex_);
  void count_delete(std::string_view key) EXCLUDES(mutex_);

  // `PREFIX <prefix> get <n> hit <n> set <n> del <n>\r\n` for each, in the order of their first
  // command, then `END`. Other workers count meanwhile: the lock is given back between slices.
  std::string dump() EXCLUDES(mutex_);
  // One slice of that: appends at most kPrefixesPerSlice lines from number `first` on, and returns
  // the number of the next line, or 0 if there is none.
  size_t append_slice(size_t first, std::string& text) EXCLUDES(mutex_);
  void clear() EXCLUDES(mutex_);

  // Memory is bounded: prefixes beyond these are not counted.
  static constexpr size_t kMaxPrefixes = 65'536;
  // Some 20 us under the lock.
  static constexpr size_t kPrefixesPerSlice = 256;

 private:
  struct Counts {
    std::string prefix;
    uint64_t gets = 0, hits = 0, sets = 0, deletes = 0;
  };

  // Null if the key has no prefix or there is no room for another one.
  Counts* counts_of(std::string_view key) REQUIRES(mutex_);

  const char delimiter_;
  std::atomic<bool> enabled_;
  core::Mutex mutex_;
  std::deque<Counts> counts_ GUARDED_BY(mutex_);  // they stay where they are
  std::unordered_map<std::string_view, Counts*> by_prefix_ GUARDED_BY(mutex_);
  size_t prefix_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::daemon
