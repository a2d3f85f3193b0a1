#include "daemon/machine_memory.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

constexpr uint64_t kNone = MachineMemory{}.limit_bytes;

// A machine's /proc and /sys, as far as they matter here.
class Machine {
 public:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_.file("") + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  uint64_t limit() const { return machine_memory(folder_.file("")).limit_bytes; }

 private:
  test::TempFolder folder_;
};

TEST_CASE("the machine has memory") {
  CHECK(machine_memory().bytes > (uint64_t{64} << 20));
  CHECK(machine_memory().available_bytes() <= machine_memory().bytes);
}

TEST_CASE("without cgroups nothing is limited") {
  Machine machine;
  CHECK(machine.limit() == kNone);
  machine.write("/proc/self/cgroup", "0::/");
  CHECK(machine.limit() == kNone);
  machine.write("/proc/self/cgroup", "nonsense");
  CHECK(machine.limit() == kNone);
}

TEST_CASE("cgroup v2: the least of what the group and those above it may have") {
  Machine machine;
  machine.write("/proc/self/cgroup", "0::/system.slice/larder.service");
  machine.write("/sys/fs/cgroup/system.slice/larder.service/memory.max", "max");
  CHECK(machine.limit() == kNone);
  machine.write("/sys/fs/cgroup/system.slice/memory.max", "3000");
  CHECK(machine.limit() == 3000);
  machine.write("/sys/fs/cgroup/system.slice/larder.service/memory.max", "4000");
  CHECK(machine.limit() == 3000);
  machine.write("/sys/fs/cgroup/system.slice/larder.service/memory.high", "2000");
  CHECK(machine.limit() == 2000);
}

TEST_CASE("in a container its own limit is that of the root it sees") {
  Machine machine;
  machine.write("/proc/self/cgroup", "0::/");
  machine.write("/sys/fs/cgroup/memory.max", "5000");
  CHECK(machine.limit() == 5000);
  machine.write("/proc/self/cgroup", "0::/on/the/host");
  CHECK(machine.limit() == 5000);
}

TEST_CASE("cgroup v1: the group of the memory controller counts") {
  Machine machine;
  machine.write("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/b/c\n0::/d");
  machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  machine.write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1");
  CHECK(machine.limit() == 9223372036854771712u);
  machine.write("/sys/fs/cgroup/memory/b/memory.limit_in_bytes", "7000");
  CHECK(machine.limit() == 7000);
  machine.write("/sys/fs/cgroup/memory/b/c/memory.limit_in_bytes", "6000");
  CHECK(machine.limit() == 6000);
}

TEST_CASE("a limit above the machine's memory limits nothing") {
  CHECK(MachineMemory{.bytes = 10, .limit_bytes = 10}.limited() == false);
  CHECK(MachineMemory{.bytes = 10, .limit_bytes = 11}.available_bytes() == 10);
  CHECK(MachineMemory{.bytes = 10, .limit_bytes = 9}.available_bytes() == 9);
}

}  // namespace
}  // namespace larder::daemon
