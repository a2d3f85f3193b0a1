#include "tools/client/node_health.h"

#include <algorithm>

namespace larder::client {

NodeHealth::Admission NodeHealth::admit(TimePoint now) noexcept {
  switch (state_) {
    case State::Healthy:
      return Admission::Use;
    case State::Probing:
      return Admission::Refuse;
    case State::Ejected:
      if (now < until_) return Admission::Refuse;
      state_ = State::Probing;
      return Admission::Probe;
  }
  return Admission::Refuse;
}

void NodeHealth::succeeded() noexcept {
  if (state_ == State::Healthy) failures_ = 0;
}

bool NodeHealth::failed(TimePoint now, double chance) noexcept {
  if (state_ != State::Healthy) return false;
  if (failures_ == 0) away_since_ = now;
  if (++failures_ < options_.failures_to_eject) return false;
  eject(now, chance);
  return true;
}

void NodeHealth::probe_succeeded() noexcept {
  state_ = State::Healthy;
  failures_ = 0;
  ejections_ = 0;
}

void NodeHealth::probe_failed(TimePoint now, double chance) noexcept { eject(now, chance); }

void NodeHealth::probe_was_not_made() noexcept {
  if (state_ == State::Probing) state_ = State::Ejected;
}

void NodeHealth::announced(TimePoint now) noexcept {
  ejections_ = 0;
  if (state_ == State::Ejected) until_ = std::min(until_, now);
}

void NodeHealth::eject(TimePoint now, double chance) noexcept {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  Milliseconds pause = options_.first_ejection;
  const Milliseconds longest = options_.longest_ejection;
  for (uint32_t i = 0; i < ejections_ && pause < longest; ++i) pause *= 2;
  pause = std::min(pause, longest) * (1 - chance / 2);
  state_ = State::Ejected;
  until_ = now + std::chrono::duration_cast<TimePoint::duration>(pause);
  ++ejections_;
}

}  // namespace larder::client
