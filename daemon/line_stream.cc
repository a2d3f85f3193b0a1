#include "daemon/line_stream.h"

namespace larder::daemon {

bool LineStream::take(std::string_view part, const Taker& taker) {
  size_t lines = 0;
  for (size_t end; (end = part.find('\n')) != part.npos; part.remove_prefix(end + 1)) {
    std::string_view line = part.substr(0, end);
    if (begun_.size() + line.size() > kMaxLineBytes || ++lines > kMaxLinesPerPart) return false;
    if (!begun_.empty()) line = begun_ += line;
    if (line.empty() || !taker(line)) return false;
    begun_.clear();
  }
  if (begun_.size() + part.size() > kMaxLineBytes) return false;
  begun_ += part;
  return true;
}

}  // namespace larder::daemon
