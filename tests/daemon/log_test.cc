#include "daemon/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
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

TEST_CASE("nobody waits for a stderr that is not read, and the next line says what is lost") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int kept = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  const std::string long_one(100'000, 'x');  // cut, so that it waits for nobody either
  for (int i = 0; i < 1'000; ++i) log(LogLevel::Error, long_one);
  std::string text(1 << 20, '\0');
  const ssize_t bytes = read(ends[0], text.data(), text.size());
  log(LogLevel::Error, "again");
  std::string again(4096, '\0');
  const ssize_t more = read(ends[0], again.data(), again.size());
  dup2(kept, STDERR_FILENO);
  for (const int fd : {kept, ends[0], ends[1]}) close(fd);
  REQUIRE(bytes > 0);
  text.resize(static_cast<size_t>(bytes));
  REQUIRE(more > 0);
  again.resize(static_cast<size_t>(more));
  const auto written = std::count(text.begin(), text.end(), '\n');
  CHECK(text.ends_with("x\n"));  // whole lines
  CHECK(again == "larderd: " + std::to_string(1'000 - written) +
                     " lines are lost: stderr was not read\nlarderd: again\n");
}

}  // namespace
}  // namespace larder::daemon
