// NodeHealth: whether a node may be used. After some failures in a row it is ejected for a while,
// and then one probe decides: it is used again, or ejected for longer.
//
//            failures_to_eject in a row               the time is up
//   Healthy ----------------------------> Ejected ---------------------> Probing
//      ^                                     ^                              |
//      |                                     +------- probe_failed() -------+
//      +-------------------------- probe_succeeded() -----------------------+
//
// A state machine without a clock, a lock or chance of its own: all come in.
#pragma once

#include <chrono>
#include <cstdint>

namespace larder::client {

using TimePoint = std::chrono::steady_clock::time_point;

struct HealthOptions {
  uint32_t failures_to_eject = 3;  // at least 1
  // How long for, each time twice as long, less up to a half by chance, so that many clients do not
  // come back in one moment.
  std::chrono::milliseconds first_ejection{1'000};
  std::chrono::milliseconds longest_ejection{60'000};
};

// One thread at a time.
class NodeHealth {
 public:
  enum class Admission : uint8_t {
    Use,
    Refuse,  // ejected, or somebody else's probe is under way
    Probe,   // the caller is to try the node and to report by probe_succeeded() or probe_failed()
  };

  explicit NodeHealth(const HealthOptions& options) : options_(options) {}

  Admission admit(TimePoint now) noexcept;

  // How something went that had been admitted with Use. Without effect once the node is ejected:
  // then the probe decides.
  void succeeded() noexcept;
  // chance  0 up to below 1
  // True if this ejected the node.
  bool failed(TimePoint now, double chance) noexcept;

  // Of the one that was admitted with Probe.
  void probe_succeeded() noexcept;
  void probe_failed(TimePoint now, double chance) noexcept;
  // It came to nothing for a reason that is not the node's: the next caller may probe.
  void probe_was_not_made() noexcept;

  // Somebody says that the node is there: the next one who asks may probe it.
  void announced(TimePoint now) noexcept;

  bool healthy() const noexcept { return state_ == State::Healthy; }
  // Not healthy, or its last call failed.
  bool is_failing() const noexcept { return !healthy() || failures_ > 0; }
  // Only while not healthy: when the next probe may be, and since when nothing has succeeded.
  TimePoint ejected_until() const noexcept { return until_; }
  TimePoint away_since() const noexcept { return away_since_; }

 private:
  enum class State : uint8_t { Healthy, Ejected, Probing };

  void eject(TimePoint now, double chance) noexcept;

  HealthOptions options_;
  State state_ = State::Healthy;
  uint32_t failures_ = 0;   // in a row
  uint32_t ejections_ = 0;  // in a row
  TimePoint until_;
  TimePoint away_since_;
};

}  // namespace larder::client
