#include "daemon/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

// Catches what goes to stderr while it lives.
class Stderr {
 public:
  Stderr() {
    file_ = open(folder_.file("log").c_str(), O_RDWR | O_CREAT, 0600);
    REQUIRE(file_ >= 0);
    kept_ = dup(STDERR_FILENO);
    dup2(file_, STDERR_FILENO);
  }
  ~Stderr() {
    dup2(kept_, STDERR_FILENO);
    close(kept_);
    close(file_);
    set_log_verbosity(0);
  }
  std::string text() const {
    std::string out(4096, '\0');
    const ssize_t bytes = pread(file_, out.data(), out.size(), 0);
    out.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
    return out;
  }

 private:
  test::TempFolder folder_;
  int file_ = -1;
  int kept_ = -1;
};

TEST_CASE("what is said depends on how much was asked for") {
  const Stderr out;
  log(LogLevel::Error, "always");
  log(LogLevel::Info, "not yet");
  set_log_verbosity(1);
  log(LogLevel::Info, "now");
  log(LogLevel::Debug, "not yet");
  set_log_verbosity(2);
  CHECK(log_enabled(LogLevel::Debug));
  log(LogLevel::Debug, "even this");
  CHECK(out.text() == "larderd: always\nlarderd: now\nlarderd: even this\n");
}

TEST_CASE("the same place speaks once in a while and counts what it left out") {
  const Stderr out;
  static LogSite site;
  for (int i = 0; i < 100; ++i) log(LogLevel::Warning, site, "trouble");
  CHECK(out.text() == "larderd: trouble\n");
  CHECK(site.left_out.load() == 99);
  site.next_seconds.store(0);  // as if the time were over
  log(LogLevel::Warning, site, "trouble");
  CHECK(out.text() == "larderd: trouble\nlarderd: trouble (and 99 times more before this)\n");
  CHECK(site.left_out.load() == 0);
}

}  // namespace
}  // namespace larder::daemon
