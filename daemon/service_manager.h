// ServiceManager: what systemd hears from a service of Type=notify (sd_notify).
//
// Made by main before anything else, as the variables are only about the process that was started.
// Without a manager (no NOTIFY_SOCKET) nothing is said. One thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace larder::daemon {

class ServiceManager {
 public:
  // Takes NOTIFY_SOCKET (a path, or @ and an abstract name), WATCHDOG_USEC and WATCHDOG_PID out of
  // the environment. What cannot be used is a warning.
  ServiceManager();

  // After so long without alive() the manager ends the process; 0: it does not watch.
  std::chrono::microseconds watchdog_timeout() const noexcept { return watchdog_timeout_; }

  void ready(std::string_view status);  // clients can connect; the status is a line for operators
  void alive();
  void reloading();  // ready() follows
  void stopping();

 private:
  void tell(const std::string& lines);

  std::string address_;
  std::chrono::microseconds watchdog_timeout_{0};
};

}  // namespace larder::daemon
