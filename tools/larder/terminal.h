// Terminal: the whole screen of the terminal at standard output, for a time.
//
// While it lives the screen is ours, keys come one by one from standard input, and signals that end
// or stop the program are held back until wait(), so that the terminal is given back as it was. One
// at a time, on the main thread, before others are started.
#pragma once

#include <signal.h>
#include <termios.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "tools/larder/top_frame.h"

namespace larder::operate {

class Terminal {
 public:
  enum class Event {
    Time,    // it is over
    Ready,   // the descriptor of wait() can be read
    Redraw,  // the window has another size, or we were stopped and go on
    Quit,    // somebody wants no more: q, ^C, or the terminal is gone
    Signal,  // likewise, by a signal: ending_signal()
  };

  // Whether standard output is one.
  static bool is_there();

  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  FrameSize size() const;
  void draw(const std::vector<std::string>& lines);
  // Until something happens, at most so long.
  //
  // ready_fd  -1: none
  Event wait(std::chrono::steady_clock::time_point until, int ready_fd = -1);
  // Of Event::Signal; whoever got it raises it again once the terminal is given back.
  int ending_signal() const noexcept { return ending_signal_; }

 private:
  bool has_keys_ = false;  // standard input is a terminal, too
  termios before_{};       // its settings before
  sigset_t mask_before_{};
  int ending_signal_ = 0;

  void enter();
  void leave();
  void stop();
};

}  // namespace larder::operate
