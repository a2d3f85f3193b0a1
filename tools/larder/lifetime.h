// Lifetimes as operators say them, and as memcached's protocol takes them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace larder::operate {

// Longer ones are dates (protocol.txt, "Expiration times").
constexpr int64_t kLongestRelativeSeconds = 60 * 60 * 24 * 30;
constexpr int64_t kLatestDate = std::numeric_limits<int32_t>::max();
// That whatever is asked for can be said as a date.
constexpr int64_t kMostSecondsToLive = 315'360'000;  // ten years

// The exptime that gives an item so many seconds; 0: for ever. now  unix time
constexpr int32_t exptime_of(int64_t seconds_to_live, int64_t now) {
  if (seconds_to_live <= kLongestRelativeSeconds) return static_cast<int32_t>(seconds_to_live);
  return static_cast<int32_t>(std::min(now + seconds_to_live, kLatestDate));
}

// The exptime for an item that expires at a date; not positive: never.
constexpr int32_t exptime_of_date(int64_t date) {
  if (date <= 0) return 0;
  return static_cast<int32_t>(std::min(std::max(date, kLongestRelativeSeconds + 1), kLatestDate));
}

}  // namespace larder::operate
