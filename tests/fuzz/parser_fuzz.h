// What every parser must hold, on any input: it reads nothing beyond what it is given, consumes no
// more, gets on, and says the same commands however the input is cut. The player aborts on the
// first three.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "proto/limits.h"
#include "tests/proto/player.h"

namespace larder::test {

// The first byte says where the rest is cut; so a corpus file is one odd byte and then a stream.
template <class P>
void fuzz_parser(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = play<P>(stream);
  if (whole.commands().size() > 2 * stream.size() + 2) std::abort();

  // A line without an end closes the connection once so much of it has come; whether it does before
  // the end comes is then a matter of the cut.
  if (stream.size() > proto::kMaxUnfinishedLineBytes) return;
  const size_t at = stream.empty() ? 0 : data[0] % (stream.size() + 1);
  const auto cut = play<P>(stream, {at});
  if (cut.commands() != whole.commands() || cut.closed() != whole.closed()) std::abort();
  if (!cut.closed() && cut.pending() != whole.pending()) std::abort();
}

}  // namespace larder::test
