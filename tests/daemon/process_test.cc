// What can be tried in this process or in a child of it; the rest is in tests/wire, where the real
// program is started.
#include "daemon/process.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Runs it in a child, which may change its limits and its user; returns how the child exits.
int exit_code_of(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int caught(const std::function<void()>& work) {
  try {
    work();
  } catch (const SettingsError& error) {
    return error.exit_code;
  }
  return 0;
}

TEST_CASE("the pid file holds the process id while it is needed") {
  const test::TempFolder folder;
  const std::string path = folder.file("pid");
  {
    const PidFile file(path);
    CHECK(content(path) == std::to_string(getpid()));
    CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a link of the name of the pid file's draft is replaced, and its target left alone") {
  const test::TempFolder folder;
  const std::string path = folder.file("pid");
  std::ofstream(folder.file("precious")) << "precious";
  std::filesystem::create_symlink(folder.file("precious"), path + ".tmp");
  const PidFile file(path);
  CHECK(content(path) == std::to_string(getpid()));
  CHECK(content(folder.file("precious")) == "precious");
  CHECK_FALSE(std::filesystem::is_symlink(path));
}

TEST_CASE("a pid file that cannot be written does not keep anybody from serving") {
  const test::TempFolder folder;
  const PidFile file(folder.file("no/such/folder"));
  CHECK(std::filesystem::is_empty(folder.file("")));
}

TEST_CASE("no pid file is asked for, none is written") { const PidFile file(""); }

TEST_CASE("the descriptor limit is raised, and must leave one for each connection") {
  Settings settings;
  settings.max_connections = 500;
  const int raised = exit_code_of([&] {
    const rlimit low{64, 4096};
    if (setrlimit(RLIMIT_NOFILE, &low) != 0) return 99;
    set_limits(settings);
    rlimit now{};
    getrlimit(RLIMIT_NOFILE, &now);
    return now.rlim_cur >= 500 + 64 && now.rlim_max == 4096 ? 0 : 1;
  });
  CHECK(raised == 0);

  // As somebody who may not raise the hard limit.
  const int refused = exit_code_of([&] {
    const rlimit low{64, 128};
    if (setrlimit(RLIMIT_NOFILE, &low) != 0) return 99;
    if (getuid() == 0 && setuid(65534) != 0) return 98;
    return caught([&] { set_limits(settings); });
  });
  CHECK(refused == 71);
}

TEST_CASE("root must name a user that exists; others are who they are") {
  Settings settings;
  if (getuid() == 0) {
    CHECK(exit_code_of([&] { return caught([&] { become_user(settings); }); }) == 64);
    settings.user = "no-such-user-here";
    CHECK(exit_code_of([&] { return caught([&] { become_user(settings); }); }) == 67);
    settings.user = "nobody";
    CHECK(exit_code_of([&] {
            become_user(settings);
            return getuid() != 0 && geteuid() != 0 && getgid() != 0 ? 0 : 1;
          }) == 0);
    settings.user = "root";
    CHECK(exit_code_of([&] {
            become_user(settings);
            return getuid() == 0 ? 0 : 1;
          }) == 0);
  }
  CHECK(exit_code_of([&] {
          if (getuid() == 0 && setuid(65534) != 0) return 98;
          settings.user = "no-such-user-here";
          return caught([&] { become_user(settings); });
        }) == 0);
}

TEST_CASE("the parent of a background process exits when the child is ready") {
  const test::TempFolder folder;
  const std::string path = folder.file("child");
  const int code = exit_code_of([&] {
    Background background(true);  // the parent ends in here
    std::ofstream(path) << getpid() << " " << getppid() << std::endl;
    background.ready(false, false);
    char directory[8] = {};
    const bool left = getcwd(directory, sizeof directory) != nullptr && directory[0] == '/' &&
                      directory[1] == '\0';
    return left ? 0 : 1;
  });
  CHECK(code == 0);
  CHECK_FALSE(content(path).empty());
}

TEST_CASE("the parent of a background process fails as its child does") {
  CHECK(exit_code_of([] {
          Background background(true);
          return 73;
        }) == 73);
}

TEST_CASE("in the foreground nothing happens") {
  const auto before = std::filesystem::current_path();
  Background background(false);
  background.ready(false, false);
  CHECK(std::filesystem::current_path() == before);
}

TEST_CASE("paths are made absolute before the directory is left") {
  Settings settings;
  settings.pid_file = "x.pid";
  settings.auth_file = "users";
  make_paths_absolute(settings);
  CHECK(settings.auth_file == (std::filesystem::current_path() / "users").string());
  CHECK(settings.pid_file == (std::filesystem::current_path() / "x.pid").string());
  CHECK(settings.unix_socket.empty());
}

TEST_CASE("only root becomes another user; who else started it stays") {
  const auto stays = [] {
    if (geteuid() == 0 && setuid(65534) != 0) return 1;
    const uid_t before = geteuid();
    Settings settings;
    settings.user = "root";
    become_user(settings);
    return geteuid() == before ? 0 : 2;
  };
  CHECK(exit_code_of(stays) == 0);
}

TEST_CASE("root need not name a user beside a file in whose format it need not") {
  if (geteuid() != 0) return;
  Settings settings;
  settings.config_file = "larder.conf";
  CHECK(caught([&] { become_user(settings); }) == 0);
  CHECK(geteuid() == 0);
}

}  // namespace
}  // namespace larder::daemon
