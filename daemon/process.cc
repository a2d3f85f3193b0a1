#include "daemon/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "daemon/log.h"
#include "daemon/replace_file.h"

namespace larder::daemon {
namespace {

// Beyond one descriptor per client: event base, mailbox, ticks and two UDP sockets of each thread,
// listeners, the standard streams, and some air.
constexpr rlim_t kDescriptorsPerThread = 5;
constexpr rlim_t kOtherDescriptors = 64;

std::string reason() { return std::strerror(errno); }

void raise_core_limit() {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_CORE, &limit) != 0 && getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
  }
  if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur == 0) {
    throw SettingsError(ExitCode::OsError, "option -r: core files are not allowed here");
  }
}

void raise_descriptor_limit(const Settings& settings) {
  const auto clients = static_cast<rlim_t>(settings.max_connections);
  const rlim_t wanted =
      clients + kOtherDescriptors + kDescriptorsPerThread * static_cast<rlim_t>(settings.threads);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    throw SettingsError(ExitCode::OsError, "cannot ask for the limit on open files: " + reason());
  }
  if (limit.rlim_cur >= wanted) return;
  const rlimit raised{wanted, std::max(wanted, limit.rlim_max)};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  if (limit.rlim_max < clients) {
    throw SettingsError(ExitCode::OsError,
                        "option -c: " + std::to_string(clients) +
                            " connections need as many open files, and the limit is " +
                            std::to_string(limit.rlim_max));
  }
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    throw SettingsError(ExitCode::OsError, "option -c: cannot raise the limit on open files to " +
                                               std::to_string(limit.rlim_cur) + ": " + reason());
  }
  if (limit.rlim_cur < wanted) {
    log(LogLevel::Warning, "option -c: the limit of " + std::to_string(limit.rlim_cur) +
                               " open files leaves less than " + std::to_string(clients) +
                               " for connections");
  }
}

void check_huge_pages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(file, line);
  if (line.empty() || line.find("[never]") != std::string::npos) {
    throw SettingsError(ExitCode::Failure,
                        "option -L: this kernel offers no transparent huge pages");
  }
}

// Warns if the file names a process that runs: two servers would share it.
void warn_of_running(const std::string& path) {
  std::ifstream file(path);
  long pid = 0;
  if (file >> pid && pid > 1 && pid != getpid() && kill(static_cast<pid_t>(pid), 0) == 0) {
    log(LogLevel::Warning,
        "option -P: '" + path + "' names process " + std::to_string(pid) + ", which is running");
  }
}

}  // namespace

void set_limits(const Settings& settings) {
  if (settings.core_dumps) raise_core_limit();
  raise_descriptor_limit(settings);
  if (settings.lock_memory) {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &unlimited);  // only root may; lock_memory() warns if it matters
  }
  if (settings.large_pages) check_huge_pages();
}

void become_user(const Settings& settings) {
  if (getuid() != 0 && geteuid() != 0) {
    const passwd* const wanted = settings.user.empty() ? nullptr : getpwnam(settings.user.c_str());
    if (wanted != nullptr && wanted->pw_uid != geteuid()) {
      log(LogLevel::Warning,
          "option -u: only root can become '" + settings.user + "'; larderd stays who started it");
    }
    return;
  }
  if (settings.user.empty() && !settings.config_file.empty()) {
    log(LogLevel::Warning,
        "option --config: '" + settings.config_file + "' names no user (-u); root stays root");
    return;
  }
  if (settings.user.empty()) {
    throw SettingsError(ExitCode::Usage,
                        "can't run as root without the -u switch (-u root to stay root)");
  }
  const passwd* const user = getpwnam(settings.user.c_str());
  if (user == nullptr) {
    throw SettingsError(ExitCode::NoUser, "option -u: there is no user '" + settings.user + "'");
  }
  // EPERM: a container that lets nobody change groups has already left them behind.
  if (setgroups(0, nullptr) < 0 && errno != EPERM) {
    throw SettingsError(ExitCode::OsError, "option -u: cannot give up root's groups: " + reason());
  }
  if (setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0) {
    throw SettingsError(ExitCode::OsError,
                        "option -u: cannot become '" + settings.user + "': " + reason());
  }
}

Background::Background(bool wanted) {
  if (!wanted) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw SettingsError(ExitCode::Failure, "option -d: cannot make a pipe: " + reason());
  }
  const pid_t child = fork();
  if (child < 0) {
    throw SettingsError(ExitCode::Failure, "option -d: cannot fork: " + reason());
  }
  if (child == 0) {
    close(ends[0]);
    tell_parent_ = ends[1];
    setsid();
    return;
  }
  close(ends[1]);
  char ready = 0;
  ssize_t bytes;
  do {
    bytes = read(ends[0], &ready, 1);
  } while (bytes < 0 && errno == EINTR);
  if (bytes == 1) _exit(EXIT_SUCCESS);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

Background::~Background() {
  if (tell_parent_ >= 0) close(tell_parent_);
}

void Background::ready(bool keep_directory, bool keep_streams) {
  if (tell_parent_ < 0) return;
  if (!keep_directory && chdir("/") != 0) {
    throw SettingsError(ExitCode::Failure, "option -d: cannot change to /: " + reason());
  }
  if (!keep_streams) {
    const int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
      for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, stream);
      if (null > STDERR_FILENO) close(null);
    }
  }
  const char ready = 1;
  while (write(tell_parent_, &ready, 1) < 0 && errno == EINTR) {
  }
  close(std::exchange(tell_parent_, -1));
}

void make_paths_absolute(Settings& settings) {
  for (std::string* path : {&settings.pid_file, &settings.unix_socket, &settings.auth_file,
                            &settings.memory_file, &settings.cluster_file, &settings.tls.chain_cert,
                            &settings.tls.key, &settings.tls.ca_cert}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path).string();
  }
}

void lock_memory() {
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    log(LogLevel::Warning, "option -k: cannot lock memory: " + reason());
  }
}

PidFile::PidFile(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  warn_of_running(path_);
  if (!replace_file(path_, path_ + ".tmp", std::to_string(getpid()) + "\n")) {
    const std::string why = reason();
    log(LogLevel::Warning, "option -P: cannot write '" + path_ + "': " + why);
    path_.clear();
  }
}

PidFile::~PidFile() {
  if (!path_.empty()) unlink(path_.c_str());
}

}  // namespace larder::daemon
