#include "tools/client/deadline.h"

#include <algorithm>

namespace larder::client {

int milliseconds_until(Deadline deadline) {
  const auto left = deadline - std::chrono::steady_clock::now();
  if (left <= left.zero()) return 0;
  constexpr std::chrono::milliseconds kLongest{60'000};
  return static_cast<int>(
      std::min(std::chrono::ceil<std::chrono::milliseconds>(left), kLongest).count());
}

}  // namespace larder::client
