// Emptied: when this server last dropped all items, for clients that would flush it otherwise.
//
// Of several clients that find the same node back each would flush it. The first one's flush is
// enough for all, and a server that started without items needs none.
//
// Any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace larder::daemon {

class Emptied {
 public:
  // Since the machine booted, with the time for which it was suspended.
  static std::chrono::milliseconds now() noexcept;

  // All items that were stored before `when` are gone. Call it when they are.
  void note(std::chrono::milliseconds when) noexcept;

  // How long ago that was, of the latest; nothing if some items may be older than the process.
  std::optional<std::chrono::milliseconds> ago() const noexcept;

 private:
  static constexpr int64_t kNever = -1;
  std::atomic<int64_t> at_{kNever};
};

}  // namespace larder::daemon
