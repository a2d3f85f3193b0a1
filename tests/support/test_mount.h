// TestMount: a file system of a test's own, small enough to be filled; gone with the test.
//
// It is mounted in a mount namespace that the test process enters for that, so that nothing is left
// behind whatever becomes of the process. That takes root's rights; a test asks mounted() and says
// that it is skipped.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::test {

class TestMount {
 public:
  // type       "tmpfs"
  // options    "size=8m"
  TestMount(const char* type, const std::string& options) : path_(folder_.file("mount")) {
    std::filesystem::create_directory(path_);
    static const bool alone = unshare(CLONE_NEWNS) == 0 &&
                              mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    mounted_ = alone && mount(type, path_.c_str(), type, 0, options.c_str()) == 0;
    if (!mounted_) why_not_ = std::strerror(errno);
  }
  ~TestMount() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  TestMount(const TestMount&) = delete;
  TestMount& operator=(const TestMount&) = delete;

  bool mounted() const noexcept { return mounted_; }
  const std::string& why_not() const noexcept { return why_not_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  // Leaves no room in it, and makes room again.
  void fill() const {
    const int file = open(filler().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string block(4096, 'x');
    while (write(file, block.data(), block.size()) > 0) {
    }
    close(file);
  }
  void make_room() const { std::filesystem::remove(filler()); }

 private:
  std::string filler() const { return file("filler"); }

  TempFolder folder_;
  const std::string path_;
  bool mounted_ = false;
  std::string why_not_;
};

}  // namespace larder::test
