// LineStream: cuts a stream that comes in parts into lines, with a bound on the work that its
// sender can cause.
//
//  1. A byte is copied at most once, and looked at once, however the lines are cut.
//  2. What is kept between two parts is at most kMaxLineBytes.
//  3. One part yields at most kMaxLinesPerPart lines: the rest of the thread's work waits for them.
//
// One thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace larder::daemon {

class LineStream {
 public:
  static constexpr size_t kMaxLineBytes = 1024 * 1024;
  // etcd writes one line for a change; a process that was stopped finds some hundred in one part.
  static constexpr size_t kMaxLinesPerPart = 1024;

  // Takes a line without its end, which stays where it is during the call. False: no more of them.
  using Taker = std::function<bool(std::string_view)>;

  // Gives the lines that end in `part` to `taker`, and keeps the beginning of the next one.
  // False: the stream is of no use any more, because `taker` said so, a line is empty or longer
  // than kMaxLineBytes, or the part has more than kMaxLinesPerPart lines. clear() begins anew.
  [[nodiscard]] bool take(std::string_view part, const Taker& taker);

  void clear() noexcept { begun_.clear(); }
  size_t kept_bytes() const noexcept { return begun_.size(); }

 private:
  std::string begun_;  // a line, as far as it has come
};

}  // namespace larder::daemon
