#include "daemon/expiry.h"

#include <algorithm>

namespace larder::daemon {
namespace {

constexpr int64_t kMaxRelativeSeconds = 60 * 60 * 24 * 30;

}  // namespace

core::Seconds expiry_from(int32_t exptime, proto::Dialect dialect, core::Seconds now,
                          int64_t unix_time_of_zero) noexcept {
  if (exptime == 0) return core::kNever;
  const int64_t seconds = dialect == proto::Dialect::Binary
                              ? static_cast<int64_t>(static_cast<uint32_t>(exptime))
                              : static_cast<int64_t>(exptime);
  if (seconds < 0) return core::kAlreadyExpired;
  if (seconds <= kMaxRelativeSeconds) return now + static_cast<core::Seconds>(seconds);
  const int64_t on_our_clock = seconds - unix_time_of_zero;
  return static_cast<core::Seconds>(
      std::clamp<int64_t>(on_our_clock, core::kAlreadyExpired, UINT32_MAX));
}

int64_t ttl_of(core::Seconds expiry, core::Seconds now) noexcept {
  return expiry == core::kNever ? -1 : static_cast<int64_t>(static_cast<uint32_t>(expiry - now));
}

ExpirySteps walk_expiry(std::string_view flags, core::Seconds before,
                        const NewExpiries& change) noexcept {
  ExpirySteps steps{before, before, before};
  bool token_starts = true;
  for (const char c : flags) {
    if (c == ' ') {
      token_starts = true;
      continue;
    }
    if (!token_starts) continue;
    token_starts = false;
    if (c == 'T' && change.touch) steps.at_end = change.touch_expiry;
    if (c == 'N' && change.created) steps.at_end = change.vivify_expiry;
    if (c == 't') steps.at_ttl = steps.at_end;
    if (c == 'R') steps.at_recache = steps.at_end;
  }
  return steps;
}

}  // namespace larder::daemon
