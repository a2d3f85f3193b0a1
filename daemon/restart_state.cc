#include "daemon/restart_state.h"

#include "core/snapshot.h"

namespace larder::daemon {
namespace {

constexpr uint32_t kFormat = 2;
constexpr uint32_t kFormatBeforeLists = 1;  // without incarnation and list_version

}  // namespace

std::string RestartState::to_bytes() const {
  core::SnapshotWriter out;
  out.add(kFormat);
  out.add(now);
  out.add(unix_time);
  out.add(flush_when);
  out.add(flushed_at);
  out.add(incarnation);
  out.add(list_version);
  return out.bytes();
}

std::optional<RestartState> RestartState::from_bytes(std::string_view bytes) {
  core::SnapshotReader in(bytes);
  const auto format = in.get<uint32_t>();
  if (format != kFormat && format != kFormatBeforeLists) return std::nullopt;
  RestartState state;
  in.read(state.now);
  in.read(state.unix_time);
  in.read(state.flush_when);
  in.read(state.flushed_at);
  if (format == kFormat) {
    in.read(state.incarnation);
    in.read(state.list_version);
  }
  if (!in.at_end() || state.now < core::kFirstSecond) return std::nullopt;
  return state;
}

}  // namespace larder::daemon
