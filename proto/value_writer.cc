#include "proto/value_writer.h"

namespace larder::proto {

void write_value_apart(const Reply& reply, std::string_view trailer, ReplyBuffer& out) {
  if (reply.value_parts.empty()) {
    out.refer(reply.value, reply.owner);
  } else if (reply.value_bytes <= kCopyLimitBytes) {
    for (const std::string_view part : reply.value_parts) out.copy(part);
  } else {
    for (const std::string_view part : reply.value_parts) out.refer(part, reply.owner);
  }
  out.copy(trailer);
}

}  // namespace larder::proto
