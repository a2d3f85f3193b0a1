#include "daemon/machine_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string_view>

namespace larder::daemon {
namespace {

void take_limit(const std::string& path, MachineMemory& memory) {
  std::ifstream file(path);
  uint64_t bytes = 0;  // "max" is no number, and no limit
  if (file >> bytes) memory.limit_bytes = std::min(memory.limit_bytes, bytes);
}

// A cgroup is limited by all that are above it. In a container the path may be that of the host,
// where only the root is to be seen: it is the container's own.
template <class Take>
void for_each_level(std::string path, Take take) {
  while (true) {
    while (path.ends_with('/')) path.pop_back();
    take(path);
    if (path.empty()) return;
    path.resize(std::min(path.rfind('/'), path.size()));
  }
}

bool lists(std::string_view controllers, std::string_view wanted) {
  while (!controllers.empty()) {
    const size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == wanted) return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

}  // namespace

MachineMemory machine_memory(const std::string& root) {
  MachineMemory memory;
  memory.bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "4:cpu,memory:/path", "0::/path"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers =
        std::string_view(line).substr(first + 1, second - first - 1);
    const std::string mounted = root + "/sys/fs/cgroup";
    for_each_level(line.substr(second + 1), [&](const std::string& path) {
      if (controllers.empty()) {
        // Above memory.high the kernel takes memory back and slows us down: it is a limit, too.
        take_limit(mounted + path + "/memory.max", memory);
        take_limit(mounted + path + "/memory.high", memory);
      } else if (lists(controllers, "memory")) {
        take_limit(mounted + "/memory" + path + "/memory.limit_in_bytes", memory);
      }
    });
  }
  return memory;
}

}  // namespace larder::daemon
