#include "tools/client/retry.h"

#include <algorithm>
#include <random>

#include "tools/client/process.h"

namespace larder::client {

bool changes_something(const Operation& operation) noexcept {
  switch (operation.verb) {
    case Verb::Get:
      return operation.touch || operation.vivify_seconds != 0 || operation.recache_seconds != 0;
    case Verb::Version:
    case Verb::Noop:
      return false;
    default:
      return true;
  }
}

bool may_repeat(const Operation& operation, const Error& error, bool sent) noexcept {
  if (!error.is_of_the_network() || error.kind == ErrorKind::Ejected) return false;
  return !sent || error.kind == ErrorKind::Unreachable || !changes_something(operation);
}

std::chrono::microseconds retry_pause(std::chrono::milliseconds base, uint32_t retry,
                                      double chance) noexcept {
  constexpr uint32_t kMostDoublings = 16;  // a minute from a millisecond: no overflow, no use
  const auto full = std::chrono::duration<double, std::micro>(base) *
                    static_cast<double>(1u << std::min(retry - 1, kMostDoublings));
  return std::chrono::duration_cast<std::chrono::microseconds>(full * (1 - chance / 2));
}

double any_chance() { return std::uniform_real_distribution<double>(0, 1)(chance_of_thread()); }

}  // namespace larder::client
