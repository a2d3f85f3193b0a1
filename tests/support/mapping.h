// What the kernel says of a mapping.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace larder::test {

// The line VmFlags of the mapping that the address is in (proc_pid_smaps(5)); empty: in none.
inline std::string flags_of_mapping(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char dash = 0;
    std::istringstream words(line);
    if (words >> std::hex >> begin >> dash >> end && dash == '-') {
      const auto at = reinterpret_cast<uintptr_t>(address);
      inside = begin <= at && at < end;
    }
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return "";
}

}  // namespace larder::test
