// What a writer appends, as one string.
#pragma once

#include <string>

#include "proto/command.h"
#include "proto/reply.h"
#include "proto/reply_buffer.h"

namespace larder::test {

inline std::string joined(proto::ReplyBuffer& out) {
  std::string all;
  for (const proto::ReplyBuffer::Piece& piece : out.pieces()) all.append(piece.data, piece.bytes);
  return all;
}

template <class P>
std::string written(const proto::Command& command, const proto::Reply& reply) {
  proto::ReplyBuffer out;
  P::write(command, reply, out);
  return joined(out);
}

}  // namespace larder::test
