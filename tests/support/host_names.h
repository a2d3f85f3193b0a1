// HostName: a name that leads where a test says, while it lives.
#pragma once

#include <string>

namespace larder::test {

// One at a time.
class HostName {
 public:
  HostName(std::string name, std::string address);
  ~HostName();
  HostName(const HostName&) = delete;
  HostName& operator=(const HostName&) = delete;

  // For those who look it up from now on. Any thread.
  void move_to(std::string address);
};

}  // namespace larder::test
