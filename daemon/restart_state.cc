#include "daemon/restart_state.h"

#include "core/snapshot.h"

namespace larder::daemon {
namespace {

constexpr uint32_t kFormat = 1;

}  // namespace

std::string RestartState::to_bytes() const {
  core::SnapshotWriter out;
  out.add(kFormat);
  out.add(now);
  out.add(unix_time);
  out.add(flush_when);
  out.add(flushed_at);
  return out.bytes();
}

std::optional<RestartState> RestartState::from_bytes(std::string_view bytes) {
  core::SnapshotReader in(bytes);
  if (in.get<uint32_t>() != kFormat) return std::nullopt;
  RestartState state;
  in.read(state.now);
  in.read(state.unix_time);
  in.read(state.flush_when);
  in.read(state.flushed_at);
  if (!in.at_end() || state.now < core::kFirstSecond) return std::nullopt;
  return state;
}

}  // namespace larder::daemon
