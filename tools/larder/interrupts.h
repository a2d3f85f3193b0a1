// Interrupts: notes the signals that end a program, so that a command can first clean up.
//
// One at a time, on one thread.
#pragma once

#include <signal.h>

#include <array>

namespace larder::operate {

class Interrupts {
 public:
  // The first of SIGINT, SIGTERM and SIGHUP is noted; a second one, of any of them, ends the
  // program. Those that are ignored, as nohup does, stay so.
  Interrupts();
  ~Interrupts();  // what was before
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // Whether one came. Any thread.
  bool came() const noexcept;

  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};

 private:
  std::array<struct sigaction, kSignals.size()> before_;
};

}  // namespace larder::operate
